#include <pybind11/stl.h>

#include <memory>

#include "arrays.hpp"
#include "bindings.hpp"
#include "filter.hpp"
#include "penchant/simd.hpp"
#include "penchant/topk.hpp"
#include "topk_queries.hpp"

namespace penchant::python {
namespace {

using OptionalBiases = std::optional<Array<float>>;

TopkIndex make_index(const Array<float>& vectors, const OptionalBiases& biases, int num_threads) {
  const auto view = matrix(vectors, "vectors");
  check_finite(view, "vectors");
  check_rows_fit(view.rows, "vectors");
  if (view.cols > kMaxDimension)
    fail("vectors have " + std::to_string(view.cols) + " columns; an index takes at most " +
         std::to_string(kMaxDimension));
  const float* bias_data = finite_biases(biases, view.rows, "biases");
  const py::gil_scoped_release release;
  return TopkIndex(view, bias_data, num_threads);
}

using Bytes = Array<std::uint8_t>;

std::unique_ptr<TopkIndex> over(const Bytes& block) {
  const auto bytes = vector(block, "block");
  if (block.writeable()) fail("block can be written to: an index needs one that stays as it is");
  return std::make_unique<TopkIndex>(std::as_bytes(bytes), std::make_shared<Bytes>(block));
}

// A view that keeps the index alive.
Bytes block_of(const py::object& index) {
  const auto bytes = index.cast<const TopkIndex&>().block();
  Bytes view(static_cast<py::ssize_t>(bytes.size()),
             reinterpret_cast<const std::uint8_t*>(bytes.data()), index);
  view.attr("setflags")(py::arg("write") = false);
  return view;
}

std::pair<Array<std::int64_t>, Array<float>> search(
    const TopkIndex& index, const Array<float>& queries, std::int64_t k, const OptionalCsr& exclude,
    const OptionalCsr& candidates, const OptionalFlags& allowed, const OptionalRows& allowed_rows,
    int num_threads) {
  const auto query_view = checked_queries(index, queries);
  if (k < 1) fail("k is " + std::to_string(k) + "; it must be at least 1");
  check_size(query_view.rows, k, "the answer");
  const Filter filter(exclude, candidates, allowed, allowed_rows, query_view.rows, index.size());
  Array<std::int64_t> rows({query_view.rows, k});
  Array<float> scores({query_view.rows, k});
  const auto rows_view = mutable_matrix(rows, "rows");
  const auto scores_view = mutable_matrix(scores, "scores");
  {
    const py::gil_scoped_release release;
    index.search(query_view, filter.view(), rows_view, scores_view, num_threads);
  }
  return {std::move(rows), std::move(scores)};
}

Array<float> score_pairs(const TopkIndex& index, const Array<float>& queries,
                         const Array<std::int64_t>& query_rows,
                         const Array<std::int64_t>& vector_rows, int num_threads) {
  const auto query_view = checked_queries(index, queries);
  const auto q = vector(query_rows, "query_rows");
  const auto v = vector(vector_rows, "vector_rows");
  check_length(v.size(), static_cast<std::int64_t>(q.size()), "vector_rows");
  check_within(q, query_view.rows, "query_rows");
  check_within(v, index.size(), "vector_rows");
  Array<float> scores(static_cast<py::ssize_t>(q.size()));
  const std::span<float> out(scores.mutable_data(), q.size());
  {
    const py::gil_scoped_release release;
    index.score_pairs(query_view, q, v, out, num_threads);
  }
  return scores;
}

Array<double> log_sum_exp(const TopkIndex& index, const Array<float>& queries, int num_threads) {
  const auto view = checked_queries(index, queries);
  Array<double> sums(static_cast<py::ssize_t>(view.rows));
  const std::span<double> out(sums.mutable_data(), static_cast<std::size_t>(sums.size()));
  {
    const py::gil_scoped_release release;
    index.log_sum_exp(view, out, num_threads);
  }
  return sums;
}

}  // namespace

void bind_topk(py::module_& m) {
  py::class_<TopkIndex>(m, "TopkIndex",
                        "Exact top-k search over vectors and biases; owns a copy of them, or reads "
                        "a block that holds one.")
      .def(py::init(&make_index), py::arg("vectors").noconvert(),
           py::arg("biases").noconvert().none(true) = py::none(), py::kw_only(),
           py::arg("num_threads") = 0)
      .def_static("over", &over, py::arg("block").noconvert(),
                  "The index with this `block`, such as one in a mapped file; read in place.")
      .def_property_readonly("block", &block_of,
                             "All that the index is made of, uint8, read-only; see `over`.")
      .def_property_readonly("size", &TopkIndex::size, "Number of vectors.")
      .def_property_readonly("dim", &TopkIndex::dim, "Length of a vector.")
      .def_property_readonly("n_bytes", &TopkIndex::n_bytes, "Memory that the index takes.")
      .def("search", &search, py::arg("queries").noconvert(), py::arg("k"), py::kw_only(),
           py::arg("exclude").noconvert().none(true) = py::none(),
           py::arg("candidates").noconvert().none(true) = py::none(),
           py::arg("allowed").noconvert().none(true) = py::none(),
           py::arg("allowed_rows").noconvert().none(true) = py::none(), py::arg("num_threads") = 0,
           "The k best rows and their scores for every query; -1 and -inf pad.")
      .def("score_pairs", &score_pairs, py::arg("queries").noconvert(),
           py::arg("query_rows").noconvert(), py::arg("vector_rows").noconvert(), py::kw_only(),
           py::arg("num_threads") = 0,
           "Score of vector vector_rows[i] for query query_rows[i], bit for bit what search would "
           "give.")
      .def("log_sum_exp", &log_sum_exp, py::arg("queries").noconvert(), py::kw_only(),
           py::arg("num_threads") = 0,
           "Log of the sum of exp(score) over all vectors for every query, float64.");
}

}  // namespace penchant::python
