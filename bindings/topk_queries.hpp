// Queries of a search by inner products, checked.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "arrays.hpp"
#include "penchant/topk.hpp"

namespace penchant::python {

inline MatrixView<const float> checked_queries(const TopkIndex& index,
                                               const Array<float>& queries) {
  const auto view = matrix(queries, "queries");
  if (view.cols != index.dim())
    fail("queries have " + std::to_string(view.cols) + " columns, the index has " +
         std::to_string(index.dim()));
  check_finite(view, "queries");
  float largest = 0.0F;
  for (std::int64_t i = 0; i < view.size(); ++i)
    largest = std::max(largest, std::abs(view.data[i]));
  if (!(index.score_bound(largest) <= std::numeric_limits<float>::max() / 4))  // NaN too
    fail(
        "queries and vectors are so large that their scores would overflow float32; scale them "
        "down");
  return view;
}

}  // namespace penchant::python
