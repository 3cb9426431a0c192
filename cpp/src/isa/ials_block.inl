// Blocks of a row's coordinates, solved in turn (iALS++, Rendle et al. 2021); one block of all
// coordinates is the exact primal solution. Included like vec.inl.

// The upper triangle of diag + sum_j c_j h_j h_j^T over columns [offset, offset + size).
PENCHANT_INLINE void add_outer_products(const IalsRowArgs& args, std::int64_t offset,
                                        std::int64_t size, float* out, std::int64_t out_stride) {
  constexpr std::int64_t kRowsAtOnce = 256;  // they stay in the second-level cache
  for (std::int64_t first = 0; first < args.n; first += kRowsAtOnce) {
    const std::int64_t last = first + kRowsAtOnce < args.n ? first + kRowsAtOnce : args.n;
    for (std::int64_t i = 0; i < size; i += 4)
      for (std::int64_t c = i / kLanes * kLanes; c < size; c += kLanes * 2) {
        const bool both = c + kLanes < size;
        Vec sums[4][2] = {};
        for (std::int64_t j = first; j < last; ++j) {
          const float* row = row_of(args, j) + offset;
          const Vec confidence = broadcast(confidence_of(args, j));
          const Vec right = load(row + c) * confidence;
          const Vec further = load(row + c + (both ? kLanes : 0)) * confidence;
#pragma GCC unroll 4
          for (int t = 0; t < 4; ++t) {
            const Vec left = broadcast(row[i + t]);
            sums[t][0] += left * right;
            sums[t][1] += left * further;
          }
        }
        for (int t = 0; t < 4; ++t) {
          float* to = out + (i + t) * out_stride + c;
          store(to, load(to) + sums[t][0]);
          if (both) store(to + kLanes, load(to + kLanes) + sums[t][1]);
        }
      }
  }
}

std::int64_t ials_block_scratch(std::int64_t n, std::int64_t stride, std::int64_t block) {
  const std::int64_t size = block < stride ? block : stride;
  return size * system_stride(size) + 2 * system_stride(size) + size + round_up(n, 4);
}

void ials_block(const IalsRowArgs* args, IalsRowResult* result) {
  const std::int64_t block = args->block_size < args->stride ? args->block_size : args->stride;
  const std::int64_t stride = system_stride(block);
  float* system = args->scratch;
  float* step = system + block * stride;
  float* inverse_diagonal = step + stride;
  float* gradient = inverse_diagonal + stride;
  float* errors = gradient + block;
  for (std::int64_t j = 0; j < args->n; ++j)
    errors[j] = 1.0F - dot(row_of(*args, j), args->row, args->stride);
  for (std::int64_t offset = 0; offset < args->stride; offset += block) {
    const std::int64_t size = block < args->stride - offset ? block : args->stride - offset;
    float* w = args->row + offset;
    set_zero(system, size * stride);
    add_outer_products(*args, offset, size, system, stride);
    set_zero(gradient, size);
    for (std::int64_t j = 0; j < args->n; ++j) {
      const Vec factor = broadcast(confidence_of(*args, j) * errors[j]);
      const float* row = row_of(*args, j) + offset;
      for (std::int64_t k = 0; k < size; k += kLanes)
        store(gradient + k, load(gradient + k) + factor * load(row + k));
    }
    for (std::int64_t k = 0; k < size; k += kLanes) {
      const Vec diagonal = diagonal_at(*args, offset + k);
      for (int lane = 0; lane < kLanes; ++lane) {
        float* row = system + (k + lane) * stride;
        row[k + lane] += diagonal[lane];
        row[size] = gradient[k + lane] - diagonal[lane] * w[k + lane];
      }
    }
    factorize(system, size, stride, inverse_diagonal);
    solve_factorized(system, size, stride, inverse_diagonal, step);
    for (std::int64_t k = 0; k < size; k += kLanes) store(w + k, load(w + k) + load(step + k));
    for (std::int64_t j = 0; j < args->n; ++j)
      errors[j] -= dot(row_of(*args, j) + offset, step, size);
  }
  double error = 0.0;
  for (std::int64_t j = 0; j < args->n; ++j)
    error +=
        static_cast<double>(confidence_of(*args, j) * errors[j]) * static_cast<double>(errors[j]);
  sum_up(*args, error, result);
}
