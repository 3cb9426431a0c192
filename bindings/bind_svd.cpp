#include "bindings.hpp"
#include "penchant/svdpp.hpp"
#include "ratings.hpp"

namespace penchant::python {
namespace {

using OptionalArray = std::optional<Array<float>>;

std::int32_t fit_ratings(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                         const Array<float>& values, Array<float> user_factors,
                         Array<float> item_factors, OptionalArray user_biases,
                         OptionalArray item_biases, OptionalArray implicit_factors,
                         const SvdppParams& params, const RatingEpoch& on_epoch) {
  Written written;
  SvdppFactors factors{svd_views(user_factors, item_factors, user_biases, item_biases, written),
                       {}};
  if (implicit_factors) {
    factors.implicit = mutable_matrix(*implicit_factors, "implicit_factors");
    check_length(static_cast<std::size_t>(factors.implicit.rows), factors.svd.items.rows,
                 "implicit_factors");
    if (factors.implicit.cols != factors.svd.items.cols)
      fail("implicit_factors and item_factors differ in their number of columns");
    written.emplace_back(&*implicit_factors, "implicit_factors");
  }
  check_all_apart(written);
  check_group(params.implicit);
  const Ratings ratings =
      rating_views(indptr, indices, values, factors.svd.users.rows, factors.svd.items.rows);
  return run_training(on_epoch, [&](const auto& report, const auto& cancelled) {
    return implicit_factors ? fit_svdpp(ratings, factors, params, report, cancelled)
                            : fit_svd(ratings, factors.svd, params.svd, report, cancelled);
  });
}

void bind_fit_svd(py::module_& m) {
  m.def(
      "fit_svd",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         const Array<float>& values, Array<float> user_factors, Array<float> item_factors,
         OptionalArray user_biases, OptionalArray item_biases, std::int32_t epochs,
         const std::array<float, 4>& learning_rates, const std::array<float, 4>& regularizations,
         float learning_rate_decay, float mean, std::uint64_t seed, int num_threads,
         const RatingEpoch& on_epoch) {
        const SvdppParams params{svd_params(epochs, learning_rates, regularizations,
                                            learning_rate_decay, mean, seed, num_threads),
                                 {}};
        return fit_ratings(indptr, indices, values, std::move(user_factors),
                           std::move(item_factors), std::move(user_biases), std::move(item_biases),
                           std::nullopt, params, on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(), py::arg("values").noconvert(),
      py::arg("user_factors").noconvert(), py::arg("item_factors").noconvert(),
      py::arg("user_biases").noconvert().none(true), py::arg("item_biases").noconvert().none(true),
      py::kw_only(), py::arg("epochs"), py::arg("learning_rates"), py::arg("regularizations"),
      py::arg("learning_rate_decay"), py::arg("mean"), py::arg("seed"), py::arg("num_threads"),
      py::arg("on_epoch"),
      "Train SVD in place; rates and penalties are of users, items, user biases, item biases; "
      "on_epoch(epoch, loss, rmse) returning False stops. Returns the epochs run.");
}

void bind_fit_svdpp(py::module_& m) {
  m.def(
      "fit_svdpp",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         const Array<float>& values, Array<float> user_factors, Array<float> item_factors,
         Array<float> implicit_factors, OptionalArray user_biases, OptionalArray item_biases,
         std::int32_t epochs, const std::array<float, 4>& learning_rates,
         const std::array<float, 4>& regularizations, float implicit_learning_rate,
         float implicit_regularization, float learning_rate_decay, float mean, std::uint64_t seed,
         int num_threads, const RatingEpoch& on_epoch) {
        const SvdppParams params{svd_params(epochs, learning_rates, regularizations,
                                            learning_rate_decay, mean, seed, num_threads),
                                 {implicit_learning_rate, implicit_regularization}};
        return fit_ratings(indptr, indices, values, std::move(user_factors),
                           std::move(item_factors), std::move(user_biases), std::move(item_biases),
                           std::move(implicit_factors), params, on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(), py::arg("values").noconvert(),
      py::arg("user_factors").noconvert(), py::arg("item_factors").noconvert(),
      py::arg("implicit_factors").noconvert(), py::arg("user_biases").noconvert().none(true),
      py::arg("item_biases").noconvert().none(true), py::kw_only(), py::arg("epochs"),
      py::arg("learning_rates"), py::arg("regularizations"), py::arg("implicit_learning_rate"),
      py::arg("implicit_regularization"), py::arg("learning_rate_decay"), py::arg("mean"),
      py::arg("seed"), py::arg("num_threads"), py::arg("on_epoch"),
      "Train SVD++ in place; as fit_svd. Returns the epochs run.");
}

Array<float> sums(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                  const Array<float>& implicit_factors, int num_threads) {
  const auto implicit = matrix(implicit_factors, "implicit_factors");
  check_rows_fit(implicit.rows, "items");
  check_dims(indptr, 1, "indptr");
  if (indptr.size() < 1) fail("indptr is empty");
  const std::int64_t rows = indptr.size() - 1;
  const CsrView histories = csr({indptr, indices}, rows, implicit.rows, "histories");
  check_size(rows, implicit.cols, "the sums");
  Array<float> out({rows, implicit.cols});
  const MatrixView<float> view{out.mutable_data(), rows, implicit.cols};
  const py::gil_scoped_release release;
  implicit_sums(histories, implicit, view, num_threads);
  return out;
}

}  // namespace

void bind_svd(py::module_& m) {
  bind_fit_svd(m);
  bind_fit_svdpp(m);
  m.def("implicit_sums", &sums, py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
        py::arg("implicit_factors").noconvert(), py::kw_only(), py::arg("num_threads"),
        "Sum of the implicit rows of each history, divided by the square root of its length.");
}

}  // namespace penchant::python
