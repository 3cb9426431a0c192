// Products of matrices and the Cholesky factorization of small ones. Included like vec.inl.

// Registers of a tile: 4 rows of this many vectors.
constexpr int kTileVecs = kLanes == 16 ? 4 : 2;
constexpr int kTileColumns = kTileVecs * kLanes;

// Four rows of a product over `depth`, kTileColumns wide.
PENCHANT_INLINE void multiply_tile(const PanelArgs& args, const float* a, const float* b,
                                   float* out) {
  Vec sums[4][kTileVecs] = {};
  if (args.add)
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kTileVecs; ++v) sums[r][v] = load(out + r * args.out_stride + v * kLanes);
  for (std::int64_t k = 0; k < args.depth; ++k) {
    Vec right[kTileVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVecs; ++v) right[v] = load(b + k * args.panel_step + v * kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const Vec left = broadcast(a[r * args.row_step + k * args.depth_step]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) sums[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kTileVecs; ++v) store(out + r * args.out_stride + v * kLanes, sums[r][v]);
}

void multiply_panel(const PanelArgs* args) {
  for (std::int64_t column = 0; column < kPanelColumns; column += kTileColumns)
    for (std::int64_t row = 0; row < args->rows; row += 4)
      multiply_tile(*args, args->a + row * args->row_step, args->panel + column,
                    args->out + row * args->out_stride + column);
}

// Cholesky factorization K = U^T U of a symmetric matrix of `n` rows, n a multiple of 4, given and
// returned in the upper triangle (rows of `stride` floats, a multiple of kRowMultiple beyond n;
// what lies left of the diagonal is scratch). Columns n and beyond come along: where column n holds
// a right-hand side b, it ends as y of U^T y = b.
PENCHANT_INLINE void factorize_panel(float* matrix, std::int64_t stride, std::int64_t j,
                                     float* inverse_diagonal) {
  for (int t = 0; t < 4; ++t) {
    float* pivot_row = matrix + (j + t) * stride;
    const float pivot = pivot_row[j + t];
    const float inverse = 1.0F / __builtin_sqrtf(pivot > 1e-30F ? pivot : 1e-30F);
    inverse_diagonal[j + t] = inverse;
    const std::int64_t first = (j + t) / kLanes * kLanes;
    const Vec scale = broadcast(inverse);
    for (std::int64_t c = first; c < stride; c += kLanes)
      store(pivot_row + c, load(pivot_row + c) * scale);
    for (int below_pivot = t + 1; below_pivot < 4; ++below_pivot) {
      float* row = matrix + (j + below_pivot) * stride;
      const Vec factor = broadcast(pivot_row[j + below_pivot]);
      for (std::int64_t c = first; c < stride; c += kLanes)
        store(row + c, load(row + c) - factor * load(pivot_row + c));
    }
  }
}

PENCHANT_INLINE void factorize(float* matrix, std::int64_t n, std::int64_t stride,
                               float* inverse_diagonal) {
  for (std::int64_t j = 0; j < n; j += 4) {
    factorize_panel(matrix, stride, j, inverse_diagonal);
    const float* p = matrix + j * stride;
    for (std::int64_t i = j + 4; i < n; i += 2) {  // n is even
      float* row = matrix + i * stride;
      float* next = row + stride;
      Vec factors[2][4];
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) {
        factors[0][t] = broadcast(p[t * stride + i]);
        factors[1][t] = broadcast(p[t * stride + i + 1]);
      }
      for (std::int64_t c = i / kLanes * kLanes; c < stride; c += kLanes) {
        Vec upper = load(row + c);
        Vec lower = load(next + c);
#pragma GCC unroll 4
        for (int t = 0; t < 4; ++t) {
          const Vec panel = load(p + t * stride + c);
          upper -= factors[0][t] * panel;
          lower -= factors[1][t] * panel;
        }
        store(row + c, upper);
        store(next + c, lower);
      }
    }
  }
}

// Solves U z = y, y in column n of the factorized matrix; z has `stride` floats.
PENCHANT_INLINE void solve_factorized(const float* matrix, std::int64_t n, std::int64_t stride,
                                      const float* inverse_diagonal, float* z) {
  for (std::int64_t c = 0; c < stride; ++c) z[c] = 0.0F;
  for (std::int64_t j = n - 4; j >= 0; j -= 4) {
    const float* p = matrix + j * stride;
    Vec sums[4] = {};
    // z is still zero at this block's own columns and left of them. Column n, which holds y, meets
    // z[n] = 0.
    for (std::int64_t c = j / kLanes * kLanes; c < stride; c += kLanes) {
      const Vec known = load(z + c);
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) sums[t] += load(p + t * stride + c) * known;
    }
    for (int t = 3; t >= 0; --t) {
      float value = p[t * stride + n] - sum_lanes(sums[t]);
      for (int s = t + 1; s < 4; ++s) value -= p[t * stride + j + s] * z[j + s];
      z[j + t] = value * inverse_diagonal[j + t];
    }
  }
}
