#include <pybind11/stl.h>

#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/ranking_metrics.hpp"

namespace penchant::python {
namespace {

using NamedMetric = std::pair<std::string, std::int32_t>;

MetricAt parse_metric(const NamedMetric& named) {
  static const std::vector<std::pair<std::string, RankingMetric>> known = {
      {"precision", RankingMetric::kPrecision},
      {"recall", RankingMetric::kRecall},
      {"ndcg", RankingMetric::kNdcg},
      {"map", RankingMetric::kMap},
      {"mrr", RankingMetric::kMrr},
      {"hit_rate", RankingMetric::kHitRate}};
  if (named.second < 1)
    fail(named.first + "@" + std::to_string(named.second) + ": k must be at least 1");
  for (const auto& [name, metric] : known)
    if (name == named.first) return {metric, named.second};
  fail("unknown metric '" + named.first + "'; use precision, recall, ndcg, map, mrr or hit_rate");
}

// No upper bound on `items`: relevant ids are only compared with recommended ones.
Array<double> metrics(const Array<std::int64_t>& recommended, const Array<std::int64_t>& indptr,
                      const Array<std::int32_t>& indices, const Array<std::int64_t>& n_relevant,
                      const std::vector<NamedMetric>& named, int num_threads) {
  const auto lists = matrix(recommended, "recommended");
  const CsrView relevant = csr({indptr, indices}, lists.rows, std::int64_t{1} << 31, "relevant");
  const auto totals = vector(n_relevant, "n_relevant");
  check_length(totals.size(), lists.rows, "n_relevant");
  for (std::int64_t u = 0; u < lists.rows; ++u)
    if (totals[static_cast<std::size_t>(u)] < static_cast<std::int64_t>(relevant.row(u).size()))
      fail("n_relevant[" + std::to_string(u) + "] is below the number of relevant items listed");
  std::vector<MetricAt> wanted;
  for (const NamedMetric& metric : named) wanted.push_back(parse_metric(metric));
  Array<double> values(
      {static_cast<py::ssize_t>(lists.rows), static_cast<py::ssize_t>(wanted.size())});
  const auto view = mutable_matrix(values, "values");
  {
    const py::gil_scoped_release release;
    ranking_metrics(lists, relevant, totals, wanted, view, num_threads);
  }
  return values;
}

void mark(const Array<std::int64_t>& recommended, std::int32_t k, Array<bool> shown) {
  const auto lists = matrix(recommended, "recommended");
  const std::span<bool> out(shown.mutable_data(), vector(shown, "shown").size());
  if (k < 1) fail("k must be at least 1");
  for (std::int64_t i = 0; i < lists.size(); ++i)
    if (lists.data[i] >= shown.size())
      fail("recommended holds item " + std::to_string(lists.data[i]) + ", but shown has " +
           std::to_string(shown.size()) + " entries");
  const py::gil_scoped_release release;
  mark_recommended(lists, k, out);
}

}  // namespace

void bind_ranking_metrics(py::module_& m) {
  m.def("ranking_metrics", &metrics, py::arg("recommended").noconvert(),
        py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
        py::arg("n_relevant").noconvert(), py::arg("metrics"), py::kw_only(),
        py::arg("num_threads") = 0,
        "Metrics (name, k) of every user's list; NaN for users without relevant items.");
  m.def("mark_recommended", &mark, py::arg("recommended").noconvert(), py::arg("k"),
        py::arg("shown").noconvert(),
        "Set shown[item] for the items in the first k places of any list.");
}

}  // namespace penchant::python
