#include <pybind11/stl.h>

#include <memory>

#include "arrays.hpp"
#include "bindings.hpp"
#include "penchant/rating_fold_in.hpp"

namespace penchant::python {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Array<double> prior_of(const Array<float>& users, int num_threads) {
  const auto rows = matrix(users, "user_factors");
  if (rows.rows < 1 || rows.cols < 1) fail("user_factors has no rows or no columns");
  check_finite(rows, "user_factors");
  Array<double> out({rows.cols + 1, rows.cols});
  Eigen::Map<Rows> found(out.mutable_data(), rows.cols + 1, rows.cols);
  const py::gil_scoped_release release;
  const RatingPrior prior = rating_prior(rows, num_threads);
  found.row(0) = prior.mean.transpose();
  found.bottomRows(rows.cols) = prior.factor;
  return out;
}

// The size of the items' side stays beside the core's object, for the checks.
class RatingFoldInSolver {
 public:
  RatingFoldInSolver(const Array<double>& prior, const Array<float>& items,
                     const std::optional<Array<float>>& biases, double variance, int num_threads) {
    const auto prior_rows = matrix(prior, "prior");
    const auto item_rows = matrix(items, "item_factors");
    const std::int64_t d = item_rows.cols;
    if (d < 1 || prior_rows.cols != d || prior_rows.rows != d + 1)
      fail("prior must have as many columns as item_factors, at least 1, and one row more");
    check_rows_fit(item_rows.rows, "items");
    check_finite(prior_rows, "prior");
    check_finite(item_rows, "item_factors");
    const float* bias_data = finite_biases(biases, item_rows.rows, "item_biases");
    if (!(variance > 0.0) || !std::isfinite(variance))
      fail("variance must be a positive finite number");
    shape_ = {item_rows.rows, d};
    const py::gil_scoped_release release;
    const Eigen::Map<const Rows> rows(prior_rows.data, d + 1, d);
    solver_ = std::make_unique<RatingFoldIn>(
        RatingPrior{rows.row(0).transpose(), rows.bottomRows(d).triangularView<Eigen::Lower>()},
        item_rows, bias_data, variance, num_threads);
  }

  [[nodiscard]] Array<float> solve(const Array<std::int64_t>& indptr,
                                   const Array<std::int32_t>& indices, const Array<float>& ratings,
                                   int num_threads) const {
    const auto rows = static_cast<std::int64_t>(indptr.size()) - 1;
    if (rows < 0) fail("indptr is empty");
    check_size(rows, shape_.second, "the solution");
    const CsrView histories = csr({indptr, indices}, rows, shape_.first, "histories");
    const auto values = vector(ratings, "ratings");
    check_length(values.size(), histories.entries(), "ratings");
    check_finite({values.data(), histories.entries(), 1}, "ratings");
    Array<float> out({rows, shape_.second});
    const auto view = mutable_matrix(out, "the solution");
    const py::gil_scoped_release release;
    solver_->solve(histories, values, view, num_threads);
    return out;
  }

 private:
  std::pair<std::int64_t, std::int64_t> shape_;
  std::unique_ptr<RatingFoldIn> solver_;
};

}  // namespace

void bind_rating_fold_in(py::module_& m) {
  m.def("rating_prior", &prior_of, py::arg("user_factors").noconvert(), py::kw_only(),
        py::arg("num_threads"),
        "Mean (row 0) and lower triangular root of the covariance of users' rows, float64.");
  py::class_<RatingFoldInSolver>(m, "RatingFoldIn",
                                 "Rows of users whose ratings training never saw.")
      .def(py::init<const Array<double>&, const Array<float>&, const std::optional<Array<float>>&,
                    double, int>(),
           py::arg("prior").noconvert(), py::arg("item_factors").noconvert(),
           py::arg("item_biases").noconvert().none(true), py::kw_only(), py::arg("variance"),
           py::arg("num_threads"))
      .def("solve", &RatingFoldInSolver::solve, py::arg("indptr").noconvert(),
           py::arg("indices").noconvert(), py::arg("ratings").noconvert(), py::kw_only(),
           py::arg("num_threads"), "Rows of users, float32 [rows, factors], from their ratings.");
}

}  // namespace penchant::python
