// Exact top-k by inner product plus bias: the one retrieval kernel of the library.
//
// Every score is accumulated in float32 in the order bias, dimension 0, 1, ...; single, batch, candidate
// and pair scoring give the same bits. Ties go to the lower row. Missing results are row -1, score -inf.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "penchant/types.hpp"

namespace penchant {

// Rows that a query may or may not return; null where there is no such filter.
struct TopkFilter {
  const CsrView* exclude = nullptr;     // row q: vectors left out for query q
  const CsrView* candidates = nullptr;  // row q: the only vectors considered for query q
};

class TopkIndex {
 public:
  // Copies `vectors` (n x dim); `biases` (n floats) may be null.
  TopkIndex(MatrixView<const float> vectors, const float* biases, int num_threads);

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t dim() const { return dim_; }

  // The k best vectors of every query, best first, into rows and scores (queries x k).
  void search(MatrixView<const float> queries, const TopkFilter& filter, MatrixView<std::int64_t> rows,
              MatrixView<float> scores, int num_threads) const;

  // scores[i] = score of vector vector_rows[i] for query query_rows[i].
  void score_pairs(MatrixView<const float> queries, std::span<const std::int64_t> query_rows,
                   std::span<const std::int64_t> vector_rows, std::span<float> scores, int num_threads) const;

 private:
  std::int64_t size_;
  std::int64_t dim_;
  std::vector<float> panels_;
  std::vector<float> biases_;
};

}  // namespace penchant
