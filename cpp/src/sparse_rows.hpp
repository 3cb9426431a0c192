// A sparse matrix whose rows are found in parallel: each gets room first and is closed up later.
#pragma once

#include <cstdint>
#include <vector>

#include "best_k.hpp"
#include "penchant/sparse_matrix.hpp"

namespace penchant {

class SparseRows {
 public:
  // room[r]: the most entries that row r can have.
  explicit SparseRows(const std::vector<std::int64_t>& room);

  // Puts the entries of row r, which are sorted by column; rows may come in any order.
  void put(std::int64_t row, const std::vector<Scored>& entries);

  // Closes the gaps that short rows leave.
  SparseMatrix finish();

 private:
  SparseMatrix matrix_;
  std::vector<std::int64_t> lengths_;
};

}  // namespace penchant
