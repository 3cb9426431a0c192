#include "penchant/topk.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "topk_block.hpp"
#include "topk_tile.hpp"

namespace penchant {
namespace {

// 32 KiB of 8-bit panels at 64 dimensions: smaller blocks were slower, larger ones no faster.
constexpr std::int64_t kBlock = 512;
// Small at first: the threshold is low, and every hit is rescored.
constexpr std::int64_t kFirstBlock = 64;

}  // namespace

TopkIndex::TopkIndex(MatrixView<const float> vectors, const float* biases, int num_threads)
    : memory_(TopkLayout(vectors.rows, vectors.cols).n_bytes) {
  const std::span<std::byte> memory(memory_.data(), static_cast<std::size_t>(memory_.n_bytes()));
  fill_topk_block(vectors, biases, memory, num_threads);
  view(memory);
}

TopkIndex::TopkIndex(std::span<const std::byte> block, std::shared_ptr<const void> owner)
    : owner_(std::move(owner)) {
  check_topk_block(block);
  view(block);
}

void TopkIndex::view(std::span<const std::byte> block) {
  TopkHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  const TopkLayout layout(header.size, header.dim);
  const auto part = [&]<typename T>(std::span<const T>* span, std::int64_t at, std::int64_t count) {
    *span = {reinterpret_cast<const T*>(block.data() + at), static_cast<std::size_t>(count)};
  };
  block_ = block;
  size_ = header.size;
  dim_ = header.dim;
  groups_ = layout.groups;
  mean_norm_ = header.mean_norm;
  part(&row_at_, layout.row_at, size_);
  part(&place_of_, layout.place_of, size_);
  part(&biases_, layout.biases, layout.padded);
  part(&norms_, layout.norms, size_);
  part(&scales_, layout.scales, layout.padded);
  part(&errors_, layout.errors, layout.padded);
  part(&corrections_, layout.corrections, layout.padded);
  part(&vectors_, layout.vectors, size_ * dim_);
  part(&panels_, layout.panels, layout.padded * groups_ * 4);
  make_blocks();
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
  return static_cast<std::int64_t>(block_.size() + blocks_.size() * sizeof(Block));
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
