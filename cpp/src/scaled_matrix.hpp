// Interactions scaled by the lengths of users' and items' histories, seen from both sides.
#pragma once

#include <cstdint>
#include <vector>

#include "penchant/sparse_matrix.hpp"
#include "penchant/types.hpp"

namespace penchant {

// X_ui = v_ui / (number of u's items)^user_exponent / (number of i's users)^item_exponent. The
// exponents are kept apart from the values: X = diag(user_scales) V diag(item_scales).
struct ScaledMatrix {
  ScaledMatrix(const CsrView& interactions, const float* values, std::int64_t n_items,
               double user_exponent, double item_exponent);

  CsrView rows;
  const float* values;  // null: all 1
  std::vector<double> user_scales;
  std::vector<double> item_scales;
  SparseMatrix by_item;  // the values, a row for each item

  [[nodiscard]] std::int64_t items() const { return static_cast<std::int64_t>(item_scales.size()); }
  [[nodiscard]] std::int64_t users() const { return rows.rows(); }
  [[nodiscard]] std::int64_t users_of(std::int64_t item) const {
    const auto at = static_cast<std::size_t>(item);
    return by_item.indptr[at + 1] - by_item.indptr[at];
  }
};

}  // namespace penchant
