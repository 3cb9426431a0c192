// Weighted sums of dense rows, for histories on a dense item-item matrix. Included like vec.inl.

// Adds kRows rows in their order; with kFirst the sums start at zero.
template <int kRows, bool kFirst>
PENCHANT_INLINE void add_some_rows(const SumRowsArgs& args, std::int64_t first) {
  const float* const* rows = args.rows + first;
  const float* values = args.values + first;
  std::int64_t c = 0;
  for (; c + kLanes <= args.width; c += kLanes) {
    Vec sum = kFirst ? Vec{} : load(args.sums + c);
    for (int r = 0; r < kRows; ++r)
      sum = multiply_add(broadcast(values[r]), load(rows[r] + c), sum);
    store(args.sums + c, sum);
  }
  for (; c < args.width; ++c) {
    float sum = kFirst ? 0.0F : args.sums[c];
    for (int r = 0; r < kRows; ++r) sum = multiply_add(values[r], rows[r][c], sum);
    args.sums[c] = sum;
  }
}

void sum_rows(const SumRowsArgs* args) {
  if (args->n_rows < 4) {
    add_some_rows<0, true>(*args, 0);
    for (std::int64_t r = 0; r < args->n_rows; ++r) add_some_rows<1, false>(*args, r);
    return;
  }
  add_some_rows<4, true>(*args, 0);
  std::int64_t r = 4;
  for (; r + 4 <= args->n_rows; r += 4) add_some_rows<4, false>(*args, r);
  for (; r < args->n_rows; ++r) add_some_rows<1, false>(*args, r);
}
