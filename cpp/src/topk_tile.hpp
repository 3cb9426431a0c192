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
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "penchant/topk.hpp"

namespace penchant {

// A float not below `value`: norms and errors are rounded up, denormal ones too, so that bounds
// stay bounds.
inline float round_up(double value) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return value > 0.0 ? std::nextafter(static_cast<float>(value * (1.0 + 1e-6)), kInfinity) : 0.0F;
}

// The k best (score, row) so far; ties go to the lower row.
class TopkHeap {
 public:
  void reset(std::int64_t k);
  void offer(float score, std::int64_t row);
  // The score to reach: a lower one cannot enter any more.
  [[nodiscard]] float threshold() const;
  // Writes the answer, best first, and empties the heap.
  void write(std::int64_t* rows, float* scores);

 private:
  struct Hit {
    float score;
    std::int64_t row;
  };
  struct Better {
    bool operator()(const Hit& a, const Hit& b) const {
      return a.score > b.score || (a.score == b.score && a.row < b.row);
    }
  };

  std::size_t k_ = 0;
  std::vector<Hit> hits_;
};

class TileSearch {
 public:
  static constexpr std::int64_t kQueries = 64;

  TileSearch(const TopkIndex& index, MatrixView<const float> queries, const TopkFilter& filter,
             std::int64_t k);

  // Answers queries [first, first + kQueries), as far as there are any.
  void run(std::int64_t first, MatrixView<std::int64_t> rows, MatrixView<float> scores);

 private:
  struct Query {
    const float* values = nullptr;
    float norm = 0.0F;
    float quantized_norm = 0.0F;
    float error = 0.0F;  // norm of (query - quantized query)
    float scale = 0.0F;
    std::vector<std::int32_t> words;
    TopkHeap heap;
    std::vector<std::int32_t> hits;
  };

  void prepare(Query& query, const float* values);
  void mark_excluded(std::int64_t first, std::int64_t count, bool on);
  void scan_block(const TopkIndex::Block& block, std::int64_t count);
  // Queues a vector for its exact score, unless it is left out for that query.
  void queue(std::size_t slot, std::int64_t place);
  // Scores what is queued and offers it to the heaps.
  void rescore();
  [[nodiscard]] float rounding_slack(const Query& query, const TopkIndex::Block& block) const;

  const TopkIndex& index_;
  MatrixView<const float> queries_;
  TopkFilter filter_;
  std::int64_t k_;
  std::array<Query, kQueries> slots_;
  std::vector<std::uint64_t> excluded_;  // scan position -> bit of each slot that leaves it out
  // Queued pairs: slot, query and scan position; and their scores.
  std::vector<std::size_t> pair_slots_;
  std::vector<const float*> pair_queries_;
  std::vector<std::int32_t> pair_places_;
  std::vector<float> pair_scores_;
};

}  // namespace penchant
