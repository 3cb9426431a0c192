// Pass 2 of exact top-k: the score itself. Included like vec.inl.
//
// Every score of the library is accumulated here: bias, then dimension 0, 1, ..., one fused (or,
// without FMA, one rounded) multiply-add each. That is a chain for each pair, so pairs lie side by
// side, one a lane, and their rows are transposed on the way in.

// columns[j][i] = rows[i][d + j]. A quarter of each vector holds rows 4 q, 4 q + 1, ... 4 q + 3 at
// first, and the quarters are transposed on their own.
PENCHANT_INLINE void transpose_rows(const float* const* rows, std::int64_t d, Vec* columns) {
#if defined(__AVX512F__)
  __m512 part[4];
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p) {
    const __m512 first = _mm512_castps128_ps512(_mm_loadu_ps(rows[p] + d));
    const __m512 two = _mm512_insertf32x4(first, _mm_loadu_ps(rows[4 + p] + d), 1);
    const __m512 three = _mm512_insertf32x4(two, _mm_loadu_ps(rows[8 + p] + d), 2);
    part[p] = _mm512_insertf32x4(three, _mm_loadu_ps(rows[12 + p] + d), 3);
  }
  const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(part[0], part[1]));
  const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(part[0], part[1]));
  const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(part[2], part[3]));
  const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(part[2], part[3]));
  columns[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
  columns[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
  columns[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
  columns[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
#elif defined(__AVX2__)
  __m256 part[4];
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p)
    part[p] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[p] + d)),
                                   _mm_loadu_ps(rows[4 + p] + d), 1);
  const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(part[0], part[1]));
  const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(part[0], part[1]));
  const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(part[2], part[3]));
  const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(part[2], part[3]));
  columns[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
  columns[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
  columns[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
  columns[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
#elif defined(__SSSE3__)
  for (int p = 0; p < 4; ++p) columns[p] = _mm_loadu_ps(rows[p] + d);
  _MM_TRANSPOSE4_PS(columns[0], columns[1], columns[2], columns[3]);
#else
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < kLanes; ++i) columns[j][i] = rows[i][d + j];
#endif
}

// Adds kLanes inner products to `sums`; kOneQuery: they have the first query in common.
template <bool kOneQuery>
PENCHANT_INLINE Vec add_products(const float* const* queries, const float* const* rows,
                                 std::int64_t dim, Vec sums) {
  std::int64_t d = 0;
  for (; d + 4 <= dim; d += 4) {
    Vec components[4];
    Vec asked[4];
    transpose_rows(rows, d, components);
    if constexpr (kOneQuery) {
      for (int j = 0; j < 4; ++j) asked[j] = broadcast(queries[0][d + j]);
    } else {
      transpose_rows(queries, d, asked);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums = multiply_add(asked[j], components[j], sums);
  }
  for (; d < dim; ++d)
    for (int i = 0; i < kLanes; ++i) sums[i] = multiply_add(queries[i][d], rows[i][d], sums[i]);
  return sums;
}

void score_pairs(const float* const* queries, const float* vectors, const float* biases,
                 std::int64_t dim, const std::int32_t* rows, std::int64_t n_pairs, float* scores) {
  for (std::int64_t first = 0; first < n_pairs; first += kLanes) {
    const float* query[kLanes];
    const float* row[kLanes];
    Vec sums{};
    bool one_query = true;
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t pair = first + i < n_pairs ? first + i : n_pairs - 1;
      query[i] = queries[pair];
      row[i] = vectors + rows[pair] * dim;
      sums[i] = biases[rows[pair]];
      one_query &= query[i] == query[0];
    }
    sums = one_query ? add_products<true>(query, row, dim, sums)
                     : add_products<false>(query, row, dim, sums);
    sums += broadcast(0.0F);  // -0 becomes 0: zeros tie
    for (int i = 0; i < kLanes && first + i < n_pairs; ++i) scores[first + i] = sums[i];
  }
}
