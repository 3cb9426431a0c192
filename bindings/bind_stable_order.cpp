#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/stable_order.hpp"

namespace penchant::python {
namespace {

Array<std::int64_t> order_array(const Array<std::int32_t>& codes, std::int64_t n_codes,
                                const std::optional<Array<std::int64_t>>& rows) {
  const std::span<const std::int32_t> values = vector(codes, "codes");
  check_size(n_codes, 1, "the codes");
  check_within(values, n_codes, "codes");
  const auto n_rows = static_cast<std::int64_t>(values.size());
  std::span<const std::int64_t> listed;
  if (rows) {
    listed = vector(*rows, "rows");
    check_within(listed, n_rows, "rows");
  }
  Array<std::int64_t> out(rows ? static_cast<std::int64_t>(listed.size()) : n_rows);
  const std::span<std::int64_t> result(out.mutable_data(), static_cast<std::size_t>(out.size()));
  const py::gil_scoped_release release;
  if (rows)
    stable_order(values, n_codes, listed, result);
  else
    stable_order(values, n_codes, result);
  return out;
}

}  // namespace

void bind_stable_order(py::module_& m) {
  m.def(
      "stable_order", &order_array, py::arg("codes").noconvert(), py::arg("n_codes"),
      py::arg("rows").noconvert().none(true) = py::none(),
      "Row numbers by rising code; those of one code as `rows` lists them, by default ascending.");
}

}  // namespace penchant::python
