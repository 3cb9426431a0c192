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
// 32 KiB of 8-bit panels at 64 dimensions: smaller blocks were slower, larger ones no faster.
constexpr std::int64_t kBlock = 512;
// Small at first: the threshold is low, and every hit is rescored.
constexpr std::int64_t kFirstBlock = 64;

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
  sort_by_reach(vectors, biases, num_threads);
  quantize(num_threads);
  make_blocks();
}

// A vector reaches |query| * |vector| + bias at most. Scanning far-reaching ones first raises the
// threshold early, and a block that cannot reach it is skipped (Teflioudi et al., SIGMOD 2015). The
// order must not depend on the query, so a query as long as the mean vector stands for all.
void TopkIndex::sort_by_reach(MatrixView<const float> vectors, const float* biases,
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
  const double norm_sum = std::accumulate(norm_of.begin(), norm_of.end(), 0.0);
  // Neither zero nor infinite, so that a query's norm can be measured in it.
  mean_norm_ = std::clamp(round_up(norm_sum / static_cast<double>(std::max(size, std::size_t{1}))),
                          std::numeric_limits<float>::min(), std::numeric_limits<float>::max());
  std::vector<double> reach(size);  // of squared norms, which float32 may not hold
  for (std::size_t r = 0; r < size; ++r)
    reach[r] = static_cast<double>(mean_norm_) * static_cast<double>(norm_of[r]) +
               (biases != nullptr ? static_cast<double>(biases[r]) : 0.0);
  row_at_.resize(size);
  std::iota(row_at_.begin(), row_at_.end(), 0);
  std::stable_sort(row_at_.begin(), row_at_.end(), [&](std::int32_t a, std::int32_t b) {
    return reach[static_cast<std::size_t>(a)] > reach[static_cast<std::size_t>(b)];
  });
  place_of_.resize(size);
  norms_.resize(size);
  biases_.assign(static_cast<std::size_t>(padded(size_)), 0.0F);
  vectors_ = LargeArray<float>(size_ * dim_);
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
  panels_ = LargeArray<std::int8_t>(padded(size_) * groups_ * 4);
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
    Block block;
    block.begin = begin;
    block.end = end;
    block.hull.fill(-std::numeric_limits<float>::infinity());
    for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) {
      block.max_norm = std::max(block.max_norm, norms_[at]);
      block.max_abs_bias = std::max(block.max_abs_bias, std::abs(biases_[at]));
      block.max_error = std::max(block.max_error, errors_[at]);
      for (std::size_t i = 0; i < kHull; ++i)
        block.hull[i] =
            std::max(block.hull[i], kHullPoints[i] * mean_norm_ * norms_[at] + biases_[at]);
    }
    largest_norm_ = std::max<double>(largest_norm_, block.max_norm);
    largest_bias_ = std::max<double>(largest_bias_, block.max_abs_bias);
    blocks_.push_back(block);
    begin = end;
  }
}

float TopkIndex::largest_score(const Block& block, float query_norm) const {
  const float x = query_norm / mean_norm_;
  for (std::size_t i = 1; i < kHull; ++i) {
    if (x > kHullPoints[i]) continue;
    const float share = (x - kHullPoints[i - 1]) / (kHullPoints[i] - kHullPoints[i - 1]);
    return block.hull[i - 1] + share * (block.hull[i] - block.hull[i - 1]);
  }
  return block.hull.back() + (query_norm - kHullPoints.back() * mean_norm_) * block.max_norm;
}

std::int64_t TopkIndex::n_bytes() const {
  const auto bytes = [](const auto& values) {
    return static_cast<std::int64_t>(values.size() * sizeof(values[0]));
  };
  return vectors_.n_bytes() + panels_.n_bytes() + bytes(row_at_) + bytes(place_of_) +
         bytes(biases_) + bytes(norms_) + bytes(scales_) + bytes(errors_) + bytes(corrections_) +
         bytes(blocks_);
}

double TopkIndex::score_bound(float largest_query) const {
  return largest_bias_ +
         static_cast<double>(largest_query) * std::sqrt(static_cast<double>(dim_)) * largest_norm_;
}

void TopkIndex::search(MatrixView<const float> queries, const TopkFilter& filter,
                       MatrixView<std::int64_t> rows, MatrixView<float> scores,
                       int num_threads) const {
  const std::int64_t tiles = (queries.rows + kTileQueries - 1) / kTileQueries;
  const int threads = resolve_num_threads(num_threads);
  const Survivors few = survivors(filter, queries.rows, threads);
  std::int64_t pairs = queries.rows * size_;
  if (const auto* shared = shared_by_all(few))
    pairs = queries.rows * static_cast<std::int64_t>(shared->size());
  if (filter.candidates != nullptr) pairs = std::min(pairs, filter.candidates->entries());
  const std::int64_t parts = parts_of_tile(pairs, tiles, threads);
  const auto workers = static_cast<int>(std::min<std::int64_t>(threads, tiles * parts));
  std::vector<TileSearch> searches;
  const std::int64_t n_searches = parts == 1 ? workers : tiles * parts;
  searches.reserve(static_cast<std::size_t>(n_searches));
  for (std::int64_t s = 0; s < n_searches; ++s)
    searches.emplace_back(*this, queries, filter, few, rows.cols);
  if (parts == 1) {
    parallel_for(tiles, workers, [&](std::int64_t tile, int thread) {
      searches[static_cast<std::size_t>(thread)].run(tile * kTileQueries, rows, scores);
    });
    return;
  }
  std::vector<SharedThresholds> shared(static_cast<std::size_t>(tiles));
  parallel_for(tiles * parts, workers, [&](std::int64_t task, int) {
    const std::int64_t tile = task / parts;
    searches[static_cast<std::size_t>(task)].run_part(tile * kTileQueries, task % parts, parts,
                                                      &shared[static_cast<std::size_t>(tile)]);
  });
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    TileSearch& whole = searches[static_cast<std::size_t>(tile * parts)];
    for (std::int64_t part = 1; part < parts; ++part)
      whole.merge(searches[static_cast<std::size_t>(tile * parts + part)]);
    whole.write(rows, scores);
  }
}

Survivors TopkIndex::survivors(const TopkFilter& filter, std::int64_t n_queries,
                               int num_threads) const {
  if (filter.allowed == nullptr || filter.candidates != nullptr) return {};
  std::vector<std::int32_t> named;  // rows of the flags, each once
  if (filter.allowed_rows == nullptr) {
    named.push_back(0);
  } else {
    named.assign(filter.allowed_rows, filter.allowed_rows + n_queries);
    std::sort(named.begin(), named.end());
    named.erase(std::unique(named.begin(), named.end()), named.end());
  }
  Survivors found(named.empty() ? 0 : static_cast<std::size_t>(named.back()) + 1);
  parallel_for(static_cast<std::int64_t>(named.size()), num_threads, [&](std::int64_t n, int) {
    const std::int64_t row = named[static_cast<std::size_t>(n)];
    const std::uint8_t* const allowed = filter.allowed + row * size_;
    constexpr std::int64_t kRun = 4096;
    std::int64_t count = 0;
    for (std::int64_t begin = 0; begin < size_ && is_little(count, size_); begin += kRun) {
      const std::int64_t n_flags = std::min(kRun, size_ - begin);
      count += n_flags - std::count(allowed + begin, allowed + begin + n_flags, 0);
    }
    if (!is_little(count, size_)) return;
    auto& places = found[static_cast<std::size_t>(row)].emplace();
    places.reserve(static_cast<std::size_t>(count));
    for (std::int64_t v = 0; v < size_; ++v)
      if (allowed[v] != 0) places.push_back(place_of_[static_cast<std::size_t>(v)]);
  });
  return found;
}

// Few queries share the threads; each part of a search should be worth waking one up for.
std::int64_t TopkIndex::parts_of_tile(std::int64_t pairs, std::int64_t tiles, int threads) const {
  constexpr std::int64_t kBytesOfPart = std::int64_t{256} << 10;
  if (tiles == 0 || tiles >= threads) return 1;
  const std::int64_t worth = pairs * groups_ * 4 / tiles / kBytesOfPart;
  const std::int64_t wanted = (threads + tiles - 1) / tiles;
  return std::clamp<std::int64_t>(worth, 1, wanted);
}

void TopkIndex::score_pairs(MatrixView<const float> queries,
                            std::span<const std::int64_t> query_rows,
                            std::span<const std::int64_t> vector_rows, std::span<float> scores,
                            int num_threads) const {
  const auto n_pairs = static_cast<std::int64_t>(query_rows.size());
  parallel_chunks(n_pairs, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<const float*> pointers;
    std::vector<std::int32_t> places;
    for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) {
      pointers.push_back(queries.row(query_rows[at]));
      places.push_back(place_of_[static_cast<std::size_t>(vector_rows[at])]);
    }
    kernels().score_pairs(pointers.data(), vectors_.data(), biases_.data(), dim_, places.data(),
                          end - begin, scores.data() + begin);
  });
}

void TopkIndex::score_rows(const float* query, std::span<const std::int32_t> vector_rows,
                           std::vector<std::int32_t>* places, std::span<float> scores) const {
  places->clear();
  for (const std::int32_t row : vector_rows) {
    places->push_back(place_of_[static_cast<std::size_t>(row)]);
    prefetch(places->back());
    __builtin_prefetch(biases_.data() + places->back());
  }
  constexpr std::size_t kAtOnce = 64;
  std::array<const float*, kAtOnce> queries;
  queries.fill(query);
  for (std::size_t first = 0; first < places->size(); first += kAtOnce)
    kernels().score_pairs(queries.data(), vectors_.data(), biases_.data(), dim_,
                          places->data() + first,
                          static_cast<std::int64_t>(std::min(kAtOnce, places->size() - first)),
                          scores.data() + first);
}

}  // namespace penchant
