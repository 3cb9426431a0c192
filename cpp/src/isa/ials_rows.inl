// The rows of implicit ALS, one at a time: exactly, through the smaller of two systems, or by
// conjugate gradients. Included like vec.inl; the systems are in penchant/ials_rows.hpp.

// Row and column vectors of a tile of dot products: together as many sums as a vector has lanes.
constexpr int kDotRows = kLanes == 4 ? 2 : 4;
constexpr int kDotColumns = kLanes / kDotRows;

PENCHANT_INLINE std::int64_t round_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}
// Floats to a row of a square system of n unknowns and its right-hand side.
PENCHANT_INLINE std::int64_t system_stride(std::int64_t n) {
  return round_up(n + 1, kRowMultiple);
}
PENCHANT_INLINE void set_zero(float* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = 0.0F;
}
PENCHANT_INLINE float confidence_of(const IalsRowArgs& args, std::int64_t j) {
  return args.confidence == nullptr ? 1.0F : args.confidence[j];
}
PENCHANT_INLINE const float* row_of(const IalsRowArgs& args, std::int64_t j) {
  return args.fixed + args.indices[j] * args.stride;
}
// Entry v of the diagonal; the floor keeps it invertible where nothing penalizes a direction.
PENCHANT_INLINE Vec diagonal_at(const IalsRowArgs& args, std::int64_t v) {
  const Vec value = broadcast(args.weight) * load(args.spectrum + v) + broadcast(args.ridge);
  const Vec least = broadcast(args.floor);
  return value > least ? value : least;
}

// Rows come from all over a large matrix: the list says which are next.
constexpr std::int64_t kPrefetchRows = 8;

PENCHANT_INLINE void prefetch_row_of(const IalsRowArgs& args, std::int64_t j) {
  if (j >= args.n) return;
  const float* row = row_of(args, j);
  const std::int64_t lines = args.stride < 256 ? args.stride : 256;  // the rest streams in behind
  for (std::int64_t f = 0; f < lines; f += 16) __builtin_prefetch(row + f, 0, 3);
}

PENCHANT_INLINE void sum_up(const IalsRowArgs& args, double error, IalsRowResult* result) {
  Vec quadratic{};
  Vec norm{};
  for (std::int64_t k = 0; k < args.stride; k += kLanes) {
    const Vec w = load(args.row + k);
    norm += w * w;
    quadratic += diagonal_at(args, k) * w * w;
  }
  *result = {error, static_cast<double>(sum_lanes(quadratic)),
             static_cast<double>(sum_lanes(norm))};
}

// ---- the dual system: n x n --------------------------------------------------------------------
// With A = H D^-1/2, (C^-1 + A A^T) z = 1 and w = D^-1/2 A^T z (Woodbury's identity); z_j / c_j is
// the error 1 - h_j . w. Exact, and for a row shorter than its factors far less work than the
// primal system.

PENCHANT_INLINE void gather_scaled(const IalsRowArgs& args, std::int64_t rows, float* scale,
                                   float* to) {
  for (std::int64_t k = 0; k < args.stride; k += kLanes) {
    const Vec diagonal = diagonal_at(args, k);
    for (int lane = 0; lane < kLanes; ++lane)
      scale[k + lane] = 1.0F / __builtin_sqrtf(diagonal[lane]);
  }
  for (std::int64_t j = 0; j < kPrefetchRows; ++j) prefetch_row_of(args, j);
  for (std::int64_t j = 0; j < args.n; ++j) {
    prefetch_row_of(args, j + kPrefetchRows);
    const float* row = row_of(args, j);
    for (std::int64_t k = 0; k < args.stride; k += kLanes)
      store(to + j * args.stride + k, load(row + k) * load(scale + k));
  }
  set_zero(to + args.n * args.stride, (rows - args.n) * args.stride);
}

// The upper tiles of A A^T.
PENCHANT_INLINE void multiply_transposed(const float* a, std::int64_t rows, std::int64_t depth,
                                         float* out, std::int64_t out_stride) {
  for (std::int64_t i = 0; i < rows; i += kDotRows)
    for (std::int64_t j = i / 4 * 4; j < rows; j += kDotColumns) {
      Vec sums[kLanes] = {};
      for (std::int64_t k = 0; k < depth; k += kLanes) {
        Vec right[kDotColumns];
#pragma GCC unroll 4
        for (int c = 0; c < kDotColumns; ++c) right[c] = load(a + (j + c) * depth + k);
#pragma GCC unroll 4
        for (int r = 0; r < kDotRows; ++r) {
          const Vec left = load(a + (i + r) * depth + k);
#pragma GCC unroll 4
          for (int c = 0; c < kDotColumns; ++c) sums[r * kDotColumns + c] += left * right[c];
        }
      }
      float tile[kLanes];
      store(tile, sum_each(sums));
      for (int r = 0; r < kDotRows; ++r)
        __builtin_memcpy(out + (i + r) * out_stride + j, tile + r * kDotColumns,
                         kDotColumns * sizeof(float));
    }
}

PENCHANT_INLINE void scaled_sum_of_rows(const float* a, std::int64_t rows, std::int64_t depth,
                                        const float* z, const float* scale, float* out) {
  for (std::int64_t k = 0; k < depth; k += kLanes) {
    Vec sums[4] = {};
    for (std::int64_t j = 0; j < rows; j += 4)
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) sums[t] += broadcast(z[j + t]) * load(a + (j + t) * depth + k);
    store(out + k, (sums[0] + sums[1] + (sums[2] + sums[3])) * load(scale + k));
  }
}

std::int64_t ials_dual_scratch(std::int64_t n, std::int64_t stride) {
  const std::int64_t rows = round_up(n, 4);
  return stride + rows * stride + rows * system_stride(rows) + 2 * system_stride(rows);
}

void ials_dual(const IalsRowArgs* args, IalsRowResult* result) {
  const std::int64_t rows = round_up(args->n, 4);
  const std::int64_t stride = system_stride(rows);
  float* scale = args->scratch;
  float* a = scale + args->stride;
  float* system = a + rows * args->stride;
  float* z = system + rows * stride;
  float* inverse_diagonal = z + stride;
  gather_scaled(*args, rows, scale, a);
  set_zero(system, rows * stride);
  multiply_transposed(a, rows, args->stride, system, stride);
  for (std::int64_t j = 0; j < rows; ++j) {
    system[j * stride + j] += j < args->n ? 1.0F / confidence_of(*args, j) : 1.0F;
    system[j * stride + rows] = j < args->n ? 1.0F : 0.0F;
  }
  factorize(system, rows, stride, inverse_diagonal);
  solve_factorized(system, rows, stride, inverse_diagonal, z);
  scaled_sum_of_rows(a, rows, args->stride, z, scale, args->row);
  double error = 0.0;
  for (std::int64_t j = 0; j < args->n; ++j)
    error += static_cast<double>(z[j]) * static_cast<double>(z[j] / confidence_of(*args, j));
  sum_up(*args, error, result);
}

// ---- the passes of the other solvers -----------------------------------------------------------

// For four rows at a time: their products with p, what `weigh` makes of them, and the rows so
// weighted added to q. Columns [0, width) of the rows.
template <typename Weigh>
PENCHANT_INLINE void pass_over_rows(const IalsRowArgs& args, std::int64_t offset,
                                    std::int64_t width, const float* p, float* q, Weigh weigh) {
  for (std::int64_t j = 0; j < args.n; j += 4) {
    const float* rows[4];
    for (int t = 0; t < 4; ++t) {
      rows[t] = row_of(args, j + t < args.n ? j + t : args.n - 1) + offset;
      prefetch_row_of(args, j + t + kPrefetchRows);
    }
    Vec sums[4] = {};
    for (std::int64_t k = 0; k < width; k += kLanes) {
      const Vec direction = load(p + k);
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) sums[t] += load(rows[t] + k) * direction;
    }
    Vec factors[4];
    for (int t = 0; t < 4; ++t)
      factors[t] = broadcast(j + t < args.n ? weigh(j + t, sum_lanes(sums[t])) : 0.0F);
    for (std::int64_t k = 0; k < width; k += kLanes) {
      Vec sum = load(q + k);
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) sum += factors[t] * load(rows[t] + k);
      store(q + k, sum);
    }
  }
}

PENCHANT_INLINE float dot(const float* a, const float* b, std::int64_t n) {
  Vec sum{};
  for (std::int64_t k = 0; k < n; k += kLanes) sum += load(a + k) * load(b + k);
  return sum_lanes(sum);
}

// ---- conjugate gradients -----------------------------------------------------------------------
// Preconditioned with the diagonal, which is the whole system but for the row's own n entries: so
// it needs at most n steps and usually a handful.

std::int64_t ials_gradients_scratch(std::int64_t n, std::int64_t stride) {
  return 4 * stride + 2 * round_up(n, 4);
}

void ials_gradients(const IalsRowArgs* args, IalsRowResult* result) {
  const std::int64_t width = args->stride;
  float* w = args->row;
  float* residual = args->scratch;
  float* p = residual + width;
  float* q = p + width;
  float* scaled = q + width;  // the residual, preconditioned
  float* errors = scaled + width;
  float* products = errors + round_up(args->n, 4);
  for (std::int64_t j = 0; j < kPrefetchRows; ++j) prefetch_row_of(*args, j);
  set_zero(residual, width);
  pass_over_rows(*args, 0, width, w, residual, [&](std::int64_t j, float product) {
    errors[j] = 1.0F - product;
    return confidence_of(*args, j) * errors[j];
  });
  Vec sum{};
  for (std::int64_t k = 0; k < width; k += kLanes) {
    const Vec diagonal = diagonal_at(*args, k);
    const Vec r = load(residual + k) - diagonal * load(w + k);
    const Vec z = r / diagonal;
    store(residual + k, r);
    store(p + k, z);
    sum += r * z;
  }
  float size = sum_lanes(sum);
  for (std::int32_t step = 0; step < args->steps && size > 1e-20F; ++step) {
    set_zero(q, width);
    pass_over_rows(*args, 0, width, p, q, [&](std::int64_t j, float product) {
      products[j] = product;
      return confidence_of(*args, j) * product;
    });
    for (std::int64_t k = 0; k < width; k += kLanes)
      store(q + k, load(q + k) + diagonal_at(*args, k) * load(p + k));
    const float curvature = dot(p, q, width);
    if (!(curvature > 0.0F)) break;
    const float length = size / curvature;
    for (std::int64_t j = 0; j < args->n; ++j) errors[j] -= length * products[j];
    sum = Vec{};
    for (std::int64_t k = 0; k < width; k += kLanes) {
      store(w + k, load(w + k) + broadcast(length) * load(p + k));
      const Vec r = load(residual + k) - broadcast(length) * load(q + k);
      const Vec z = r / diagonal_at(*args, k);
      store(residual + k, r);
      store(scaled + k, z);
      sum += r * z;
    }
    const float next_size = sum_lanes(sum);
    const Vec keep = broadcast(next_size / size);
    for (std::int64_t k = 0; k < width; k += kLanes)
      store(p + k, load(scaled + k) + keep * load(p + k));
    size = next_size;
  }
  double error = 0.0;
  for (std::int64_t j = 0; j < args->n; ++j)
    error +=
        static_cast<double>(confidence_of(*args, j) * errors[j]) * static_cast<double>(errors[j]);
  sum_up(*args, error, result);
}
