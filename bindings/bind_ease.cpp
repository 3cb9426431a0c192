#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/ease.hpp"
#include "penchant/simd.hpp"
#include "sparse.hpp"

namespace penchant::python {
namespace {

struct Input {
  CsrView interactions;
  const float* values;
};

Input checked(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
              const std::optional<Array<float>>& values, std::int64_t n_items,
              const EaseParams& params) {
  if (!(params.regularization > 0.0) || !std::isfinite(params.regularization))
    fail("regularization must be a finite number above 0");
  if (!(params.dropout >= 0.0 && params.dropout < 1.0)) fail("dropout must be in [0, 1)");
  for (const double value :
       {params.user_exponent, params.item_exponent, params.popularity_discount, params.rank_power})
    if (!(std::abs(value) <= 5.0)) fail("exponents must be between -5 and 5");
  if (params.rank < 0 || params.rank > kMaxFactors)
    fail("rank must be between 0 and " + std::to_string(kMaxFactors));
  if (!(params.rank_share >= 0.0 && params.rank_share <= 1.0)) fail("rank_share must be in [0, 1]");
  if (params.neighbors < 0) fail("neighbors must not be negative");
  check_size(n_items, 1, "the items");
  check_rows_fit(n_items, "items");
  const std::int64_t n_users = csr_rows(indptr, "interactions");
  check_rows_fit(n_users, "users");
  check_size(n_items, n_items, "the matrix of item weights");
  const CsrView view = csr({indptr, indices}, n_users, n_items, "interactions");
  return {view, positive_values(values, view)};
}

void check_status(EaseStatus status) {
  if (status == EaseStatus::kNotDefinite)
    fail(
        "the Gram matrix is not positive definite in double precision; use a larger "
        "regularization");
}

Array<float> fit_dense(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                       const std::optional<Array<float>>& values, std::int64_t n_items,
                       const EaseParams& params) {
  const Input input = checked(indptr, indices, values, n_items, params);
  Array<float> weights({n_items, n_items});
  const auto view = mutable_matrix(weights, "weights");
  check_status(run_kernel([&](const auto& cancelled) {
    return fit_ease(input.interactions, input.values, params, view, cancelled);
  }));
  return weights;
}

SparseArrays fit_sparse(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                        const std::optional<Array<float>>& values, std::int64_t n_items,
                        const EaseParams& params) {
  if (params.neighbors < 1) fail("neighbors must be at least 1");
  const Input input = checked(indptr, indices, values, n_items, params);
  SparseMatrix weights;
  check_status(run_kernel([&](const auto& cancelled) {
    return fit_ease(input.interactions, input.values, n_items, params, &weights, cancelled);
  }));
  return to_arrays(std::move(weights));
}

}  // namespace

void bind_ease(py::module_& m) {
  py::class_<EaseParams>(m, "EaseParams", "Parameters of fit_ease; neighbors=0 keeps all weights.")
      .def(py::init([](double regularization, double dropout, double user_exponent,
                       double item_exponent, double popularity_discount, std::int32_t rank,
                       double rank_share, double rank_power, std::int32_t neighbors,
                       int num_threads) {
             return EaseParams{regularization,      dropout,    user_exponent, item_exponent,
                               popularity_discount, rank,       rank_share,    rank_power,
                               neighbors,           num_threads};
           }),
           py::kw_only(), py::arg("regularization"), py::arg("dropout"), py::arg("user_exponent"),
           py::arg("item_exponent"), py::arg("popularity_discount"), py::arg("rank"),
           py::arg("rank_share"), py::arg("rank_power"), py::arg("neighbors"),
           py::arg("num_threads"));
  m.def("ease_bytes", &ease_bytes, py::arg("n_users"), py::arg("n_items"), py::kw_only(),
        py::arg("neighbors"), py::arg("rank"), py::arg("num_threads"),
        "Bytes that fit_ease takes besides its input.");
  m.def("fit_ease", &fit_dense, py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
        py::arg("values").noconvert().none(true), py::arg("n_items"), py::arg("params"),
        "EASE's item-item weights, all of them.");
  m.def("fit_ease_sparse", &fit_sparse, py::arg("indptr").noconvert(),
        py::arg("indices").noconvert(), py::arg("values").noconvert().none(true),
        py::arg("n_items"), py::arg("params"),
        "EASE's item-item weights, the largest of each item by magnitude, as a CSR (indptr, "
        "indices, values).");
}

}  // namespace penchant::python
