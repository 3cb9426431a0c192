#include "penchant/random.hpp"

#include <cmath>
#include <numbers>

#include "penchant/parallel.hpp"

namespace penchant {
namespace {

// Two independent standard normals from one 64-bit value (Box and Muller 1958).
void normal_pair(std::uint64_t bits, float* first, float* second) {
  const double u = (static_cast<double>(bits >> 32) + 1.0) * 0x1p-32;  // (0, 1]
  const double v = static_cast<double>(bits & 0xffffffffULL) * 0x1p-32;
  const double radius = std::sqrt(-2.0 * std::log(u));
  const double angle = 2.0 * std::numbers::pi * v;
  *first = static_cast<float>(radius * std::cos(angle));
  *second = static_cast<float>(radius * std::sin(angle));
}

}  // namespace

void random_normal(MatrixView<float> out, float scale, std::uint64_t seed, std::uint64_t stream,
                   int num_threads) {
  parallel_chunks(out.rows, 1024, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      RandomStream random{stream_key(seed, stream, static_cast<std::uint64_t>(r)), 0};
      float* row = out.row(r);
      for (std::int64_t c = 0; c < out.cols; c += 2) {
        float pair[2];
        normal_pair(next_u64(&random), &pair[0], &pair[1]);
        row[c] = scale * pair[0];
        if (c + 1 < out.cols) row[c + 1] = scale * pair[1];
      }
    }
  });
}

}  // namespace penchant
