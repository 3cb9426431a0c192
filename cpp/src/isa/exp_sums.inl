// Sums of exponentials of scores, for softmax. Included like vec.inl, after topk_scan.inl.

constexpr int kExpWidth = kTilePanels * 16;  // vectors side by side in a tile
constexpr int kExpVecs = kExpWidth / kLanes;

// Lanes that hold fewer than 1e-38 of the largest may as well be there: values so far below it, and
// the -infinity of padding, count as exp(-87).
PENCHANT_INLINE Vec exp_below(Vec values, Vec largest) {
  const Vec floor = broadcast(-87.0F);
  const Vec x = values - largest;
  return exp_negative(x > floor ? x : floor);
}

PENCHANT_INLINE float largest_lane(Vec v) {
  float largest = v[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = v[lane] > largest ? v[lane] : largest;
  return largest;
}

// `whole` is a multiple of kLanes; the lanes of `rest` come after it. Four sums go side by side.
PENCHANT_INLINE ExpSum exp_sum_lanes(const float* values, std::int64_t whole, Vec rest) {
  Vec top = rest;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    const Vec some = load(values + i);
    top = some > top ? some : top;
  }
  const float largest = largest_lane(top);
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

// panel[d][vector] for kExpWidth vectors, as far as there are any.
PENCHANT_INLINE void transpose_panel(const ExpSumsArgs& args, std::int64_t first, float* panel) {
  for (int i = 0; i < kExpWidth; ++i) {
    const bool there = first + i < args.n_vectors;
    const float* vector = args.vectors + (first + i) * args.dim;
    for (std::int64_t d = 0; d < args.dim; ++d) panel[d * kExpWidth + i] = there ? vector[d] : 0.0F;
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

template <int kQueries>
PENCHANT_INLINE std::int64_t exp_sums_from(const ExpSumsArgs& args, const float* panels,
                                           float* scores, std::int64_t query) {
  for (; query + kQueries <= args.n_queries; query += kQueries) {
    std::int64_t first = 0;
    for (; first < args.n_vectors; first += kExpWidth) {
      Vec biases[kExpVecs];
      for (int v = 0; v < kExpVecs; ++v)
        for (int lane = 0; lane < kLanes; ++lane) {
          const std::int64_t at = first + v * kLanes + lane;
          biases[v][lane] = at < args.n_vectors ? args.biases[at] : -__builtin_inff();
        }
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
