// Sparse matrices with values, both ways.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "penchant/sparse_matrix.hpp"

namespace penchant::python {

using SparseArrays = std::tuple<Array<std::int64_t>, Array<std::int32_t>, Array<float>>;

// Rows of a CSR whose number nothing else says.
inline std::int64_t csr_rows(const Array<std::int64_t>& indptr, const char* name) {
  const auto offsets = vector(indptr, name);
  if (offsets.empty()) fail(std::string(name) + " indptr is empty; no rows are written [0]");
  return static_cast<std::int64_t>(offsets.size()) - 1;
}

// The values that go with a CSR, one for each entry, all finite.
inline std::span<const float> csr_values(const Array<float>& array, const CsrView& csr,
                                         const char* name) {
  const auto values = vector(array, name);
  check_length(values.size(), csr.entries(), name);
  check_finite({values.data(), csr.entries(), 1}, name);
  return values;
}

// What fit functions take: values above zero, or none, which stands for ones.
inline const float* positive_values(const std::optional<Array<float>>& array, const CsrView& csr) {
  if (!array) return nullptr;
  const auto values = csr_values(*array, csr, "values");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] > 0.0F))
      fail("values[" + std::to_string(i) + "] is " + std::to_string(values[i]) +
           "; every value must be above zero");
  return values.data();
}

// An array that owns the memory of a vector.
template <typename T>
Array<T> to_array(std::vector<T>&& from) {
  auto owned = std::make_unique<std::vector<T>>(std::move(from));
  std::vector<T>* const memory = owned.get();
  const py::capsule owner(owned.release(),
                          [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  return Array<T>(static_cast<py::ssize_t>(memory->size()), memory->data(), owner);
}

inline SparseArrays to_arrays(SparseMatrix&& matrix) {
  return {to_array(std::move(matrix.indptr)), to_array(std::move(matrix.indices)),
          to_array(std::move(matrix.values))};
}

}  // namespace penchant::python
