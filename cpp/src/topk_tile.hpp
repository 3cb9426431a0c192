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
#include <optional>
#include <vector>

#include "best_k.hpp"
#include "members.hpp"
#include "penchant/topk.hpp"

namespace penchant {

// A float not below `value`: norms and errors are rounded up, denormal ones too, so that bounds
// stay bounds.
inline float round_up(double value) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (!(value > 0.0)) return 0.0F;
  const double above = value * (1.0 + 1e-6);
  if (above >= static_cast<double>(std::numeric_limits<float>::max())) return kInfinity;
  return std::nextafter(static_cast<float>(above), kInfinity);
}

inline constexpr std::int64_t kTileQueries = 64;
// Whether so many of the vectors are better scored one by one than looked for in a scan.
inline bool is_little(std::int64_t count, std::int64_t n_vectors) {
  // An exact score of a vector by itself costs about as much as so many 8-bit ones in a scan.
  constexpr std::int64_t kScansPerScore = 16;
  return count * kScansPerScore <= n_vectors;
}

// The survivors of all queries, where they are the same and few; else null.
inline const std::vector<std::int32_t>* shared_by_all(const Survivors& survivors) {
  return survivors.size() == 1 && survivors[0] ? &*survivors[0] : nullptr;
}

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
  TileSearch(const TopkIndex& index, MatrixView<const float> queries, const TopkFilter& filter,
             const Survivors& survivors, std::int64_t k);

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
    Members excluded;    // where the filter excludes
    bool scans = false;  // its vectors are looked for in the blocks; else it has them already
  };

  void prepare(Query& query, const float* values);
  [[nodiscard]] bool is_left_out(std::size_t slot, std::int64_t place) const;
  // Positions of what a query may have, if that is little; else null.
  const std::vector<std::int32_t>* places_left(std::size_t slot);
  // Scores them; false if it is not little.
  bool score_places_left(std::size_t slot, std::int64_t part, std::int64_t n_parts);
  // The same for survivors that all queries share.
  void score_survivors(const std::vector<std::int32_t>& places, std::int64_t part,
                       std::int64_t n_parts);
  void scan_blocks(std::int64_t part, std::int64_t n_parts);
  void scan_block(const TopkIndex::Block& block);
  // Queues a vector for its exact score, unless it is left out for that query.
  void queue(std::size_t slot, std::int64_t place);
  // Scores what is queued and offers it to the best of each query.
  void rescore();
  [[nodiscard]] float rounding_slack(const Query& query, const TopkIndex::Block& block) const;

  const TopkIndex& index_;
  MatrixView<const float> queries_;
  TopkFilter filter_;
  const Survivors& survivors_;
  std::int64_t k_;
  std::array<Query, kTileQueries> slots_;
  std::int64_t first_ = 0;  // query of the first slot
  std::int64_t count_ = 0;  // slots in use
  SharedThresholds* shared_ = nullptr;
  std::vector<std::int32_t> places_left_;
  // Queued pairs: slot, query and scan position; and their scores.
  std::vector<std::size_t> pair_slots_;
  std::vector<const float*> pair_queries_;
  std::vector<std::int32_t> pair_places_;
  std::vector<float> pair_scores_;
};

}  // namespace penchant
