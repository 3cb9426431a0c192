// Users that training never saw: BPR's steps on the user's row alone, with the items as they are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "penchant/bpr.hpp"
#include "penchant/random.hpp"

namespace penchant {

class Members;

// The problem is convex in the user's row, which starts at zero. Negatives are drawn as in training
// (from all items, not from a block) by a stream that belongs to the seed and the items of the
// history: a history has the same row alone, in a batch, and on any number of threads.
class BprFoldIn {
 public:
  // `items` (n x factors) and `biases` (n, or null) are the caller's and stay alive. Of `params`
  // the learning rate, the users' penalty, the negatives and the seed count. `counts` (n: users of
  // each item) are what popular negatives are drawn by; else they may be empty.
  BprFoldIn(MatrixView<const float> items, const float* biases,
            std::span<const std::int64_t> counts, const BprParams& params);

  // One row of `out` for each history: items it holds, ascending.
  void solve(const CsrView& histories, MatrixView<float> out, int num_threads) const;

 private:
  [[nodiscard]] std::int32_t draw(RandomStream* random) const;
  [[nodiscard]] std::int32_t draw_unseen(const Members& history, RandomStream* random) const;
  void draw_candidates(const Members& history, RandomStream* random,
                       std::vector<std::int32_t>* candidates) const;
  void solve_row(std::span<const std::int32_t> items, float* row) const;

  MatrixView<const float> items_;
  std::vector<float> biases_;
  BprParams params_;
  std::vector<std::uint32_t> threshold_;  // alias table of popular negatives
  std::vector<std::int32_t> alias_;
};

}  // namespace penchant
