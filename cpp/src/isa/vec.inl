// Vector types of one instruction set. Included inside an anonymous namespace inside the ISA's own
// namespace: nothing here may have external or weak linkage (see CMakeLists.txt).

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t VecInt __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
typedef float VecUnaligned
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

#define PENCHANT_INLINE static inline __attribute__((always_inline))

PENCHANT_INLINE Vec load(const float* from) {
  return *reinterpret_cast<const VecUnaligned*>(from);
}
PENCHANT_INLINE void store(float* to, Vec value) {
  *reinterpret_cast<VecUnaligned*>(to) = value;
}
PENCHANT_INLINE Vec broadcast(float value) {
  return value - Vec{};
}

// Sum of all lanes in a fixed order.
PENCHANT_INLINE float sum_lanes(Vec v) {
#if defined(__AVX512F__)
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
#elif defined(__AVX2__)
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

PENCHANT_INLINE float max_lanes(Vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(v);
#else
  float largest = v[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = v[lane] > largest ? v[lane] : largest;
  return largest;
#endif
}

// Lane i of the result is the sum of all lanes of v[i]: kLanes horizontal sums at once.
PENCHANT_INLINE Vec sum_each(const Vec* v) {
#if defined(__AVX512F__)
  __m512 quad[4];
  for (int i = 0; i < 4; ++i) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[4 * i], v[4 * i + 1]),
                                    _mm512_unpackhi_ps(v[4 * i], v[4 * i + 1]));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[4 * i + 2], v[4 * i + 3]),
                                    _mm512_unpackhi_ps(v[4 * i + 2], v[4 * i + 3]));
    quad[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))) +
              _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
  }
  const __m512 low =
      _mm512_shuffle_f32x4(quad[0], quad[1], 0x88) + _mm512_shuffle_f32x4(quad[0], quad[1], 0xdd);
  const __m512 high =
      _mm512_shuffle_f32x4(quad[2], quad[3], 0x88) + _mm512_shuffle_f32x4(quad[2], quad[3], 0xdd);
  return _mm512_shuffle_f32x4(low, high, 0x88) + _mm512_shuffle_f32x4(low, high, 0xdd);
#elif defined(__AVX2__)
  const __m256 abcd = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  const __m256 efgh = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
  return _mm256_permute2f128_ps(abcd, efgh, 0x20) + _mm256_permute2f128_ps(abcd, efgh, 0x31);
#else
  Vec sums{};
  for (int i = 0; i < kLanes; ++i) sums[i] = sum_lanes(v[i]);
  return sums;
#endif
}

// a * b + c, rounded once where the hardware can: the same in a vector and alone. Said in so many
// words where bits matter: left to itself the compiler fuses some of the steps of a loop, not all.
PENCHANT_INLINE float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return c + a * b;
#endif
}
PENCHANT_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_FEATURE_FMA)
  for (int lane = 0; lane < kLanes; ++lane) c[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
  return c;
#else
  return c + a * b;
#endif
}

PENCHANT_INLINE Vec as_floats(VecInt bits) {
  Vec value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}
PENCHANT_INLINE VecInt as_ints(Vec value) {
  VecInt bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// exp(x) for -87 <= x <= 0, the polynomial of exp_bounded on all lanes.
PENCHANT_INLINE Vec exp_negative(Vec x) {
  const Vec magic = broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = x * broadcast(1.44269504088896341F) + magic;
  const Vec n = shifted - magic;
  const Vec r = (x - n * broadcast(0.693359375F)) + n * broadcast(2.12194440e-4F);
  Vec p = broadcast(1.9875691500e-4F);
  p = p * r + broadcast(1.3981999507e-3F);
  p = p * r + broadcast(8.3334519073e-3F);
  p = p * r + broadcast(4.1665795894e-2F);
  p = p * r + broadcast(1.6666665459e-1F);
  p = p * r + broadcast(5.0000001201e-1F);
  p = p * r * r + r + broadcast(1.0F);
  return p * as_floats((as_ints(shifted) << 23) + as_ints(broadcast(1.0F)));
}
