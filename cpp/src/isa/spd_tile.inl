// Double-precision tiles of the symmetric inverse; see spd_inverse.hpp. Included like vec.inl.

#if defined(__AVX512F__)
constexpr int kDoubleLanes = 8;
constexpr int kTileRows = 8;
constexpr int kSpdTileVecs = 3;
#elif defined(__AVX2__)
constexpr int kDoubleLanes = 4;
constexpr int kTileRows = 4;
constexpr int kSpdTileVecs = 3;
#else
constexpr int kDoubleLanes = 2;
constexpr int kTileRows = 4;
constexpr int kSpdTileVecs = 2;
#endif
constexpr int kTileCols = kSpdTileVecs * kDoubleLanes;

typedef double VecD __attribute__((vector_size(kDoubleLanes * sizeof(double))));
typedef double VecDUnaligned
    __attribute__((vector_size(kDoubleLanes * sizeof(double)), aligned(sizeof(double)), may_alias));

PENCHANT_INLINE VecD load_d(const double* from) {
  return *reinterpret_cast<const VecDUnaligned*>(from);
}
PENCHANT_INLINE void store_d(double* to, VecD value) {
  *reinterpret_cast<VecDUnaligned*>(to) = value;
}

// C -= A B on one kTileRows x kTileCols piece of C, which stays in registers.
PENCHANT_INLINE void subtract_piece(const double* a, const double* b, std::int64_t depth, double* c,
                                    std::int64_t stride) {
  VecD sums[kTileRows][kSpdTileVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kSpdTileVecs; ++v) sums[r][v] = VecD{};
  for (std::int64_t k = 0; k < depth; ++k) {
    VecD right[kSpdTileVecs];
#pragma GCC unroll 3
    for (int v = 0; v < kSpdTileVecs; ++v) right[v] = load_d(b + k * kTileCols + v * kDoubleLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const VecD left = a[k * kTileRows + r] - VecD{};
#pragma GCC unroll 3
      for (int v = 0; v < kSpdTileVecs; ++v) sums[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kSpdTileVecs; ++v) {
      double* const to = c + r * stride + v * kDoubleLanes;
      store_d(to, load_d(to) - sums[r][v]);
    }
}

void subtract_product(const TileProductArgs* args) {
  const std::int64_t size = args->size;
  for (std::int64_t r = 0; r < size; r += kTileRows)
    for (std::int64_t c = 0; c < size; c += kTileCols)
      subtract_piece(args->left + r * size, args->right + c * size, size, args->tile + r * size + c,
                     size);
}

// row[c] -= factor * pivot[c] for c in [begin, end), widened to whole vectors.
PENCHANT_INLINE void subtract_row(double* row, const double* pivot, double factor,
                                  std::int64_t begin, std::int64_t end) {
  const VecD factors = factor - VecD{};
  for (std::int64_t c = begin / kDoubleLanes * kDoubleLanes; c < end; c += kDoubleLanes)
    store_d(row + c, load_d(row + c) - factors * load_d(pivot + c));
}

// Eliminates on [tile | I], which gives [L^T | L^-1]: row operations only, for the sake of vectors.
bool factor_tile(double* tile, double* inverse, std::int64_t size) {
  for (std::int64_t i = 0; i < size * size; ++i) inverse[i] = 0.0;
  for (std::int64_t i = 0; i < size; ++i) inverse[i * size + i] = 1.0;
  for (std::int64_t p = 0; p < size; ++p) {
    double* const upper = tile + p * size;
    double* const lower = inverse + p * size;
    if (!(upper[p] > 0.0) || upper[p] > 1e300) return false;
    const double scale = 1.0 / __builtin_sqrt(upper[p]);
    for (std::int64_t c = p; c < size; ++c) upper[c] *= scale;
    for (std::int64_t c = 0; c <= p; ++c) lower[c] *= scale;
    for (std::int64_t r = p + 1; r < size; ++r) {
      const double factor = upper[r];
      subtract_row(tile + r * size, upper, factor, r, size);
      subtract_row(inverse + r * size, lower, factor, 0, p + 1);
    }
  }
  return true;
}
