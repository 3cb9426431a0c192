#include "scaled_matrix.hpp"

#include <cmath>
#include <numeric>

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
      item_scales(static_cast<std::size_t>(n_items), 1.0) {
  transpose();
  for (std::size_t u = 0; u < user_scales.size(); ++u)
    user_scales[u] = power(rows.indptr[u + 1] - rows.indptr[u], -user_exponent);
  for (std::size_t i = 0; i < item_scales.size(); ++i)
    item_scales[i] = power(item_begin[i + 1] - item_begin[i], -item_exponent);
}

void ScaledMatrix::transpose() {
  item_begin.assign(item_scales.size() + 1, 0);
  for (const std::int32_t item : rows.indices) ++item_begin[static_cast<std::size_t>(item) + 1];
  std::partial_sum(item_begin.begin(), item_begin.end(), item_begin.begin());
  std::vector<std::int64_t> next(item_begin.begin(), item_begin.end() - 1);
  item_users.resize(rows.indices.size());
  if (values != nullptr) item_values.resize(rows.indices.size());
  for (std::int64_t u = 0; u < rows.rows(); ++u) {
    std::int64_t entry = rows.indptr[static_cast<std::size_t>(u)];
    for (const std::int32_t item : rows.row(u)) {
      const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(item)]++);
      item_users[at] = static_cast<std::int32_t>(u);
      if (values != nullptr) item_values[at] = values[entry];
      ++entry;
    }
  }
}

}  // namespace penchant
