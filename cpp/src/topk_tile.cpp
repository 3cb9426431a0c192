#include "topk_tile.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "penchant/simd.hpp"

namespace penchant {

TileSearch::TileSearch(const TopkIndex& index, MatrixView<const float> queries,
                       const TopkFilter& filter, const Survivors& survivors, std::int64_t k)
    : index_(index), queries_(queries), filter_(filter), survivors_(survivors), k_(k) {}

void TileSearch::run(std::int64_t first, MatrixView<std::int64_t> rows, MatrixView<float> scores) {
  run_part(first, 0, 1, nullptr);
  write(rows, scores);
}

void TileSearch::run_part(std::int64_t first, std::int64_t part, std::int64_t n_parts,
                          SharedThresholds* shared) {
  first_ = first;
  count_ = std::min(kTileQueries, queries_.rows - first);
  shared_ = shared;
  for (std::int64_t i = 0; i < count_; ++i) {
    Query& query = slots_[static_cast<std::size_t>(i)];
    prepare(query, queries_.row(first + i));
    if (filter_.exclude != nullptr) query.excluded.start(filter_.exclude->row(first + i));
  }
  bool some_scan = false;
  if (const auto* shared_places = shared_by_all(survivors_)) {
    score_survivors(*shared_places, part, n_parts);
  } else {
    for (std::size_t slot = 0; slot < static_cast<std::size_t>(count_); ++slot) {
      slots_[slot].scans = false;  // it may say so of the tile before
      slots_[slot].scans = !score_places_left(slot, part, n_parts);
      some_scan |= slots_[slot].scans;
    }
  }
  if (some_scan) scan_blocks(part, n_parts);
}

const std::vector<std::int32_t>* TileSearch::places_left(std::size_t slot) {
  const std::int64_t query = first_ + static_cast<std::int64_t>(slot);
  const auto add = [&](std::int32_t row) {
    places_left_.push_back(index_.place_of_[static_cast<std::size_t>(row)]);
  };
  places_left_.clear();
  if (filter_.candidates != nullptr) {
    const auto rows = filter_.candidates->row(query);
    if (!is_little(static_cast<std::int64_t>(rows.size()), index_.size_)) return nullptr;
    std::for_each(rows.begin(), rows.end(), add);
    return &places_left_;
  }
  if (!survivors_.empty()) {
    const std::int32_t row = filter_.allowed_rows == nullptr ? 0 : filter_.allowed_rows[query];
    if (const auto& own = survivors_[static_cast<std::size_t>(row)]) return &*own;
  }
  if (filter_.exclude == nullptr) return nullptr;
  const auto rows = filter_.exclude->row(query);
  if (!is_little(index_.size_ - static_cast<std::int64_t>(rows.size()), index_.size_))
    return nullptr;
  std::int32_t next = 0;
  for (const std::int32_t row : rows) {
    for (; next < row; ++next) add(next);
    next = row + 1;
  }
  for (; next < index_.size_; ++next) add(next);
  return &places_left_;
}

bool TileSearch::score_places_left(std::size_t slot, std::int64_t part, std::int64_t n_parts) {
  const std::vector<std::int32_t>* const places = places_left(slot);
  if (places == nullptr) return false;
  constexpr std::int64_t kRun = 1024;
  const auto n = static_cast<std::int64_t>(places->size());
  const std::int64_t end = n * (part + 1) / n_parts;
  for (std::int64_t begin = n * part / n_parts; begin < end; begin += kRun) {
    for (std::int64_t i = begin; i < std::min(begin + kRun, end); ++i)
      queue(slot, (*places)[static_cast<std::size_t>(i)]);
    rescore();
  }
  return true;
}

// A run of vectors at a time for all queries: they stay in the cache.
void TileSearch::score_survivors(const std::vector<std::int32_t>& places, std::int64_t part,
                                 std::int64_t n_parts) {
  constexpr std::int64_t kRun = 64;
  const auto n = static_cast<std::int64_t>(places.size());
  for (std::int64_t begin = part * kRun; begin < n; begin += n_parts * kRun) {
    for (std::int64_t i = 0; i < count_; ++i)
      for (std::int64_t s = begin; s < std::min(begin + kRun, n); ++s)
        queue(static_cast<std::size_t>(i), places[static_cast<std::size_t>(s)]);
    rescore();
  }
}

void TileSearch::scan_blocks(std::int64_t part, std::int64_t n_parts) {
  // Parts take turns, so that all begin with far-reaching vectors, in runs that lie in one line.
  constexpr std::int64_t kTurns = 8;
  constexpr std::int64_t kLongestRun = 16;
  const auto blocks = static_cast<std::int64_t>(index_.blocks_.size());
  const std::int64_t run = std::clamp<std::int64_t>(blocks / (n_parts * kTurns), 1, kLongestRun);
  for (std::int64_t begin = part * run; begin < blocks; begin += n_parts * run)
    for (std::int64_t b = begin; b < std::min(begin + run, blocks); ++b)
      scan_block(index_.blocks_[static_cast<std::size_t>(b)]);
}

void TileSearch::merge(const TileSearch& other) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(count_); ++i)
    slots_[i].best.merge(other.slots_[i].best);
}

void TileSearch::write(MatrixView<std::int64_t> rows, MatrixView<float> scores) {
  for (std::int64_t i = 0; i < count_; ++i)
    slots_[static_cast<std::size_t>(i)].best.write(rows.row(first_ + i), scores.row(first_ + i));
}

void TileSearch::prepare(Query& query, const float* values) {
  const int levels = kernels().query_levels;
  float largest = 0.0F;
  for (std::int64_t k = 0; k < index_.dim_; ++k) largest = std::max(largest, std::abs(values[k]));
  query.values = values;
  query.scale = largest / static_cast<float>(levels);
  query.words.assign(static_cast<std::size_t>(index_.groups_), 0);
  query.best.start(k_, -std::numeric_limits<float>::infinity());
  double norm = 0.0;
  double quantized_norm = 0.0;
  double error = 0.0;
  for (std::int64_t k = 0; k < index_.dim_; ++k) {
    const auto limit = static_cast<float>(levels);
    const float level = query.scale > 0.0F
                            ? std::clamp(std::nearbyint(values[k] / query.scale), -limit, limit)
                            : 0.0F;
    const double quantized = static_cast<double>(query.scale) * level;
    norm += static_cast<double>(values[k]) * values[k];
    quantized_norm += quantized * quantized;
    error += (values[k] - quantized) * (values[k] - quantized);
    const auto byte = static_cast<std::uint8_t>(static_cast<int>(level) + levels + 1);
    std::memcpy(reinterpret_cast<char*>(query.words.data()) + k, &byte, 1);
  }
  query.norm = round_up(std::sqrt(norm));
  query.quantized_norm = round_up(std::sqrt(quantized_norm));
  query.error = round_up(std::sqrt(error));
  // Where the 8-bit pass could overflow, its threshold becomes -infinity: everything goes on to the
  // exact one.
  constexpr double kLargest = std::numeric_limits<float>::max() / 2;
  if (127.0 * static_cast<double>(largest) * static_cast<double>(index_.dim_) > kLargest)
    query.error = std::numeric_limits<float>::infinity();
}

// Bounds the float rounding of both passes: dim + a few operations on terms whose absolute sum is
// at most |u||v| + |b| (Higham, Accuracy and Stability, section 3.1), with a margin of two; and
// underflow, whose error is absolute.
float TileSearch::rounding_slack(const Query& query, const TopkIndex::Block& block) const {
  using Limits = std::numeric_limits<float>;
  const auto operations = static_cast<float>(index_.dim_ + 16);
  const float terms = query.norm * block.max_norm + block.max_abs_bias;
  return 2.0F * operations * Limits::epsilon() * terms + operations * Limits::denorm_min();
}

bool TileSearch::is_left_out(std::size_t slot, std::int64_t place) const {
  const auto at = static_cast<std::size_t>(place);
  const std::int64_t query = first_ + static_cast<std::int64_t>(slot);
  const std::int32_t row = index_.row_at_[at];
  if (filter_.allowed != nullptr && filter_.allowed_for(query, index_.size_)[row] == 0) return true;
  if (filter_.exclude != nullptr && slots_[slot].excluded.holds(row)) return true;
  if (filter_.candidates == nullptr || !slots_[slot].scans) return false;
  const auto rows = filter_.candidates->row(query);
  return !std::binary_search(rows.begin(), rows.end(), row);
}

void TileSearch::scan_block(const TopkIndex::Block& block) {
  std::array<const std::int32_t*, kTileQueries> words;
  std::array<float, kTileQueries> scales;
  std::array<float, kTileQueries> thresholds;
  std::array<std::int32_t*, kTileQueries> hits;
  std::array<std::int32_t, kTileQueries> n_hits{};
  std::array<std::size_t, kTileQueries> slots;
  std::size_t active = 0;
  const std::int64_t panels = (block.end - block.begin + 15) / 16;
  for (std::size_t slot = 0; slot < static_cast<std::size_t>(count_); ++slot) {
    Query& query = slots_[slot];
    if (!query.scans) continue;
    float threshold = query.best.threshold();
    if (shared_ != nullptr) {
      shared_->raise(slot, threshold);
      threshold = shared_->get(slot);
    }
    const float slack = rounding_slack(query, block);
    if (index_.largest_score(block, query.norm) + slack < threshold) continue;
    query.hits.resize(static_cast<std::size_t>(panels * 16));
    words[active] = query.words.data();
    scales[active] = query.scale;
    thresholds[active] =
        threshold - slack - query.error * block.max_norm - query.quantized_norm * block.max_error;
    hits[active] = query.hits.data();
    slots[active++] = slot;
  }
  const ScanArgs args{index_.panels_.data() + block.begin * index_.groups_ * 4,
                      index_.scales_.data() + block.begin,
                      index_.biases_.data() + block.begin,
                      index_.corrections_.data() + block.begin,
                      panels,
                      index_.groups_,
                      words.data(),
                      scales.data(),
                      thresholds.data(),
                      static_cast<int>(active),
                      hits.data(),
                      n_hits.data()};
  kernels().scan_panels(&args);
  for (std::size_t a = 0; a < active; ++a)
    for (std::int32_t h = 0; h < n_hits[a]; ++h) queue(slots[a], block.begin + hits[a][h]);
  rescore();
  for (std::size_t a = 0; a < active; ++a)
    if (n_hits[a] > 0) slots_[slots[a]].best.settle();
}

void TileSearch::queue(std::size_t slot, std::int64_t place) {
  if (place >= index_.size_) return;  // padding of the last panel
  if (is_left_out(slot, place)) return;
  pair_slots_.push_back(slot);
  pair_queries_.push_back(slots_[slot].values);
  pair_places_.push_back(static_cast<std::int32_t>(place));
  index_.prefetch(place);  // while others are queued
}

void TileSearch::rescore() {
  pair_scores_.resize(pair_places_.size());
  kernels().score_pairs(pair_queries_.data(), index_.vectors_.data(), index_.biases_.data(),
                        index_.dim_, pair_places_.data(),
                        static_cast<std::int64_t>(pair_places_.size()), pair_scores_.data());
  for (std::size_t i = 0; i < pair_places_.size(); ++i)
    slots_[pair_slots_[i]].best.offer(pair_scores_[i],
                                      index_.row_at_[static_cast<std::size_t>(pair_places_[i])]);
  pair_slots_.clear();
  pair_queries_.clear();
  pair_places_.clear();
}

}  // namespace penchant
