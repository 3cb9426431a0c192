#include "bindings.hpp"
#include "penchant/bayesian_svd.hpp"
#include "ratings.hpp"

namespace penchant::python {
namespace {

std::int32_t fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                 const Array<float>& values, Array<float> user_samples, Array<float> item_samples,
                 Array<float> user_biases, Array<float> item_biases, Array<float> kept,
                 std::int64_t factors, const BayesianSvdParams& params,
                 const RatingEpoch& on_epoch) {
  Written written;
  std::optional<Array<float>> users(user_biases);
  std::optional<Array<float>> items(item_biases);
  BayesianSvdSamples samples;
  samples.users = mutable_matrix(user_samples, "user_samples");
  samples.items = mutable_matrix(item_samples, "item_samples");
  samples.user_biases = bias_data(users, samples.users.rows, "user_biases");
  samples.item_biases = bias_data(items, samples.items.rows, "item_biases");
  check_length(vector(kept, "kept").size(), 1, "kept");
  if (!kept.writeable()) fail("kept is read-only");
  samples.kept = kept.mutable_data();
  samples.factors = factors;
  if (factors < 1 || factors > kMaxFactors)
    fail("factors must be between 1 and " + std::to_string(kMaxFactors));
  if (samples.users.cols != samples.items.cols || samples.users.cols < factors ||
      samples.users.cols % factors != 0)
    fail("user_samples and item_samples need the same multiple of factors as columns");
  check_rows_fit(samples.users.rows, "users");
  check_rows_fit(samples.items.rows, "items");
  if (params.burn_in < 0 || params.epochs < params.burn_in)
    fail("burn_in must be between 0 and epochs");
  if (!std::isfinite(params.mean)) fail("hyperparameters must be finite numbers");
  written = {{&user_samples, "user_samples"},
             {&item_samples, "item_samples"},
             {&user_biases, "user_biases"},
             {&item_biases, "item_biases"},
             {&kept, "kept"}};
  check_all_apart(written);
  const Ratings ratings =
      rating_views(indptr, indices, values, samples.users.rows, samples.items.rows);
  return run_training(on_epoch, [&](const auto& report, const auto& cancelled) {
    return fit_bayesian_svd(ratings, samples, params, report, cancelled);
  });
}

}  // namespace

void bind_bayesian_svd(py::module_& m) {
  m.def(
      "fit_bayesian_svd",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         const Array<float>& values, Array<float> user_samples, Array<float> item_samples,
         Array<float> user_biases, Array<float> item_biases, Array<float> kept,
         std::int64_t factors, std::int32_t epochs, std::int32_t burn_in, bool user_links,
         bool item_links, double mean, std::uint64_t seed, int num_threads,
         const RatingEpoch& on_epoch) {
        const BayesianSvdParams params{epochs, burn_in, user_links, item_links,
                                       mean,   seed,    num_threads};
        return fit(indptr, indices, values, std::move(user_samples), std::move(item_samples),
                   std::move(user_biases), std::move(item_biases), std::move(kept), factors, params,
                   on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(), py::arg("values").noconvert(),
      py::arg("user_samples").noconvert(), py::arg("item_samples").noconvert(),
      py::arg("user_biases").noconvert(), py::arg("item_biases").noconvert(),
      py::arg("kept").noconvert(), py::kw_only(), py::arg("factors"), py::arg("epochs"),
      py::arg("burn_in"), py::arg("user_links"), py::arg("item_links"), py::arg("mean"),
      py::arg("seed"), py::arg("num_threads"), py::arg("on_epoch"),
      "Sample Bayesian SVD into the arrays; on_epoch(epoch, loss, rmse) returning False stops. "
      "Returns the sweeps run.");
}

}  // namespace penchant::python
