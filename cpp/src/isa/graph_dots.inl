// Inner products of a query with a list of rounded vectors, as a walk over a graph needs them.
// Included like vec.inl. Four rows go side by side, so that their sums are reduced together.

#if defined(__AVX512VNNI__)
constexpr int kCodesAtOnce = 32;
typedef __m512i CodeSums;
PENCHANT_INLINE CodeSums add_codes(CodeSums sums, const std::int16_t* query,
                                   const std::int8_t* row) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
  return _mm512_dpwssd_epi32(sums, _mm512_loadu_si512(query), _mm512_cvtepi8_epi16(codes));
}
#elif defined(__AVX2__)
constexpr int kCodesAtOnce = 16;
typedef __m256i CodeSums;
PENCHANT_INLINE CodeSums add_codes(CodeSums sums, const std::int16_t* query,
                                   const std::int8_t* row) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
  const __m256i asked = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(asked, _mm256_cvtepi8_epi16(codes)));
}
#elif defined(__SSE4_1__)
constexpr int kCodesAtOnce = 8;
typedef __m128i CodeSums;
PENCHANT_INLINE CodeSums add_codes(CodeSums sums, const std::int16_t* query,
                                   const std::int8_t* row) {
  const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  const __m128i asked = _mm_loadu_si128(reinterpret_cast<const __m128i*>(query));
  return _mm_add_epi32(sums, _mm_madd_epi16(asked, _mm_cvtepi8_epi16(codes)));
}
#else
constexpr int kCodesAtOnce = 1;
typedef std::int32_t CodeSums;
PENCHANT_INLINE CodeSums add_codes(CodeSums sums, const std::int16_t* query,
                                   const std::int8_t* row) {
  return sums + *query * *row;
}
#endif

// dots[i] = sum of all of sums[i].
PENCHANT_INLINE void store_sums(const CodeSums* sums, float* dots) {
#if defined(__AVX2__)
  __m256i halves[4];
  for (int i = 0; i < 4; ++i) {
#if defined(__AVX512VNNI__)
    halves[i] =
        _mm256_add_epi32(_mm512_castsi512_si256(sums[i]), _mm512_extracti64x4_epi64(sums[i], 1));
#else
    halves[i] = sums[i];
#endif
  }
  const __m256i both = _mm256_hadd_epi32(_mm256_hadd_epi32(halves[0], halves[1]),
                                         _mm256_hadd_epi32(halves[2], halves[3]));
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  _mm_storeu_ps(dots, _mm_cvtepi32_ps(four));
#elif defined(__SSE4_1__)
  const __m128i four =
      _mm_hadd_epi32(_mm_hadd_epi32(sums[0], sums[1]), _mm_hadd_epi32(sums[2], sums[3]));
  _mm_storeu_ps(dots, _mm_cvtepi32_ps(four));
#else
  for (int i = 0; i < 4; ++i) dots[i] = static_cast<float>(sums[i]);
#endif
}

// kWidth 0: only known at run time.
template <int kWidth>
PENCHANT_INLINE void int8_rows(const GraphDotsArgs& args) {
  const std::int64_t width = kWidth > 0 ? kWidth : args.width;
  const auto* query = static_cast<const std::int16_t*>(args.query);
  const auto* rows = static_cast<const std::int8_t*>(args.rows);
  for (std::int64_t first = 0; first < args.n; first += 4) {
    const std::int8_t* row[4];
    CodeSums sums[4] = {};
    for (int i = 0; i < 4; ++i)
      row[i] = rows + args.which[first + i < args.n ? first + i : args.n - 1] * width;
#pragma GCC unroll 8
    for (std::int64_t d = 0; d < width; d += kCodesAtOnce)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sums[i] = add_codes(sums[i], query + d, row[i] + d);
    store_sums(sums, args.dots + first);
  }
}

void graph_dots_int8(const GraphDotsArgs* args) {
  if (args->width == 64) {
    int8_rows<64>(*args);
  } else {
    int8_rows<0>(*args);
  }
}

// kLanes numbers of which the upper half of a float32 is kept.
PENCHANT_INLINE Vec load_halves(const std::uint16_t* from) {
#if defined(__AVX512F__)
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
#elif defined(__AVX2__)
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
#else
  Vec values{};
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t bits = static_cast<std::uint32_t>(from[lane]) << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    values[lane] = value;
  }
  return values;
#endif
}

void graph_dots_bfloat16(const GraphDotsArgs* args) {
  const auto* query = static_cast<const float*>(args->query);
  const auto* rows = static_cast<const std::uint16_t*>(args->rows);
  for (std::int64_t i = 0; i < args->n; ++i) {
    const std::uint16_t* row = rows + args->which[i] * args->width;
    Vec sum{};
    for (std::int64_t d = 0; d < args->width; d += kLanes)
      sum = multiply_add(load(query + d), load_halves(row + d), sum);
    args->dots[i] = sum_lanes(sum);
  }
}
