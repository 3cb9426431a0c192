#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/bpr.hpp"
#include "penchant/simd.hpp"

namespace penchant::python {
namespace {

NegativeSampling parse_negatives(const std::string& name) {
  if (name == "uniform") return NegativeSampling::kUniform;
  if (name == "popular") return NegativeSampling::kPopular;
  if (name == "dynamic") return NegativeSampling::kDynamic;
  fail("negatives is '" + name + "'; use 'uniform', 'popular' or 'dynamic'");
}

BprOptimizer parse_optimizer(const std::string& name) {
  if (name == "sgd") return BprOptimizer::kSgd;
  if (name == "adagrad") return BprOptimizer::kAdagrad;
  fail("optimizer is '" + name + "'; use 'sgd' or 'adagrad'");
}

void check_params(const BprParams& params) {
  if (params.epochs < 0) fail("epochs must be at least 0");
  if (params.n_candidates < 1 || params.n_candidates > kMaxCandidates)
    fail("n_candidates must be between 1 and " + std::to_string(kMaxCandidates));
  for (const float value :
       {params.learning_rate, params.learning_rate_decay, params.user_regularization,
        params.positive_regularization, params.negative_regularization, params.bias_regularization,
        params.popularity_exponent})
    if (!std::isfinite(value)) fail("hyperparameters must be finite numbers");
}

BprFactors factor_views(Array<float>& users, Array<float>& items,
                        std::optional<Array<float>>& biases) {
  BprFactors factors{mutable_matrix(users, "user_factors"), mutable_matrix(items, "item_factors"),
                     nullptr};
  if (factors.users.cols != factors.items.cols)
    fail("user_factors and item_factors differ in their number of columns");
  if (factors.users.cols < 1 || factors.users.cols > kMaxFactors)
    fail("factors must be between 1 and " + std::to_string(kMaxFactors));
  check_rows_fit(factors.users.rows, "users");
  check_rows_fit(factors.items.rows, "items");
  if (biases) {
    check_length(vector(*biases, "item_biases").size(), factors.items.rows, "item_biases");
    if (!biases->writeable()) fail("item_biases is read-only");
    factors.item_biases = biases->mutable_data();
    check_apart(*biases, users, "item_biases", "user_factors");
    check_apart(*biases, items, "item_biases", "item_factors");
  }
  check_apart(users, items, "user_factors", "item_factors");
  return factors;
}

using Epoch = py::typing::Callable<bool(int, float, float)>;

std::int32_t fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                 Array<float> user_factors, Array<float> item_factors,
                 std::optional<Array<float>> item_biases, const BprParams& params,
                 const Epoch& on_epoch) {
  check_params(params);
  const BprFactors factors = factor_views(user_factors, item_factors, item_biases);
  const CsrView interactions =
      csr({indptr, indices}, factors.users.rows, factors.items.rows, "interactions");
  const auto report = [&](const BprEpoch& epoch) {
    const py::gil_scoped_acquire acquire;
    return on_epoch(epoch.epoch, epoch.loss, epoch.auc).cast<bool>();
  };
  return run_kernel([&](const auto& cancelled) {
    return fit_bpr(interactions, factors, params, report, cancelled);
  });
}

}  // namespace

void bind_bpr(py::module_& m) {
  m.def(
      "fit_bpr",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         Array<float> user_factors, Array<float> item_factors,
         std::optional<Array<float>> item_biases, std::int32_t epochs, float learning_rate,
         float learning_rate_decay, float user_regularization, float positive_regularization,
         float negative_regularization, float bias_regularization, const std::string& negatives,
         float popularity_exponent, const std::string& optimizer, std::int32_t n_candidates,
         std::uint64_t seed, int num_threads, const Epoch& on_epoch) {
        const BprParams params{epochs,
                               learning_rate,
                               learning_rate_decay,
                               user_regularization,
                               positive_regularization,
                               negative_regularization,
                               bias_regularization,
                               parse_negatives(negatives),
                               popularity_exponent,
                               parse_optimizer(optimizer),
                               n_candidates,
                               seed,
                               num_threads};
        return fit(indptr, indices, std::move(user_factors), std::move(item_factors),
                   std::move(item_biases), params, on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
      py::arg("user_factors").noconvert(), py::arg("item_factors").noconvert(),
      py::arg("item_biases").noconvert().none(true), py::kw_only(), py::arg("epochs"),
      py::arg("learning_rate"), py::arg("learning_rate_decay"), py::arg("user_regularization"),
      py::arg("positive_regularization"), py::arg("negative_regularization"),
      py::arg("bias_regularization"), py::arg("negatives"), py::arg("popularity_exponent"),
      py::arg("optimizer"), py::arg("n_candidates"), py::arg("seed"), py::arg("num_threads"),
      py::arg("on_epoch"),
      "Train BPR factors in place; on_epoch(epoch, loss, auc) returning False stops. Returns the "
      "epochs run.");
}

}  // namespace penchant::python
