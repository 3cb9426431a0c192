#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/random.hpp"

namespace penchant::python {
namespace {

// Rows of 64-byte-aligned memory: kernels load whole cache lines.
Array<float> aligned_matrix(std::int64_t rows, std::int64_t cols) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t bytes = static_cast<std::size_t>(rows * cols) * sizeof(float);
  void* memory = ::operator new(std::max<std::size_t>(bytes, 1), std::align_val_t{kAlignment});
  const py::capsule owner(memory,
                          [](void* p) { ::operator delete(p, std::align_val_t{kAlignment}); });
  return Array<float>({rows, cols}, static_cast<float*>(memory), owner);
}

Array<float> random_normal_array(std::int64_t rows, std::int64_t cols, float scale,
                                 std::uint64_t seed, std::uint64_t stream, int num_threads) {
  check_size(rows, cols, "matrix");
  Array<float> out = aligned_matrix(rows, cols);
  const auto view = mutable_matrix(out, "matrix");
  const py::gil_scoped_release release;
  random_normal(view, scale, seed, stream, num_threads);
  return out;
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("random_normal", &random_normal_array, py::arg("rows"), py::arg("cols"), py::kw_only(),
        py::arg("scale"), py::arg("seed"), py::arg("stream"), py::arg("num_threads") = 0,
        "Matrix of normal(0, scale) float32 numbers; element (r, c) depends on (seed, stream, r, "
        "c) alone.");
}

}  // namespace penchant::python
