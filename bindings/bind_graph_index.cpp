#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "filter.hpp"
#include "penchant/graph_index.hpp"
#include "penchant/simd.hpp"
#include "topk_queries.hpp"

namespace penchant::python {
namespace {

using OptionalBiases = std::optional<Array<float>>;
using LinkArrays =
    std::tuple<Array<std::int16_t>, Array<std::int32_t>, Array<std::int32_t>, std::int64_t>;
using Efforts = Array<std::int32_t>;

GraphDtype checked_dtype(const std::string& name) {
  if (name == "i8") return GraphDtype::kInt8;
  if (name == "bf16") return GraphDtype::kBfloat16;
  if (name == "f32") return GraphDtype::kFloat32;
  fail("dtype is '" + name + "'; use 'i8', 'bf16' or 'f32'");
}

GraphLinks checked_links(const LinkArrays& arrays, std::int64_t n) {
  const auto& [levels, base, upper, entry] = arrays;
  const GraphLinks links{vector(levels, "levels"), matrix(base, "base"), matrix(upper, "upper"),
                         entry};
  const std::string problem = problem_of_links(links, n);
  if (!problem.empty()) fail(problem);
  return links;
}

void check_permutation(std::span<const std::int64_t> order, std::int64_t n) {
  check_length(order.size(), n, "order");
  check_within(order, n, "order");
  std::vector<bool> there(order.size());
  for (const std::int64_t row : order) there[static_cast<std::size_t>(row)] = true;
  for (std::size_t row = 0; row < there.size(); ++row)
    if (!there[row]) fail("order lacks row " + std::to_string(row));
}

std::unique_ptr<GraphIndex> make_index(const Array<float>& vectors, const OptionalBiases& biases,
                                       const LinkArrays& link_arrays,
                                       const Array<std::int64_t>& order, const std::string& dtype,
                                       int num_threads) {
  const auto view = matrix(vectors, "vectors");
  check_finite(view, "vectors");
  check_rows_fit(view.rows, "vectors");
  if (view.cols > kMaxDimension)
    fail("vectors have " + std::to_string(view.cols) + " columns; an index takes at most " +
         std::to_string(kMaxDimension));
  const float* bias_data = nullptr;
  if (biases) {
    const auto bias_view = vector(*biases, "biases");
    check_length(bias_view.size(), view.rows, "biases");
    check_finite({bias_view.data(), view.rows, 1}, "biases");
    bias_data = bias_view.data();
  }
  const GraphLinks links = checked_links(link_arrays, view.rows);
  const auto places = vector(order, "order");
  check_permutation(places, view.rows);
  const GraphDtype kind = checked_dtype(dtype);
  const py::gil_scoped_release release;
  return std::make_unique<GraphIndex>(view, bias_data, links, places, kind, num_threads);
}

LinkArrays links_of(const GraphIndex& index) {
  Array<std::int16_t> levels(index.size());
  Array<std::int32_t> base({index.size(), 2 * index.connectivity() + 1});
  Array<std::int32_t> upper({index.upper_lists(), index.connectivity() + 1});
  index.write_links({levels.mutable_data(), static_cast<std::size_t>(levels.size())},
                    mutable_matrix(base, "base"), mutable_matrix(upper, "upper"));
  return {std::move(levels), std::move(base), std::move(upper), index.entry()};
}

Array<std::int64_t> order_of(const GraphIndex& index) {
  Array<std::int64_t> rows(index.size());
  std::copy_n(index.order().begin(), index.order().size(), rows.mutable_data());
  return rows;
}

// A copy of the links of level 0, with those that let more vectors be reached.
Array<std::int32_t> connected(const LinkArrays& arrays) {
  const GraphLinks links = checked_links(arrays, std::get<0>(arrays).size());
  Array<std::int32_t> base({links.base.rows, links.base.cols});
  const auto view = mutable_matrix(base, "base");
  {
    const py::gil_scoped_release release;
    std::copy_n(links.base.data, links.base.size(), view.data);
    connect_links(view, links.entry);
  }
  return base;
}

// Pairs (width, expansion): one for all queries, or one for each.
std::vector<GraphEffort> checked_efforts(const Efforts& efforts, std::int64_t n_queries) {
  const auto view = matrix(efforts, "efforts");
  if (view.cols != 2 || (view.rows != 1 && view.rows != n_queries))
    fail("efforts must be pairs (width, expansion): one, or one a query");
  std::vector<GraphEffort> checked;
  checked.reserve(static_cast<std::size_t>(view.rows));
  for (std::int64_t q = 0; q < view.rows; ++q) {
    checked.push_back({view.row(q)[0], view.row(q)[1]});
    if (checked.back().width < 0 || checked.back().expansion < 1)
      fail("efforts row " + std::to_string(q) + " has a width below 0 or an expansion below 1");
  }
  return checked;
}

std::pair<Array<std::int64_t>, Array<float>> search(const GraphIndex& index, const TopkIndex& exact,
                                                    const Array<float>& queries, std::int64_t k,
                                                    const Efforts& efforts,
                                                    const OptionalCsr& exclude,
                                                    const OptionalFlags& allowed, int num_threads) {
  if (exact.size() != index.size() || exact.dim() != index.dim())
    fail("the exact index is over other vectors");
  const auto query_view = checked_queries(exact, queries);
  if (k < 1) fail("k is " + std::to_string(k) + "; it must be at least 1");
  check_size(query_view.rows, k, "the answer");
  const auto checked = checked_efforts(efforts, query_view.rows);
  const Filter filter(exclude, std::nullopt, allowed, std::nullopt, query_view.rows, index.size());
  Array<std::int64_t> rows({query_view.rows, k});
  Array<float> scores({query_view.rows, k});
  const auto rows_view = mutable_matrix(rows, "rows");
  const auto scores_view = mutable_matrix(scores, "scores");
  {
    const py::gil_scoped_release release;
    index.search(exact, query_view, filter.view(), checked, rows_view, scores_view, num_threads);
  }
  return {std::move(rows), std::move(scores)};
}

}  // namespace

void bind_graph_index(py::module_& m) {
  m.def("connect_links", &connected, py::arg("links").noconvert(),
        "Links of level 0, of (levels, base, upper, entry), with what vectors that no path reaches "
        "need to be reached.");
  py::class_<GraphIndex>(
      m, "GraphIndex",
      "Approximate top-k search by a graph of near neighbours; owns a copy of all it is made of.")
      .def(py::init(&make_index), py::arg("vectors").noconvert(),
           py::arg("biases").noconvert().none(true), py::arg("links").noconvert(),
           py::arg("order").noconvert(), py::arg("dtype"), py::kw_only(),
           py::arg("num_threads") = 0,
           "Of links (levels, base, upper, entry), every one of which is checked, with vectors in "
           "memory in the given order of rows, rounded to 'i8', 'bf16' or 'f32'.")
      .def_property_readonly("size", &GraphIndex::size, "Number of vectors.")
      .def_property_readonly("dim", &GraphIndex::dim, "Length of a vector.")
      .def_property_readonly("n_bytes", &GraphIndex::n_bytes, "Memory of links and vectors.")
      .def("order", &order_of, "The rows in the order in which they lie in memory.")
      .def("links", &links_of, "What it was made of: (levels, base, upper, entry).")
      .def("search", &search, py::arg("exact"), py::arg("queries").noconvert(), py::arg("k"),
           py::arg("efforts").noconvert(), py::kw_only(),
           py::arg("exclude").noconvert().none(true) = py::none(),
           py::arg("allowed").noconvert().none(true) = py::none(), py::arg("num_threads") = 0,
           "About the k best rows for every query and their scores by the exact index over the "
           "same vectors, of candidates that the graph offers: efforts has pairs of how many (0 "
           "for none), and how many are kept on the way. -1 and -inf pad.");
}

}  // namespace penchant::python
