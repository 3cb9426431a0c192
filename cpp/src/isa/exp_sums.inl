// Sums of exponentials of scores, for softmax. Included like vec.inl, after topk_scan.inl.

constexpr int kExpWidth = kTilePanels * 16;  // vectors side by side in a tile
constexpr int kExpVecs = kExpWidth / kLanes;

// exp(values - largest). Lanes that hold fewer than 1e-38 of the largest may as well be there:
// values so far below it, and the -infinity of padding, count as exp(-87). In fewer operations than
// exp_negative: rounding the product with log2(e) costs digits of what is far below the largest.
PENCHANT_INLINE Vec exp_below(Vec values, Vec largest) {
  const Vec floor = broadcast(-87.0F);
  const Vec difference = values - largest;
  const Vec x = difference > floor ? difference : floor;
  const Vec to_powers_of_2 = broadcast(1.44269504088896341F);
  const Vec magic = broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = multiply_add(x, to_powers_of_2, magic);
  const Vec r = multiply_add(x, to_powers_of_2, magic - shifted);
  Vec p = broadcast(1.326467958e-3F);  // 2^r for |r| <= 1/2 within 3 ulp: a minimax polynomial
  p = multiply_add(p, r, broadcast(9.671502747e-3F));
  p = multiply_add(p, r, broadcast(5.550733954e-2F));
  p = multiply_add(p, r, broadcast(2.402224243e-1F));
  p = multiply_add(p, r, broadcast(6.931470037e-1F));
  p = multiply_add(p, r, broadcast(1.0F));
  return as_floats(as_ints(p) + (as_ints(shifted) << 23));
}

// `whole` is a multiple of kLanes; the lanes of `rest` come after it. Four sums go side by side.
PENCHANT_INLINE ExpSum exp_sum_lanes(const float* values, std::int64_t whole, Vec rest) {
  Vec top = rest;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    const Vec some = load(values + i);
    top = some > top ? some : top;
  }
  const float largest = max_lanes(top);
  const Vec base = broadcast(largest);
  Vec sums[4] = {exp_below(rest, base)};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= whole; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[v] += exp_below(load(values + i + v * kLanes), base);
  for (; i < whole; i += kLanes) sums[1] += exp_below(load(values + i), base);
  return {largest, sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]))};
}

ExpSum exp_sum(const float* values, std::int64_t n) {
  const std::int64_t whole = n / kLanes * kLanes;
  Vec rest = broadcast(-__builtin_inff());
  for (std::int64_t i = whole; i < n; ++i) rest[i - whole] = values[i];
  return exp_sum_lanes(values, whole, rest);
}

constexpr std::int64_t kExpAhead = 32;  // vectors between the one read and the one fetched

// panel[d][vector] for kExpWidth vectors; the last one there is stands for those there are not.
PENCHANT_INLINE void transpose_panel(const ExpSumsArgs& args, std::int64_t first, float* panel) {
  for (int v = 0; v < kExpVecs; ++v, panel += kLanes, first += kLanes) {
    const float* rows[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t last = args.n_vectors - 1;
      rows[i] = args.vectors + (first + i < last ? first + i : last) * args.dim;
    }
    std::int64_t d = 0;
    for (; d + 4 <= args.dim; d += 4) {
      // So many rows at once are more than the hardware follows.
      const float* const ahead = rows[0] + kExpAhead * args.dim + d * kLanes;
      for (int f = 0; f < 4 * kLanes; f += 16) __builtin_prefetch(ahead + f);
      Vec columns[4];
      transpose_rows(rows, d, columns);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) store(panel + (d + j) * kExpWidth, columns[j]);
    }
    for (; d < args.dim; ++d)
      for (int i = 0; i < kLanes; ++i) panel[d * kExpWidth + i] = rows[i][d];
  }
}

// Each score is accumulated in a lane of its own, in the order of score_pairs.
template <int kQueries>
PENCHANT_INLINE void score_panel(const float* panel, const Vec* biases, const float* queries,
                                 std::int64_t dim, float* scores) {
  Vec sums[kQueries][kExpVecs];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 16
    for (int v = 0; v < kExpVecs; ++v) sums[q][v] = biases[v];
  for (std::int64_t d = 0; d < dim; ++d) {
    Vec components[kExpVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kExpVecs; ++v) components[v] = load(panel + d * kExpWidth + v * kLanes);
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
      const Vec query = broadcast(queries[q * dim + d]);
#pragma GCC unroll 16
      for (int v = 0; v < kExpVecs; ++v)
        sums[q][v] = multiply_add(query, components[v], sums[q][v]);
    }
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 16
    for (int v = 0; v < kExpVecs; ++v) store(scores + q * kExpBlock + v * kLanes, sums[q][v]);
}

// Those of vectors that there are not are -infinity.
PENCHANT_INLINE Vec biases_from(const ExpSumsArgs& args, std::int64_t first) {
  if (first + kLanes <= args.n_vectors) return load(args.biases + first);
  Vec biases = broadcast(-__builtin_inff());
  for (std::int64_t i = first; i < args.n_vectors; ++i) biases[i - first] = args.biases[i];
  return biases;
}

template <int kQueries>
PENCHANT_INLINE std::int64_t exp_sums_from(const ExpSumsArgs& args, const float* panels,
                                           float* scores, std::int64_t query) {
  for (; query + kQueries <= args.n_queries; query += kQueries) {
    std::int64_t first = 0;
    for (; first < args.n_vectors; first += kExpWidth) {
      Vec biases[kExpVecs];
      for (int v = 0; v < kExpVecs; ++v) biases[v] = biases_from(args, first + v * kLanes);
      score_panel<kQueries>(panels + first * args.dim, biases, args.queries + query * args.dim,
                            args.dim, scores + first);
    }
    for (int q = 0; q < kQueries; ++q)
      args.sums[query + q] =
          exp_sum_lanes(scores + q * kExpBlock, first, broadcast(-__builtin_inff()));
  }
  if constexpr (kQueries > 1) query = exp_sums_from<kQueries / 2>(args, panels, scores, query);
  return query;
}

void exp_sums(const ExpSumsArgs* args) {
  float* const panels = args->scratch;
  std::int64_t first = 0;
  for (; first < args->n_vectors; first += kExpWidth)
    transpose_panel(*args, first, panels + first * args->dim);
  exp_sums_from<kTileQueries>(*args, panels, panels + first * args->dim, 0);
}
