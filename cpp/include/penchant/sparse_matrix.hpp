// A sparse matrix that owns its parts.
#pragma once

#include <cstdint>
#include <vector>

#include "penchant/types.hpp"

namespace penchant {

// Rows are sorted by column.
struct SparseMatrix {
  std::vector<std::int64_t> indptr;
  std::vector<std::int32_t> indices;
  std::vector<float> values;  // empty: all 1

  [[nodiscard]] CsrView view() const { return {indptr, indices}; }
};

}  // namespace penchant
