// The rotations of an eigensolver, applied to its eigenvectors. Included like vec.inl.

typedef double Wide __attribute__((vector_size(kLanes * sizeof(float))));
typedef double WideUnaligned
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(double)), may_alias));

constexpr int kWideLanes = kLanes / 2;
constexpr int kWides = 8;  // carried in registers from one rotation to the next

PENCHANT_INLINE void rotate_wide(const RotationArgs& args, std::int64_t offset) {
  const Rotation* rotation = args.rotations;
  for (std::int64_t s = 0; s < args.n_sweeps; ++s) {
    const RotationSweep sweep = args.sweeps[s];
    double* y = args.matrix + (sweep.first + 1) * args.stride + offset;
    Wide carried[kWides];
#pragma GCC unroll 8
    for (int v = 0; v < kWides; ++v)
      carried[v] = *reinterpret_cast<const WideUnaligned*>(y + v * kWideLanes);
    for (std::int64_t r = 0; r < sweep.count; ++r, ++rotation, y -= args.stride) {
      const double* x = y - args.stride;
      const Wide cosine = rotation->cosine - Wide{};
      const Wide sine = rotation->sine - Wide{};
#pragma GCC unroll 8
      for (int v = 0; v < kWides; ++v) {
        const Wide left = *reinterpret_cast<const WideUnaligned*>(x + v * kWideLanes);
        *reinterpret_cast<WideUnaligned*>(y + v * kWideLanes) = sine * left + cosine * carried[v];
        carried[v] = cosine * left - sine * carried[v];
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < kWides; ++v)
      *reinterpret_cast<WideUnaligned*>(y + v * kWideLanes) = carried[v];
  }
}

PENCHANT_INLINE void rotate_one(const RotationArgs& args, std::int64_t offset) {
  const Rotation* rotation = args.rotations;
  for (std::int64_t s = 0; s < args.n_sweeps; ++s) {
    double* y = args.matrix + (args.sweeps[s].first + 1) * args.stride + offset;
    for (std::int64_t r = 0; r < args.sweeps[s].count; ++r, ++rotation, y -= args.stride) {
      double* x = y - args.stride;
      const double left = *x;
      const double right = *y;
      *y = rotation->sine * left + rotation->cosine * right;
      *x = rotation->cosine * left - rotation->sine * right;
    }
  }
}

void rotate_columns(const RotationArgs* args) {
  std::int64_t row = 0;
  for (; row + kWides * kWideLanes <= args->rows; row += kWides * kWideLanes)
    rotate_wide(*args, row);
  for (; row < args->rows; ++row) rotate_one(*args, row);
}
