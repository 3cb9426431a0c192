// Inner products of a query with some rows of a matrix. Included like vec.inl. They are added up in
// vectors, not in the order that defines a score.

void row_dots(const RowDotsArgs* args) {
  const std::int64_t whole = args->dim / kLanes * kLanes;
  for (std::int64_t i = 0; i < args->n; ++i) {
    const float* row = args->rows + args->which[i] * args->dim;
    Vec sum{};
    for (std::int64_t d = 0; d < whole; d += kLanes)
      sum = multiply_add(load(args->query + d), load(row + d), sum);
    float rest = 0.0F;
    for (std::int64_t d = whole; d < args->dim; ++d)
      rest = multiply_add(args->query[d], row[d], rest);
    args->dots[i] = sum_lanes(sum) + rest;
  }
}
