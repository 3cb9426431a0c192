// The only conversions between NumPy arrays and the core's views. Everything that could make a
// kernel read out of bounds is checked here, under the GIL, before it is released.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "penchant/types.hpp"

namespace penchant::python {

namespace py = pybind11;

// Arrays are taken as they are: a wrong dtype or layout is an error, never a silent copy.
template <typename T>
using Array = py::array_t<T, py::array::c_style>;
using CsrArrays = std::pair<Array<std::int64_t>, Array<std::int32_t>>;

[[noreturn]] inline void fail(const std::string& message) {
  throw py::value_error(message);
}

inline void check_dims(const py::array& array, py::ssize_t ndim, const char* name) {
  if ((array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0)
    fail(std::string(name) + " is not aligned in memory; pass a copy");
  if (array.ndim() != ndim)
    fail(std::string(name) + " has " + std::to_string(array.ndim()) + " dimensions, expected " +
         std::to_string(ndim));
}

template <typename T>
MatrixView<const T> matrix(const Array<T>& array, const char* name) {
  check_dims(array, 2, name);
  return {array.data(), array.shape(0), array.shape(1)};
}

template <typename T>
MatrixView<T> mutable_matrix(Array<T>& array, const char* name) {
  check_dims(array, 2, name);
  if (!array.writeable()) fail(std::string(name) + " is read-only");
  return {array.mutable_data(), array.shape(0), array.shape(1)};
}

template <typename T>
std::span<const T> vector(const Array<T>& array, const char* name) {
  check_dims(array, 1, name);
  return {array.data(), static_cast<std::size_t>(array.size())};
}

inline void check_length(std::size_t found, std::int64_t expected, const char* name) {
  if (static_cast<std::int64_t>(found) != expected)
    fail(std::string(name) + " has " + std::to_string(found) + " entries, expected " +
         std::to_string(expected));
}

// Rows are numbered with 32 bits.
inline void check_rows_fit(std::int64_t rows, const char* name) {
  if (rows > std::numeric_limits<std::int32_t>::max())
    fail(std::string(name) + ": " + std::to_string(rows) + " rows; at most 2^31 - 1 are possible");
}

// Two arrays that a kernel writes to must not share memory.
inline void check_apart(const py::array& a, const py::array& b, const char* a_name,
                        const char* b_name) {
  const auto* a_begin = static_cast<const char*>(a.data());
  const auto* b_begin = static_cast<const char*>(b.data());
  if (a_begin < b_begin + b.nbytes() && b_begin < a_begin + a.nbytes())
    fail(std::string(a_name) + " and " + b_name + " share memory");
}

// Refuses NaN and infinity, naming the first place.
template <typename T = float>  // of {data, rows, cols}
void check_finite(MatrixView<const T> view, const char* name) {
  std::int64_t i = 0;
  // Without a branch for each number many are looked at in one step; the last block is searched.
  constexpr std::int64_t kBlock = 4096;
  for (bool finite = true; finite && i + kBlock <= view.size();) {
    for (std::int64_t k = i; k < i + kBlock; ++k) finite &= std::isfinite(view.data[k]);
    if (finite) i += kBlock;
  }
  for (; i < view.size(); ++i)
    if (!std::isfinite(view.data[i]))
      fail(std::string(name) + " holds " + (std::isnan(view.data[i]) ? "NaN" : "infinity") +
           " at row " + std::to_string(i / view.cols) + ", column " +
           std::to_string(i % view.cols));
}

// The biases of `rows` vectors or items, null where there are none.
inline const float* finite_biases(const std::optional<Array<float>>& biases, std::int64_t rows,
                                  const char* name) {
  if (!biases) return nullptr;
  const auto values = vector(*biases, name);
  check_length(values.size(), rows, name);
  check_finite({values.data(), rows, 1}, name);
  return values.data();
}

// A CSR whose offsets rise from 0 to the number of entries and whose rows are sorted, unique and in
// [0, cols).
inline CsrView csr(const CsrArrays& arrays, std::int64_t rows, std::int64_t cols,
                   const char* name) {
  const CsrView view{vector(arrays.first, name), vector(arrays.second, name)};
  const std::string prefix(name);
  check_length(view.indptr.size(), rows + 1, (prefix + " indptr").c_str());
  if (view.indptr.front() != 0 || view.indptr.back() != view.entries())
    fail(prefix + " indptr must run from 0 to " + std::to_string(view.entries()));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t begin = view.indptr[static_cast<std::size_t>(r)];
    const std::int64_t end = view.indptr[static_cast<std::size_t>(r) + 1];
    if (begin > end || end > view.entries())
      fail(prefix + " indptr falls at row " + std::to_string(r));
    std::int64_t previous = -1;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t index = view.indices[static_cast<std::size_t>(i)];
      if (index < 0 || index >= cols)
        fail(prefix + " row " + std::to_string(r) + " holds " + std::to_string(index) +
             ", outside [0, " + std::to_string(cols) + ")");
      if (index <= previous)
        fail(prefix + " row " + std::to_string(r) + " is not sorted and unique");
      previous = index;
    }
  }
  return view;
}

// Every number is in [0, end).
template <typename T>
void check_within(std::span<const T> numbers, std::int64_t end, const char* name) {
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (numbers[i] < 0 || numbers[i] >= end)
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(numbers[i]) +
           ", outside [0, " + std::to_string(end) + ")");
}

// Number of elements of a new array, refused before anything is allocated if it cannot be
// addressed.
inline void check_size(std::int64_t rows, std::int64_t cols, const char* name) {
  if (rows < 0 || cols < 0) fail(std::string(name) + " cannot have a negative size");
  if (cols > 0 && rows > std::numeric_limits<std::int64_t>::max() / 8 / cols)
    fail(std::string(name) + " of " + std::to_string(rows) + " x " + std::to_string(cols) +
         " is too large");
}

}  // namespace penchant::python
