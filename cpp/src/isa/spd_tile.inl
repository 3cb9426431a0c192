// Double-precision tiles of the symmetric inverse; see spd_inverse.hpp. Included like vec.inl.

#if defined(__AVX512F__)
constexpr int kDoubleLanes = 8;
constexpr int kTileRows = 8;
constexpr int kTileVecs = 3;
#elif defined(__AVX2__)
constexpr int kDoubleLanes = 4;
constexpr int kTileRows = 4;
constexpr int kTileVecs = 3;
#else
constexpr int kDoubleLanes = 2;
constexpr int kTileRows = 4;
constexpr int kTileVecs = 2;
#endif
constexpr int kTileCols = kTileVecs * kDoubleLanes;

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
  VecD sums[kTileRows][kTileVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kTileVecs; ++v) sums[r][v] = VecD{};
  for (std::int64_t k = 0; k < depth; ++k) {
    VecD right[kTileVecs];
#pragma GCC unroll 3
    for (int v = 0; v < kTileVecs; ++v) right[v] = load_d(b + k * kTileCols + v * kDoubleLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const VecD left = a[k * kTileRows + r] - VecD{};
#pragma GCC unroll 3
      for (int v = 0; v < kTileVecs; ++v) sums[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kTileVecs; ++v) {
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

// Sweeps every pivot of a symmetric positive definite tile, which becomes minus its inverse. False
// if a pivot is not positive.
bool sweep_tile(double* tile, std::int64_t size) {
  for (std::int64_t p = 0; p < size; ++p) {
    double* const pivot_row = tile + p * size;
    const double pivot = pivot_row[p];
    if (!(pivot > 0.0) || pivot > 1e300) return false;
    const double inverse = 1.0 / pivot;
    for (std::int64_t r = 0; r < size; ++r) {
      if (r == p) continue;
      double* const row = tile + r * size;
      const double factor = row[p] * inverse;
      const VecD factors = factor - VecD{};
      for (std::int64_t c = 0; c < size; c += kDoubleLanes)
        store_d(row + c, load_d(row + c) - factors * load_d(pivot_row + c));
      row[p] = factor;
    }
    for (std::int64_t c = 0; c < size; ++c) pivot_row[c] *= inverse;
    pivot_row[p] = -inverse;
  }
  return true;
}
