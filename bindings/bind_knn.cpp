#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/knn.hpp"
#include "sparse.hpp"

namespace penchant::python {
namespace {

Similarity parse_similarity(const std::string& name) {
  if (name == "cosine") return Similarity::kCosine;
  if (name == "bm25") return Similarity::kBm25;
  if (name == "tfidf") return Similarity::kTfidf;
  if (name == "rp3beta") return Similarity::kRp3beta;
  fail("similarity is '" + name + "'; use 'cosine', 'bm25', 'tfidf' or 'rp3beta'");
}

void check_params(const KnnParams& params) {
  if (params.neighbors < 1) fail("neighbors must be at least 1");
  for (const double value : {params.k1, params.b, params.alpha, params.beta, params.shrinkage})
    if (!std::isfinite(value) || value < 0.0) fail("hyperparameters must be finite and >= 0");
  if (params.b > 1.0) fail("b must be between 0 and 1");
  if (params.alpha > 5.0 || params.beta > 5.0) fail("alpha and beta must be at most 5");
}

SparseArrays fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                 const std::optional<Array<float>>& values, std::int64_t n_items,
                 const KnnParams& params) {
  check_params(params);
  check_size(n_items, 1, "the items");
  check_rows_fit(n_items, "items");
  const std::int64_t n_users = csr_rows(indptr, "interactions");
  check_rows_fit(n_users, "users");
  const CsrView interactions = csr({indptr, indices}, n_users, n_items, "interactions");
  const float* weights = positive_values(values, interactions);
  std::optional<SparseMatrix> found = run_kernel([&](const auto& cancelled) {
    return fit_knn(interactions, weights, n_items, params, cancelled);
  });
  return to_arrays(std::move(found.value()));
}

}  // namespace

void bind_knn(py::module_& m) {
  m.def(
      "fit_knn",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         const std::optional<Array<float>>& values, std::int64_t n_items,
         const std::string& similarity, std::int32_t neighbors, double k1, double b, double alpha,
         double beta, double shrinkage, int num_threads) {
        const KnnParams params{
            parse_similarity(similarity), neighbors, k1, b, alpha, beta, shrinkage, num_threads};
        return fit(indptr, indices, values, n_items, params);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
      py::arg("values").noconvert().none(true), py::arg("n_items"), py::kw_only(),
      py::arg("similarity"), py::arg("neighbors"), py::arg("k1"), py::arg("b"), py::arg("alpha"),
      py::arg("beta"), py::arg("shrinkage"), py::arg("num_threads"),
      "The most similar items of every item as a CSR (indptr, indices, values), columns "
      "ascending.");
}

}  // namespace penchant::python
