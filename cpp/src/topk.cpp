#include "penchant/topk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "topk_tile.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kBlock =
    512;  // 32 KiB of 8-bit panels at 64 dimensions: a first-level cache
constexpr std::int64_t kFirstBlock =
    64;  // small at first: the threshold is low, and every hit is rescored

// Norms and errors are stored rounded up, so that the bounds stay bounds.
float round_up(double value) {
  return static_cast<float>(value * (1.0 + 1e-6));
}

std::int64_t padded(std::int64_t size) {
  return (size + kPanel - 1) / kPanel * kPanel;
}

float largest_component(const float* values, std::int64_t size) {
  float largest = 0.0F;
  for (std::int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

}  // namespace

TopkIndex::TopkIndex(MatrixView<const float> vectors, const float* biases, int num_threads)
    : size_(vectors.rows), dim_(vectors.cols), groups_((vectors.cols + 3) / 4) {
  sort_by_norm(vectors, biases, num_threads);
  quantize(num_threads);
  make_blocks();
}

// Long vectors reach high scores, so scanning them first raises the threshold early, and once even
// |query| * |vector| + bias cannot reach it a whole block is skipped (Teflioudi et al., SIGMOD
// 2015).
void TopkIndex::sort_by_norm(MatrixView<const float> vectors, const float* biases,
                             int num_threads) {
  const auto size = static_cast<std::size_t>(size_);
  std::vector<float> norm_of(size);
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      double sum = 0.0;
      for (std::int64_t k = 0; k < dim_; ++k)
        sum += static_cast<double>(vectors.row(r)[k]) * vectors.row(r)[k];
      norm_of[static_cast<std::size_t>(r)] = round_up(std::sqrt(sum));
    }
  });
  row_at_.resize(size);
  std::iota(row_at_.begin(), row_at_.end(), 0);
  std::stable_sort(row_at_.begin(), row_at_.end(), [&](std::int32_t a, std::int32_t b) {
    return norm_of[static_cast<std::size_t>(a)] > norm_of[static_cast<std::size_t>(b)];
  });
  place_of_.resize(size);
  norms_.resize(size);
  biases_.assign(static_cast<std::size_t>(padded(size_)), 0.0F);
  vectors_.resize(static_cast<std::size_t>(size_ * dim_));
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t place = begin; place < end; ++place) {
      const auto at = static_cast<std::size_t>(place);
      const auto row = static_cast<std::size_t>(row_at_[at]);
      place_of_[row] = static_cast<std::int32_t>(place);
      norms_[at] = norm_of[row];
      if (biases != nullptr) biases_[at] = biases[row];
      std::copy_n(vectors.row(row_at_[at]), dim_, vectors_.data() + place * dim_);
    }
  });
}

// Each vector is rounded to 8 bits on a scale of its own.
void TopkIndex::quantize(int num_threads) {
  const auto size = static_cast<std::size_t>(padded(size_));
  scales_.assign(size, 0.0F);
  corrections_.assign(size, 0);
  errors_.assign(size, 0.0F);
  panels_.assign(size * static_cast<std::size_t>(groups_ * 4), 0);
  const int offset = kernels().query_levels + 1;
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t place = begin; place < end; ++place) {
      const float* vector = vectors_.data() + place * dim_;
      const float scale = largest_component(vector, dim_) / 127.0F;
      std::int8_t* panel =
          panels_.data() + place / kPanel * groups_ * kPanel * 4 + place % kPanel * 4;
      double error = 0.0;
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < dim_; ++k) {
        const float level =
            scale > 0.0F ? std::clamp(std::nearbyint(vector[k] / scale), -127.0F, 127.0F) : 0.0F;
        const double rest = static_cast<double>(vector[k]) - static_cast<double>(scale) * level;
        error += rest * rest;
        sum += static_cast<std::int32_t>(level);
        panel[k / 4 * kPanel * 4 + k % 4] = static_cast<std::int8_t>(level);
      }
      const auto at = static_cast<std::size_t>(place);
      scales_[at] = scale;
      corrections_[at] = -offset * sum;
      errors_[at] = round_up(std::sqrt(error));
    }
  });
}

void TopkIndex::make_blocks() {
  for (std::int64_t begin = 0; begin < size_;) {
    const std::int64_t end = std::min({size_, begin + kBlock, std::max(begin * 2, kFirstBlock)});
    Block block{begin, end, 0.0F, -std::numeric_limits<float>::infinity(), 0.0F, 0.0F};
    for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) {
      block.max_norm = std::max(block.max_norm, norms_[at]);
      block.max_bias = std::max(block.max_bias, biases_[at]);
      block.max_abs_bias = std::max(block.max_abs_bias, std::abs(biases_[at]));
      block.max_error = std::max(block.max_error, errors_[at]);
    }
    blocks_.push_back(block);
    begin = end;
  }
}

double TopkIndex::score_bound(float largest_query) const {
  double norm = 0.0;
  double bias = 0.0;
  for (const Block& block : blocks_) {
    norm = std::max<double>(norm, block.max_norm);
    bias = std::max<double>(bias, block.max_abs_bias);
  }
  return bias + static_cast<double>(largest_query) * std::sqrt(static_cast<double>(dim_)) * norm;
}

void TopkIndex::search(MatrixView<const float> queries, const TopkFilter& filter,
                       MatrixView<std::int64_t> rows, MatrixView<float> scores,
                       int num_threads) const {
  const std::int64_t tiles = (queries.rows + TileSearch::kQueries - 1) / TileSearch::kQueries;
  const int threads =
      static_cast<int>(std::min<std::int64_t>(resolve_num_threads(num_threads), tiles));
  std::vector<TileSearch> searches;
  searches.reserve(static_cast<std::size_t>(threads));
  for (int thread = 0; thread < threads; ++thread)
    searches.emplace_back(*this, queries, filter, rows.cols);
  parallel_for(tiles, threads, [&](std::int64_t tile, int thread) {
    searches[static_cast<std::size_t>(thread)].run(tile * TileSearch::kQueries, rows, scores);
  });
}

void TopkIndex::score_pairs(MatrixView<const float> queries,
                            std::span<const std::int64_t> query_rows,
                            std::span<const std::int64_t> vector_rows, std::span<float> scores,
                            int num_threads) const {
  parallel_chunks(
      static_cast<std::int64_t>(query_rows.size()), 4096, num_threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<std::int32_t> places;
        for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end);) {
          // Pairs of one query that stand together are scored together.
          const std::int64_t query = query_rows[at];
          const std::size_t first = at;
          places.clear();
          for (; at < static_cast<std::size_t>(end) && query_rows[at] == query; ++at)
            places.push_back(place_of_[static_cast<std::size_t>(vector_rows[at])]);
          kernels().score_rows(queries.row(query), vectors_.data(), biases_.data(), dim_,
                               places.data(), static_cast<std::int64_t>(places.size()),
                               scores.data() + first);
        }
      });
}

}  // namespace penchant
