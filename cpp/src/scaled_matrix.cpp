#include "scaled_matrix.hpp"

#include <cmath>

#include "transposed.hpp"

namespace penchant {
namespace {

double power(std::int64_t count, double exponent) {
  return count > 0 ? std::pow(static_cast<double>(count), exponent) : 1.0;
}

}  // namespace

ScaledMatrix::ScaledMatrix(const CsrView& interactions, const float* entry_values,
                           std::int64_t n_items, double user_exponent, double item_exponent)
    : rows(interactions),
      values(entry_values),
      user_scales(static_cast<std::size_t>(interactions.rows()), 1.0),
      item_scales(static_cast<std::size_t>(n_items), 1.0),
      by_item(transposed(interactions, entry_values, n_items)) {
  for (std::size_t u = 0; u < user_scales.size(); ++u)
    user_scales[u] = power(rows.indptr[u + 1] - rows.indptr[u], -user_exponent);
  for (std::size_t i = 0; i < item_scales.size(); ++i)
    item_scales[i] = power(users_of(static_cast<std::int64_t>(i)), -item_exponent);
}

}  // namespace penchant
