#include <pybind11/stl.h>

#include <algorithm>

#include "arrays.hpp"
#include "bindings.hpp"
#include "filter.hpp"
#include "penchant/neighbor_index.hpp"
#include "sparse.hpp"

namespace penchant::python {
namespace {

using Answer = std::pair<Array<std::int64_t>, Array<float>>;

NeighborIndex make_sparse(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                          const Array<float>& values) {
  const std::int64_t n = csr_rows(indptr, "similarities");
  check_rows_fit(n, "items");
  const CsrView view = csr({indptr, indices}, n, n, "similarities");
  return {view, csr_values(values, view, "similarities' values")};
}

NeighborIndex make_dense(const Array<float>& weights) {
  const auto view = matrix(weights, "similarities");
  check_rows_fit(view.rows, "items");
  if (view.rows != view.cols) fail("similarities must have as many rows as columns");
  check_finite(view, "similarities");
  return NeighborIndex(view);
}

Histories checked_queries(const NeighborIndex& index, const SparseArrays& arrays) {
  const auto& [indptr, indices, values] = arrays;
  const CsrView items =
      csr({indptr, indices}, csr_rows(indptr, "queries"), index.size(), "queries");
  const Histories queries{items, csr_values(values, items, "queries' values")};
  double largest = 0.0;
  for (std::size_t q = 0; q + 1 < items.indptr.size(); ++q) {
    double sum = 0.0;
    for (std::int64_t at = items.indptr[q]; at < items.indptr[q + 1]; ++at)
      sum += std::abs(static_cast<double>(queries.values[static_cast<std::size_t>(at)]));
    largest = std::max(largest, sum);
  }
  if (index.score_bound(largest) > static_cast<double>(std::numeric_limits<float>::max()) / 4)
    fail("queries' values are so large that their scores would overflow float32; scale them down");
  return queries;
}

Answer empty_answer(std::int64_t n_queries, std::int64_t k) {
  if (k < 1) fail("k is " + std::to_string(k) + "; it must be at least 1");
  check_size(n_queries, k, "the answer");
  return {Array<std::int64_t>({n_queries, k}), Array<float>({n_queries, k})};
}

Answer search_neighbors(const NeighborIndex& index, const SparseArrays& queries, std::int64_t k,
                        const OptionalCsr& exclude, const OptionalCsr& candidates,
                        const OptionalFlags& allowed, const OptionalRows& allowed_rows,
                        int num_threads) {
  const Histories view = checked_queries(index, queries);
  const std::int64_t n_queries = view.items.rows();
  Answer answer = empty_answer(n_queries, k);
  const Filter filter(exclude, candidates, allowed, allowed_rows, n_queries, index.size());
  const auto rows = mutable_matrix(answer.first, "rows");
  const auto scores = mutable_matrix(answer.second, "scores");
  {
    const py::gil_scoped_release release;
    index.search(view, filter.view(), rows, scores, num_threads);
  }
  return answer;
}

Array<float> score_neighbor_pairs(const NeighborIndex& index, const SparseArrays& queries,
                                  const Array<std::int64_t>& query_rows,
                                  const Array<std::int64_t>& vector_rows, int num_threads) {
  const Histories view = checked_queries(index, queries);
  const auto q = vector(query_rows, "query_rows");
  const auto v = vector(vector_rows, "vector_rows");
  check_length(v.size(), static_cast<std::int64_t>(q.size()), "vector_rows");
  check_within(q, view.items.rows(), "query_rows");
  check_within(v, index.size(), "vector_rows");
  Array<float> scores(static_cast<py::ssize_t>(q.size()));
  const std::span<float> out(scores.mutable_data(), q.size());
  {
    const py::gil_scoped_release release;
    index.score_pairs(view, q, v, out, num_threads);
  }
  return scores;
}

Array<double> score_sums(const NeighborIndex& index, const SparseArrays& queries,
                         const OptionalCsr& exclude, const OptionalFlags& allowed,
                         int num_threads) {
  const Histories view = checked_queries(index, queries);
  const Filter filter(exclude, {}, allowed, {}, view.items.rows(), index.size());
  const TopkFilter left = filter.view();
  Array<double> sums(static_cast<py::ssize_t>(view.items.rows()));
  const std::span<double> out(sums.mutable_data(), static_cast<std::size_t>(sums.size()));
  {
    const py::gil_scoped_release release;
    index.score_sums(view, left.exclude, left.allowed, out, num_threads);
  }
  return sums;
}

Array<double> log_sum_exp(const NeighborIndex& index, const SparseArrays& queries,
                          int num_threads) {
  const Histories view = checked_queries(index, queries);
  Array<double> sums(static_cast<py::ssize_t>(view.items.rows()));
  const std::span<double> out(sums.mutable_data(), static_cast<std::size_t>(sums.size()));
  {
    const py::gil_scoped_release release;
    index.log_sum_exp(view, out, num_threads);
  }
  return sums;
}

Answer neighbors(const NeighborIndex& index, const Array<std::int64_t>& items, std::int64_t k,
                 int num_threads) {
  const auto asked = vector(items, "items");
  check_within(asked, index.size(), "items");
  Answer answer = empty_answer(static_cast<std::int64_t>(asked.size()), k);
  const auto rows = mutable_matrix(answer.first, "rows");
  const auto scores = mutable_matrix(answer.second, "scores");
  {
    const py::gil_scoped_release release;
    index.neighbors(asked, rows, scores, num_threads);
  }
  return answer;
}

}  // namespace

void bind_neighbor_index(py::module_& m) {
  py::class_<NeighborIndex>(m, "NeighborIndex",
                            "Exact top-k search over an item-item matrix. A sparse one is copied, "
                            "a dense one kept.")
      .def(py::init(&make_sparse), py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
           py::arg("values").noconvert())
      .def(py::init(&make_dense), py::arg("similarities").noconvert(), py::keep_alive<1, 2>())
      .def_property_readonly("size", &NeighborIndex::size, "Number of items.")
      .def("search", &search_neighbors, py::arg("queries").noconvert(), py::arg("k"), py::kw_only(),
           py::arg("exclude").noconvert().none(true) = py::none(),
           py::arg("candidates").noconvert().none(true) = py::none(),
           py::arg("allowed").noconvert().none(true) = py::none(),
           py::arg("allowed_rows").noconvert().none(true) = py::none(), py::arg("num_threads") = 0,
           "The k best items and their scores for every history (indptr, indices, values); -1 and "
           "-inf pad.")
      .def("score_pairs", &score_neighbor_pairs, py::arg("queries").noconvert(),
           py::arg("query_rows").noconvert(), py::arg("vector_rows").noconvert(), py::kw_only(),
           py::arg("num_threads") = 0,
           "Score of item vector_rows[i] for history query_rows[i], bit for bit what search would "
           "give.")
      .def("score_sums", &score_sums, py::arg("queries").noconvert(), py::kw_only(),
           py::arg("exclude").noconvert().none(true) = py::none(),
           py::arg("allowed").noconvert().none(true) = py::none(), py::arg("num_threads") = 0,
           "Sum of the scores of the items that are left, for every history; float64 throughout.")
      .def("log_sum_exp", &log_sum_exp, py::arg("queries").noconvert(), py::kw_only(),
           py::arg("num_threads") = 0,
           "Log of the sum of exp(score) over all items for every history, float64.")
      .def("neighbors", &neighbors, py::arg("items").noconvert(), py::arg("k"), py::kw_only(),
           py::arg("num_threads") = 0,
           "The k largest entries of the items' rows, themselves left out; -1 and -inf pad.");
}

}  // namespace penchant::python
