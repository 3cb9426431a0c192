#include "transposed.hpp"

#include <numeric>

namespace penchant {

SparseMatrix transposed(const CsrView& matrix, const float* values, std::int64_t n_columns) {
  SparseMatrix out;
  out.indptr.assign(static_cast<std::size_t>(n_columns) + 1, 0);
  for (const std::int32_t column : matrix.indices)
    ++out.indptr[static_cast<std::size_t>(column) + 1];
  std::partial_sum(out.indptr.begin(), out.indptr.end(), out.indptr.begin());
  std::vector<std::int64_t> next(out.indptr.begin(), out.indptr.end() - 1);
  out.indices.resize(matrix.indices.size());
  if (values != nullptr) out.values.resize(matrix.indices.size());
  std::size_t entry = 0;
  for (std::int64_t row = 0; row < matrix.rows(); ++row)
    for (const std::int32_t column : matrix.row(row)) {
      const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(column)]++);
      out.indices[at] = static_cast<std::int32_t>(row);
      if (values != nullptr) out.values[at] = values[entry];
      ++entry;
    }
  return out;
}

}  // namespace penchant
