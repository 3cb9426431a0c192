// Pass 1 of exact top-k: 8-bit scores. Included like vec.inl. See topk_tile.hpp for the bounds.
//
// Items come in panels of 16: panel[g][item][4] holds four signed 8-bit dimensions of each item, so
// one 64-byte line is one step for 16 items. Queries are unsigned (shifted by kQueryLevels + 1);
// the items' `corrections` take the shift out again.

#if defined(__AVX512VNNI__)
constexpr int kQueryLevels = 127;  // |quantized query| <= this
#else
constexpr int kQueryLevels = 63;  // pmaddubsw adds two products in 16 bits
#endif

typedef std::int32_t VecIntUnaligned __attribute__((vector_size(kLanes * sizeof(std::int32_t)),
                                                    aligned(sizeof(std::int32_t)), may_alias));

// sums[lane] += items[lane][0..3] . query[0..3]
PENCHANT_INLINE VecInt add_dot4(VecInt sums, const std::int8_t* items, std::int32_t query) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<VecInt>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sums), _mm512_set1_epi32(query), _mm512_loadu_si512(items)));
#elif defined(__AVX2__)
  const __m256i line = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(items));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(query), line);
  return sums + reinterpret_cast<VecInt>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#elif defined(__SSSE3__)
  const __m128i line = _mm_loadu_si128(reinterpret_cast<const __m128i*>(items));
  const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi32(query), line);
  return sums + reinterpret_cast<VecInt>(_mm_madd_epi16(pairs, _mm_set1_epi16(1)));
#else
  std::uint8_t q[4];
  __builtin_memcpy(q, &query, sizeof(q));
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 4; ++i) sums[lane] += q[i] * items[lane * 4 + i];
  return sums;
#endif
}

// Bit i: not (a[i] < b), so that NaN counts as a hit and goes on to the exact pass.
PENCHANT_INLINE unsigned not_below(Vec a, float b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(a, _mm512_set1_ps(b), _CMP_NLT_UQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_set1_ps(b), _CMP_NLT_UQ)));
#elif defined(__SSSE3__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpnlt_ps(a, _mm_set1_ps(b))));
#else
  unsigned mask = 0;
  for (int lane = 0; lane < kLanes; ++lane) mask |= (a[lane] < b ? 0U : 1U) << lane;
  return mask;
#endif
}

constexpr int kParts = 16 / kLanes;  // vectors to a panel
#if defined(__AVX512F__)
constexpr int kTileQueries = 8;
constexpr int kTilePanels = 2;
#elif defined(__AVX2__)
constexpr int kTileQueries = 4;
constexpr int kTilePanels = 1;
#else
constexpr int kTileQueries = 2;
constexpr int kTilePanels = 1;
#endif

PENCHANT_INLINE void push_hits(const ScanArgs& args, int query, std::int32_t base, unsigned mask) {
  std::int32_t* hits = args.hits[query];
  std::int32_t count = args.n_hits[query];
  for (; mask != 0; mask &= mask - 1) hits[count++] = base + __builtin_ctz(mask);
  args.n_hits[query] = count;
}

template <int kQueries, int kPanels>
PENCHANT_INLINE void scan_tile(const ScanArgs& args, int first_query, std::int64_t first_panel) {
  VecInt sums[kQueries][kPanels * kParts];
  const std::int32_t* corrections = args.corrections + first_panel * 16;
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 16
    for (int v = 0; v < kPanels * kParts; ++v)
      sums[q][v] = *reinterpret_cast<const VecIntUnaligned*>(corrections + v * kLanes);
  const std::int8_t* items = args.panels + first_panel * args.groups * 64;
  for (std::int64_t g = 0; g < args.groups; ++g) {
#pragma GCC unroll 2
    for (int p = 0; kQueries > 2 && p < kPanels; ++p)  // the next panels
      __builtin_prefetch(items + ((kPanels + p) * args.groups + g) * 64);
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
      const std::int32_t query = args.queries[first_query + q][g];
#pragma GCC unroll 16
      for (int v = 0; v < kPanels * kParts; ++v) {
        const std::int64_t panel = v / kParts;
        sums[q][v] = add_dot4(
            sums[q][v], items + (panel * args.groups + g) * 64 + v % kParts * kLanes * 4, query);
      }
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kPanels * kParts; ++v) {
    const std::int64_t base = first_panel * 16 + v * kLanes;
    const Vec scales = load(args.scales + base);
    const Vec biases = load(args.biases + base);
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
      const Vec dots =
          __builtin_convertvector(sums[q][v], Vec) * broadcast(args.query_scales[first_query + q]);
      const unsigned mask = not_below(dots * scales + biases, args.thresholds[first_query + q]);
      if (__builtin_expect(mask != 0, 0))
        push_hits(args, first_query + q, static_cast<std::int32_t>(base), mask);
    }
  }
}

// Many queries are bound by the products, and panels side by side save loads of the queries. One or
// two are bound by the memory, which gives twice as much when it is read in one line.
template <int kQueries>
PENCHANT_INLINE void scan_queries(const ScanArgs& args, int first_query) {
  constexpr int kPanels = kQueries > 2 ? kTilePanels : 1;
  std::int64_t panel = 0;
  for (; panel + kPanels <= args.n_panels; panel += kPanels)
    scan_tile<kQueries, kPanels>(args, first_query, panel);
  for (; panel < args.n_panels; ++panel) scan_tile<kQueries, 1>(args, first_query, panel);
}

// As many queries side by side as the registers hold; what is left over in halves of that.
template <int kQueries>
PENCHANT_INLINE int scan_from(const ScanArgs& args, int query) {
  for (; query + kQueries <= args.n_queries; query += kQueries) scan_queries<kQueries>(args, query);
  if constexpr (kQueries > 1) query = scan_from<kQueries / 2>(args, query);
  return query;
}

void scan_panels(const ScanArgs* args) {
  scan_from<kTileQueries>(*args, 0);
}
