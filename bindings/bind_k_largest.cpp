#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/k_largest.hpp"

namespace penchant::python {
namespace {

std::pair<Array<std::int64_t>, Array<float>> largest(const Array<float>& scores, std::int64_t k,
                                                     int num_threads) {
  const auto view = matrix(scores, "scores");
  if (view.cols > std::numeric_limits<std::int32_t>::max())
    fail("scores have more than 2^31 - 1 columns");
  if (k < 0 || k > view.cols)
    fail("k is " + std::to_string(k) + ", outside 0.." + std::to_string(view.cols));
  Array<std::int64_t> columns({view.rows, k});
  Array<float> best({view.rows, k});
  const auto columns_view = mutable_matrix(columns, "columns");
  const auto best_view = mutable_matrix(best, "best");
  {
    const py::gil_scoped_release release;
    k_largest(view, columns_view, best_view, num_threads);
  }
  return {std::move(columns), std::move(best)};
}

}  // namespace

void bind_k_largest(py::module_& m) {
  m.def("k_largest", &largest, py::arg("scores").noconvert(), py::arg("k"), py::kw_only(),
        py::arg("num_threads") = 0,
        "Columns and values of the k largest scores of each row, best first, ties to the lower "
        "column; -1 and -inf pad where the rest is -inf.");
}

}  // namespace penchant::python
