#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/rerank.hpp"
#include "sparse.hpp"

namespace penchant::python {
namespace {

using Pools = std::pair<Array<std::int64_t>, Array<double>>;
using Order = Array<std::int64_t>;

MatrixView<const std::int64_t> item_lists(const Array<std::int64_t>& array, std::int64_t n_items) {
  const auto lists = matrix(array, "items");
  for (std::int64_t i = 0; i < lists.size(); ++i) {
    if (lists.data[i] < -1 || lists.data[i] >= n_items)
      fail("items row " + std::to_string(i / lists.cols) + " holds " +
           std::to_string(lists.data[i]) + ", outside [-1, " + std::to_string(n_items) + ")");
    if (i % lists.cols > 0 && lists.data[i] >= 0 && lists.data[i - 1] < 0)
      fail("items row " + std::to_string(i / lists.cols) + " goes on after -1");
  }
  return lists;
}

CandidateLists candidate_lists(const Array<std::int64_t>& items, const Array<double>& relevance,
                               std::int64_t n_items) {
  const CandidateLists lists{item_lists(items, n_items), matrix(relevance, "relevance")};
  if (lists.relevance.rows != lists.items.rows || lists.relevance.cols != lists.items.cols)
    fail("items and relevance differ in shape");
  for (std::int64_t i = 0; i < lists.items.size(); ++i)
    if (lists.items.data[i] >= 0 && !std::isfinite(lists.relevance.data[i]))
      fail("relevance row " + std::to_string(i / lists.items.cols) + " is not finite");
  return lists;
}

template <typename Kernel>
Order greedy(const Kernel& kernel, const Array<std::int64_t>& items, const Array<double>& relevance,
             const ItemSimilarity& similarity, std::int64_t n_items, double relevance_weight,
             std::int64_t depth, int num_threads) {
  const auto lists = candidate_lists(items, relevance, n_items);
  if (!(relevance_weight >= 0.0 && relevance_weight <= 1.0))
    fail("relevance_weight must be between 0 and 1");
  Order order({items.shape(0), items.shape(1)});
  const auto view = mutable_matrix(order, "order");
  const GreedyParams params{relevance_weight, depth, num_threads};
  const py::gil_scoped_release release;
  kernel(lists, similarity, params, view);
  return order;
}

template <typename Kernel>
void bind_greedy(py::module_& m, const char* name, const Kernel& kernel, const char* source) {
  m.def(
      name,
      [kernel](const Array<std::int64_t>& items, const Array<double>& relevance,
               const Array<float>& vectors, double relevance_weight, std::int64_t depth,
               int num_threads) {
        ItemSimilarity similarity;
        similarity.vectors = matrix(vectors, "vectors");
        check_finite(similarity.vectors, "vectors");
        return greedy(kernel, items, relevance, similarity, vectors.shape(0), relevance_weight,
                      depth, num_threads);
      },
      py::arg("items").noconvert(), py::arg("relevance").noconvert(),
      py::arg("vectors").noconvert(), py::kw_only(), py::arg("relevance_weight"), py::arg("depth"),
      py::arg("num_threads") = 0, source);
  m.def(
      name,
      [kernel](const Array<std::int64_t>& items, const Array<double>& relevance,
               const CsrArrays& sets, std::int64_t n_values, bool jaccard, double relevance_weight,
               std::int64_t depth, int num_threads) {
        const std::int64_t n_items = csr_rows(sets.first, "sets");
        const CsrView view = csr(sets, n_items, n_values, "sets");
        return greedy(kernel, items, relevance, {{}, &view, jaccard}, n_items, relevance_weight,
                      depth, num_threads);
      },
      py::arg("items").noconvert(), py::arg("relevance").noconvert(), py::arg("sets"),
      py::kw_only(), py::arg("n_values"), py::arg("jaccard"), py::arg("relevance_weight"),
      py::arg("depth"), py::arg("num_threads") = 0, source);
}

Array<std::uint8_t> cap(const Array<std::int64_t>& items, const CsrArrays& sets,
                        std::int64_t n_values, std::int64_t at_most, int num_threads) {
  const std::int64_t n_items = csr_rows(sets.first, "sets");
  const CsrView values = csr(sets, n_items, n_values, "sets");
  const auto lists = item_lists(items, n_items);
  if (at_most < 1) fail("at_most must be at least 1");
  check_size(n_values, 1, "sets");
  Array<std::uint8_t> kept({items.shape(0), items.shape(1)});
  const auto view = mutable_matrix(kept, "kept");
  const py::gil_scoped_release release;
  cap_attributes(lists, values, n_values, at_most, view, num_threads);
  return kept;
}

}  // namespace

void bind_rerank(py::module_& m) {
  bind_greedy(m, "rerank_mmr", &rerank_mmr,
              "Places of each list in the order of maximal marginal relevance.");
  bind_greedy(m, "rerank_dpp", &rerank_dpp,
              "Places of each list in the greedy order of a determinantal point process.");
  m.def("cap_attributes", &cap, py::arg("items").noconvert(), py::arg("sets"), py::kw_only(),
        py::arg("n_values"), py::arg("at_most"), py::arg("num_threads") = 0,
        "1 where an item of a list stays when each attribute value may come at_most times.");
}

}  // namespace penchant::python
