// Top-k of one tile of queries; internal to topk.cpp.
//
// Pass 1 scores a block of vectors in 8 bits. With u, v the query and a vector, u', v' their
// quantized forms,
//   |u.v - u'.v'| <= |u - u'| |v| + |u'| |v - v'|,
// so a vector whose approximate score plus that bound (and one on the rounding of both passes) is
// below the k-th best score so far cannot be in the answer. The few others get their exact score in
// pass 2.
#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "best_k.hpp"
#include "penchant/topk.hpp"

namespace penchant {

// A float not below `value`: norms and errors are rounded up, denormal ones too, so that bounds
// stay bounds.
inline float round_up(double value) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return value > 0.0 ? std::nextafter(static_cast<float>(value * (1.0 + 1e-6)), kInfinity) : 0.0F;
}

inline constexpr std::int64_t kTileQueries = 64;
// So many queries look what they leave out up; more share a table of it, which has to be made.
inline constexpr std::int64_t kFewQueries = 8;

// The highest threshold that any part of a tile's search has reached, for each of its queries.
// Parts that read it late only score more vectors than they need: the answer does not change.
class SharedThresholds {
 public:
  SharedThresholds() {
    for (auto& value : values_) value.store(-std::numeric_limits<float>::infinity());
  }
  [[nodiscard]] float get(std::size_t slot) const {
    return values_[slot].load(std::memory_order_relaxed);
  }
  void raise(std::size_t slot, float threshold) {
    float known = get(slot);
    while (threshold > known && !values_[slot].compare_exchange_weak(known, threshold)) {
    }
  }

 private:
  std::array<std::atomic<float>, kTileQueries> values_;
};

class TileSearch {
 public:
  // `survivors` are the only positions to look at; null: all of them.
  TileSearch(const TopkIndex& index, MatrixView<const float> queries, const TopkFilter& filter,
             const std::vector<std::int32_t>* survivors, std::int64_t k);

  // Answers queries [first, first + kTileQueries), as far as there are any.
  void run(std::int64_t first, MatrixView<std::int64_t> rows, MatrixView<float> scores);

  // The same in parts, each on an object of its own: part p of n scans blocks p, p + n, ... ;
  // then one takes over what the others have found and writes the answer.
  void run_part(std::int64_t first, std::int64_t part, std::int64_t n_parts,
                SharedThresholds* shared);
  void merge(const TileSearch& other);
  void write(MatrixView<std::int64_t> rows, MatrixView<float> scores);

 private:
  struct Query {
    const float* values = nullptr;
    float norm = 0.0F;
    float quantized_norm = 0.0F;
    float error = 0.0F;  // norm of (query - quantized query)
    float scale = 0.0F;
    std::vector<std::int32_t> words;
    BestK best;
    std::vector<std::int32_t> hits;
  };

  void prepare(Query& query, const float* values);
  void mark_excluded(bool on);
  [[nodiscard]] bool is_left_out(std::size_t slot, std::int64_t place) const;
  void score_candidates(std::int64_t part, std::int64_t n_parts);
  void score_survivors(std::int64_t part, std::int64_t n_parts);
  void scan_block(const TopkIndex::Block& block);
  // Queues a vector for its exact score, unless it is left out for that query.
  void queue(std::size_t slot, std::int64_t place);
  // Scores what is queued and offers it to the heaps.
  void rescore();
  [[nodiscard]] float rounding_slack(const Query& query, const TopkIndex::Block& block) const;

  const TopkIndex& index_;
  MatrixView<const float> queries_;
  TopkFilter filter_;
  const std::vector<std::int32_t>* survivors_;
  std::int64_t k_;
  std::array<Query, kTileQueries> slots_;
  std::int64_t first_ = 0;  // query of the first slot
  std::int64_t count_ = 0;  // slots in use
  SharedThresholds* shared_ = nullptr;
  std::vector<std::uint64_t> excluded_;  // scan position -> bit of each slot that leaves it out
  // Queued pairs: slot, query and scan position; and their scores.
  std::vector<std::size_t> pair_slots_;
  std::vector<const float*> pair_queries_;
  std::vector<std::int32_t> pair_places_;
  std::vector<float> pair_scores_;
};

}  // namespace penchant
