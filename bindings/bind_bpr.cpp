#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <memory>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/bpr_fold_in.hpp"
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

using BprCallback = py::typing::Callable<bool(int, float, float)>;

std::int32_t fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                 Array<float> user_factors, Array<float> item_factors,
                 std::optional<Array<float>> item_biases, const BprParams& params,
                 const BprCallback& on_epoch) {
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

class BprFoldInSolver {
 public:
  BprFoldInSolver(const Array<float>& items, const std::optional<Array<float>>& biases,
                  const Array<std::int64_t>& counts, const BprParams& params) {
    check_params(params);
    const auto view = matrix(items, "item_factors");
    if (view.cols < 1 || view.cols > kMaxFactors)
      fail("factors must be between 1 and " + std::to_string(kMaxFactors));
    check_rows_fit(view.rows, "items");
    check_finite(view, "item_factors");
    const float* bias_data = finite_biases(biases, view.rows, "item_biases");
    const auto item_counts = vector(counts, "item_counts");
    check_length(item_counts.size(), view.rows, "item_counts");
    shape_ = {view.rows, view.cols};
    solver_ = std::make_unique<BprFoldIn>(view, bias_data, item_counts, params);
  }

  [[nodiscard]] Array<float> solve(const Array<std::int64_t>& indptr,
                                   const Array<std::int32_t>& indices, int num_threads) const {
    const auto rows = static_cast<std::int64_t>(indptr.size()) - 1;
    if (rows < 0) fail("indptr is empty");
    check_size(rows, shape_.second, "the solution");
    const CsrView histories = csr({indptr, indices}, rows, shape_.first, "histories");
    Array<float> out({rows, shape_.second});
    const auto view = mutable_matrix(out, "the solution");
    const py::gil_scoped_release release;
    solver_->solve(histories, view, num_threads);
    return out;
  }

 private:
  std::pair<std::int64_t, std::int64_t> shape_;
  std::unique_ptr<BprFoldIn> solver_;
};

void bind_bpr_fold_in(py::module_& m) {
  py::class_<BprFoldInSolver>(m, "BprFoldIn", "BPR's rows of users that training never saw.")
      .def(
          py::init(
              [](const Array<float>& item_factors, const std::optional<Array<float>>& item_biases,
                 const Array<std::int64_t>& item_counts, float learning_rate,
                 float user_regularization, const std::string& negatives, float popularity_exponent,
                 const std::string& optimizer, std::int32_t n_candidates, std::uint64_t seed) {
                BprParams params;
                params.learning_rate = learning_rate;
                params.user_regularization = user_regularization;
                params.negatives = parse_negatives(negatives);
                params.popularity_exponent = popularity_exponent;
                params.optimizer = parse_optimizer(optimizer);
                params.n_candidates = n_candidates;
                params.seed = seed;
                return std::make_unique<BprFoldInSolver>(item_factors, item_biases, item_counts,
                                                         params);
              }),
          py::arg("item_factors").noconvert(), py::arg("item_biases").noconvert().none(true),
          py::arg("item_counts").noconvert(), py::kw_only(), py::arg("learning_rate"),
          py::arg("user_regularization"), py::arg("negatives"), py::arg("popularity_exponent"),
          py::arg("optimizer"), py::arg("n_candidates"), py::arg("seed"), py::keep_alive<1, 2>())
      .def("solve", &BprFoldInSolver::solve, py::arg("indptr").noconvert(),
           py::arg("indices").noconvert(), py::kw_only(), py::arg("num_threads"),
           "Rows of users, float32 [rows, factors], from the items each has taken.");
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
         std::uint64_t seed, int num_threads, const BprCallback& on_epoch) {
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
  bind_bpr_fold_in(m);
}

}  // namespace penchant::python
