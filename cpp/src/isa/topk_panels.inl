// Scores of a few queries against panels of vectors. Included like vec.inl.
//
// A panel holds 16 vectors transposed: panel[k * 16 + lane]. Every score is accumulated in the order
// bias, k = 0, 1, ..., dim - 1, whatever the number of queries: one accumulation order defines a score.

constexpr int kPanelVecs = 16 / kLanes;

template <int kQueries>
PENCHANT_INLINE void score_tile(const float* const* queries, const float* panel, const float* biases,
                                std::int64_t dim, float* scores, std::int64_t score_stride) {
  Vec sums[kQueries][kPanelVecs];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVecs; ++v) sums[q][v] = load(biases + v * kLanes);
  for (std::int64_t k = 0; k < dim; ++k) {
    Vec column[kPanelVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVecs; ++v) column[v] = load(panel + k * 16 + v * kLanes);
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
      const Vec value = broadcast(queries[q][k]);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVecs; ++v) sums[q][v] += value * column[v];
    }
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVecs; ++v) store(scores + q * score_stride + v * kLanes, sums[q][v]);
}

// scores[q * n_panels * 16 + p * 16 + lane]
void score_panels(const float* const* queries, std::int64_t n_queries, const float* panels, std::int64_t n_panels,
                  const float* biases, std::int64_t dim, float* scores) {
  const std::int64_t stride = n_panels * 16;
  std::int64_t q = 0;
  for (; q + 4 <= n_queries; q += 4)
    for (std::int64_t p = 0; p < n_panels; ++p)
      score_tile<4>(queries + q, panels + p * 16 * dim, biases + p * 16, dim, scores + q * stride + p * 16, stride);
  for (; q < n_queries; ++q)
    for (std::int64_t p = 0; p < n_panels; ++p)
      score_tile<1>(queries + q, panels + p * 16 * dim, biases + p * 16, dim, scores + q * stride + p * 16, stride);
}
