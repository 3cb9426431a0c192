// Top-k over an item-item matrix S: the retrieval kernel of the neighbourhood models.
//
// A query is a history, items h with values v: score[j] = sum over h of v_h S[h, j], accumulated in
// float32 over the history in its order, starting from 0. Search, candidates and pairs share that
// order and give the same bits. Ties go to the lower item. An item that no item of the history
// points to has score 0 and may be returned, behind all positive and before all negative scores:
// who has few neighbours still gets k items. Missing results are row -1, score -inf.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "penchant/topk.hpp"
#include "penchant/types.hpp"

namespace penchant {

// One row a query: items with their values.
struct Histories {
  CsrView items;
  std::span<const float> values;
};

class NeighborIndex {
 public:
  // S as a sparse n x n matrix, which is copied.
  NeighborIndex(const CsrView& neighbors, std::span<const float> values);
  // S as a dense n x n matrix, which the caller keeps alive.
  explicit NeighborIndex(MatrixView<const float> matrix);

  [[nodiscard]] std::int64_t size() const { return size_; }

  // Largest absolute value of any score for histories whose absolute values add up to
  // `history_sum`, by a bound; callers refuse histories for which it is not finite.
  [[nodiscard]] double score_bound(double history_sum) const;

  // The k best items of every history, best first, into rows and scores (queries x k).
  void search(const Histories& queries, const TopkFilter& filter, MatrixView<std::int64_t> rows,
              MatrixView<float> scores, int num_threads) const;

  // scores[i] = score of item item_rows[i] for history query_rows[i].
  void score_pairs(const Histories& queries, std::span<const std::int64_t> query_rows,
                   std::span<const std::int64_t> item_rows, std::span<float> scores,
                   int num_threads) const;

  // sums[q] = sum of the scores, float64 throughout, of the items that are allowed (null: all) and
  // not in row q of `exclude` (null: none).
  void score_sums(const Histories& queries, const CsrView* exclude, const std::uint8_t* allowed,
                  std::span<double> sums, int num_threads) const;

  // sums[q] = log of the sum of exp(score) over all items, for history q; -infinity without items.
  void log_sum_exp(const Histories& queries, std::span<double> sums, int num_threads) const;

  // The k largest entries of row S[i, :] for every i of `items`, without i itself. Of a sparse
  // matrix only what is stored is returned.
  void neighbors(std::span<const std::int64_t> items, MatrixView<std::int64_t> rows,
                 MatrixView<float> scores, int num_threads) const;

 private:
  struct Scratch;

  void add_up(const Histories& queries, std::int64_t query, Scratch* scratch) const;
  void search_one(const Histories& queries, std::int64_t query, const TopkFilter& filter,
                  Scratch* scratch) const;
  void offer_all(const std::uint8_t* allowed, Scratch* scratch) const;
  void clear(Scratch* scratch) const;
  [[nodiscard]] std::vector<double> row_sums(const std::uint8_t* allowed, int num_threads) const;
  [[nodiscard]] double sum_left(std::size_t row, const std::vector<std::uint8_t>& left_out) const;

  std::int64_t size_;
  float largest_ = 0.0F;  // absolute value in S
  std::vector<std::int64_t> indptr_;
  std::vector<std::int32_t> indices_;
  std::vector<float> values_;
  MatrixView<const float> dense_;  // data is null where S is sparse
};

}  // namespace penchant
