#include "log_sum_exp.hpp"

#include <algorithm>
#include <vector>

#include "penchant/parallel.hpp"
#include "penchant/topk.hpp"

namespace penchant {
namespace {

// Queries that share a transposed block of vectors.
constexpr std::int64_t kQueriesOfTask = 512;
// Tasks of so many queries have their sums in memory at once.
constexpr std::int64_t kQueriesAtOnce = 8 * kQueriesOfTask;
// All that shapes a sum depends on the index alone: the bits are the same for any number of threads
// and whatever other queries there are.
constexpr std::int64_t kMostParts = 64;
constexpr std::int64_t kFloatsOfBlock = std::int64_t{1} << 16;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

void TopkIndex::log_sum_exp(MatrixView<const float> queries, std::span<double> sums,
                            int num_threads) const {
  const std::int64_t block = std::clamp<std::int64_t>(
      kFloatsOfBlock / std::max<std::int64_t>(dim_, 1) / 32 * 32, 32, kExpBlock);
  const std::int64_t blocks = ceil_div(size_, block);
  const std::int64_t blocks_of_part = std::max<std::int64_t>(8, ceil_div(blocks, kMostParts));
  const std::int64_t parts = ceil_div(blocks, blocks_of_part);
  const int threads = resolve_num_threads(num_threads);
  std::vector<std::vector<float>> scratches(static_cast<std::size_t>(threads));
  for (std::int64_t first = 0; first < queries.rows; first += kQueriesAtOnce) {
    const std::int64_t n = std::min(kQueriesAtOnce, queries.rows - first);
    std::vector<LogSumExp> partial(static_cast<std::size_t>(n * parts));
    parallel_for(ceil_div(n, kQueriesOfTask) * parts, threads, [&](std::int64_t task, int thread) {
      auto& scratch = scratches[static_cast<std::size_t>(thread)];
      scratch.resize(static_cast<std::size_t>(exp_sums_scratch(dim_, block)));
      const std::int64_t from = task / parts * kQueriesOfTask;
      const std::int64_t count = std::min(kQueriesOfTask, n - from);
      const std::int64_t part = task % parts;
      std::vector<ExpSum> found(static_cast<std::size_t>(count));
      const std::int64_t end = std::min(size_, (part + 1) * blocks_of_part * block);
      for (std::int64_t begin = part * blocks_of_part * block; begin < end; begin += block) {
        const ExpSumsArgs args{vectors_.data() + begin * dim_,
                               biases_.data() + begin,
                               dim_,
                               std::min(block, end - begin),
                               queries.row(first + from),
                               count,
                               scratch.data(),
                               found.data()};
        kernels().exp_sums(&args);
        for (std::int64_t q = 0; q < count; ++q)
          partial[static_cast<std::size_t>((from + q) * parts + part)].add(
              found[static_cast<std::size_t>(q)]);
      }
    });
    for (std::int64_t q = 0; q < n; ++q) {
      LogSumExp whole;
      for (std::int64_t part = 0; part < parts; ++part)
        whole.add(partial[static_cast<std::size_t>(q * parts + part)]);
      sums[static_cast<std::size_t>(first + q)] = whole.value();
    }
  }
}

}  // namespace penchant
