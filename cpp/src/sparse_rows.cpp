#include "sparse_rows.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace penchant {

SparseRows::SparseRows(const std::vector<std::int64_t>& room) : lengths_(room.size(), 0) {
  matrix_.indptr.assign(room.size() + 1, 0);
  std::partial_sum(room.begin(), room.end(), matrix_.indptr.begin() + 1);
  matrix_.indices.resize(static_cast<std::size_t>(matrix_.indptr.back()));
  matrix_.values.resize(static_cast<std::size_t>(matrix_.indptr.back()));
}

void SparseRows::put(std::int64_t row, const std::vector<Scored>& entries) {
  auto at = static_cast<std::size_t>(matrix_.indptr[static_cast<std::size_t>(row)]);
  for (const Scored& entry : entries) {
    matrix_.indices[at] = entry.item;
    matrix_.values[at++] = entry.score;
  }
  lengths_[static_cast<std::size_t>(row)] = static_cast<std::int64_t>(entries.size());
}

SparseMatrix SparseRows::finish() {
  std::int64_t to = 0;
  for (std::size_t row = 0; row < lengths_.size(); ++row) {
    const std::int64_t from = matrix_.indptr[row];
    if (from != to) {
      std::copy_n(matrix_.indices.begin() + from, lengths_[row], matrix_.indices.begin() + to);
      std::copy_n(matrix_.values.begin() + from, lengths_[row], matrix_.values.begin() + to);
    }
    matrix_.indptr[row] = to;
    to += lengths_[row];
  }
  matrix_.indptr.back() = to;
  const auto size = static_cast<std::size_t>(to);
  const bool wasteful = size + size / 4 < matrix_.indices.size();
  matrix_.indices.resize(size);
  matrix_.values.resize(size);
  if (wasteful) {
    matrix_.indices.shrink_to_fit();
    matrix_.values.shrink_to_fit();
  }
  return std::move(matrix_);
}

}  // namespace penchant
