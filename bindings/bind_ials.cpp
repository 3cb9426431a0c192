#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/ials.hpp"
#include "penchant/simd.hpp"

namespace penchant::python {
namespace {

using Weights = std::optional<Array<float>>;

IalsSolver parse_solver(const std::string& name) {
  if (name == "auto") return IalsSolver::kAuto;
  if (name == "cholesky") return IalsSolver::kCholesky;
  if (name == "subspace") return IalsSolver::kSubspace;
  if (name == "cg") return IalsSolver::kGradients;
  fail("solver is '" + name + "'; use 'auto', 'cholesky', 'subspace' or 'cg'");
}

void check_params(const IalsParams& params) {
  if (params.epochs < 0) fail("epochs must be at least 0");
  if (params.block_size < 1) fail("block_size must be at least 1");
  if (params.cg_steps < 1) fail("cg_steps must be at least 1");
  for (const float value :
       {params.regularization, params.regularization_exponent, params.unobserved_weight})
    if (!std::isfinite(value)) fail("hyperparameters must be finite numbers");
  if (params.regularization < 0.0F || params.unobserved_weight < 0.0F)
    fail("regularization and unobserved_weight must not be negative");
}

void check_factors(MatrixView<const float> factors, const char* name) {
  if (factors.cols < 1 || factors.cols > kMaxFactors)
    fail("factors must be between 1 and " + std::to_string(kMaxFactors));
  check_rows_fit(factors.rows, name);
}

// Positive finite numbers, `length` of them, or none at all.
const float* positive(const Weights& weights, std::int64_t length, const char* name) {
  if (!weights) return nullptr;
  const auto values = vector(*weights, name);
  check_length(values.size(), length, name);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] > 0.0F) || !std::isfinite(values[i]))
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(values[i]) +
           ", not a positive finite number");
  return values.data();
}

using IalsCallback = py::typing::Callable<bool(int, float)>;

std::int32_t fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                 const Weights& confidence, Array<float> user_factors, Array<float> item_factors,
                 const Weights& item_weights, std::int64_t dim, const IalsParams& params,
                 const IalsCallback& on_epoch) {
  check_params(params);
  IalsFactors factors{mutable_matrix(user_factors, "user_factors"),
                      mutable_matrix(item_factors, "item_factors"), nullptr, dim};
  if (factors.users.cols != factors.items.cols)
    fail("user_factors and item_factors differ in their number of columns");
  check_factors(matrix(user_factors, "user_factors"), "users");
  check_factors(matrix(item_factors, "item_factors"), "items");
  if (dim < 1 || dim > factors.users.cols)
    fail("factors is " + std::to_string(dim) + ", but the matrices have " +
         std::to_string(factors.users.cols) + " columns");
  check_apart(user_factors, item_factors, "user_factors", "item_factors");
  check_finite(matrix(user_factors, "user_factors"), "user_factors");
  check_finite(matrix(item_factors, "item_factors"), "item_factors");
  IalsEvents events{csr({indptr, indices}, factors.users.rows, factors.items.rows, "interactions"),
                    nullptr};
  events.confidence = positive(confidence, events.matrix.entries(), "confidence");
  factors.item_weights = positive(item_weights, factors.items.rows, "item_weights");
  const auto report = [&](const IalsEpoch& epoch) {
    const py::gil_scoped_acquire acquire;
    return on_epoch(epoch.epoch, epoch.loss).cast<bool>();
  };
  return run_kernel(
      [&](const auto& cancelled) { return fit_ials(events, factors, params, report, cancelled); });
}

// The fixed side's size stays beside the core's object, for the checks.
class IalsFoldInSolver {
 public:
  IalsFoldInSolver(const Array<float>& fixed, const Weights& fixed_weights,
                   const IalsParams& params) {
    check_params(params);
    const auto view = matrix(fixed, "fixed_factors");
    check_factors(view, "fixed_factors");
    check_finite(view, "fixed_factors");
    const float* weights = positive(fixed_weights, view.rows, "fixed_weights");
    n_fixed_ = view.rows;
    factors_ = view.cols;
    const py::gil_scoped_release release;
    solver_ = std::make_unique<IalsFoldIn>(view, weights, params);
  }

  [[nodiscard]] Array<float> solve(const Array<std::int64_t>& indptr,
                                   const Array<std::int32_t>& indices, const Weights& confidence,
                                   const Weights& row_weights, int num_threads) const {
    const auto rows = static_cast<std::int64_t>(indptr.size()) - 1;
    if (rows < 0) fail("indptr is empty");
    check_size(rows, factors_, "the solution");
    IalsEvents events{csr({indptr, indices}, rows, n_fixed_, "history"), nullptr};
    events.confidence = positive(confidence, events.matrix.entries(), "confidence");
    const float* weights = positive(row_weights, rows, "row_weights");
    Array<float> out({rows, factors_});
    const auto view = mutable_matrix(out, "the solution");
    const py::gil_scoped_release release;
    solver_->solve(events, weights, view, num_threads);
    return out;
  }

  [[nodiscard]] Array<float> contributions(const Array<std::int32_t>& entries,
                                           const Weights& confidence, std::int32_t target) const {
    const auto rows = vector(entries, "entries");
    check_within(rows, n_fixed_, "entries");
    check_within(std::span<const std::int32_t>(&target, 1), n_fixed_, "target");
    const float* weights =
        positive(confidence, static_cast<std::int64_t>(rows.size()), "confidence");
    Array<float> out(static_cast<py::ssize_t>(rows.size()));
    const std::span<float> view(out.mutable_data(), rows.size());
    const py::gil_scoped_release release;
    solver_->contributions(rows, weights, target, view);
    return out;
  }

 private:
  std::int64_t n_fixed_ = 0;
  std::int64_t factors_ = 0;
  std::unique_ptr<IalsFoldIn> solver_;
};

void bind_ials_fold_in(py::module_& m) {
  py::class_<IalsFoldInSolver>(m, "IalsFoldIn", "Rows of one side of implicit ALS, solved exactly.")
      .def(py::init([](const Array<float>& fixed_factors, const Weights& fixed_weights,
                       float regularization, float regularization_exponent, float unobserved_weight,
                       int num_threads) {
             IalsParams params;
             params.regularization = regularization;
             params.regularization_exponent = regularization_exponent;
             params.unobserved_weight = unobserved_weight;
             params.num_threads = num_threads;
             return std::make_unique<IalsFoldInSolver>(fixed_factors, fixed_weights, params);
           }),
           py::arg("fixed_factors").noconvert(), py::arg("fixed_weights").noconvert().none(true),
           py::kw_only(), py::arg("regularization"), py::arg("regularization_exponent"),
           py::arg("unobserved_weight"), py::arg("num_threads"))
      .def("solve", &IalsFoldInSolver::solve, py::arg("indptr").noconvert(),
           py::arg("indices").noconvert(), py::arg("confidence").noconvert().none(true),
           py::arg("row_weights").noconvert().none(true), py::kw_only(), py::arg("num_threads"),
           "Solve rows, float32 [rows, factors], from their entries among the fixed side's rows.")
      .def("contributions", &IalsFoldInSolver::contributions, py::arg("entries").noconvert(),
           py::arg("confidence").noconvert().none(true), py::arg("target"),
           "What each entry of a row adds to the row's product with a row of the fixed side.");
}

}  // namespace

void bind_ials(py::module_& m) {
  m.def(
      "fit_ials",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
         const Weights& confidence, Array<float> user_factors, Array<float> item_factors,
         const Weights& item_weights, std::int64_t factors, std::int32_t epochs,
         float regularization, float regularization_exponent, float unobserved_weight,
         const std::string& solver, std::int32_t block_size, std::int32_t cg_steps, int num_threads,
         const IalsCallback& on_epoch) {
        const IalsParams params{epochs,
                                regularization,
                                regularization_exponent,
                                unobserved_weight,
                                parse_solver(solver),
                                block_size,
                                cg_steps,
                                num_threads};
        return fit(indptr, indices, confidence, std::move(user_factors), std::move(item_factors),
                   item_weights, factors, params, on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
      py::arg("confidence").noconvert().none(true), py::arg("user_factors").noconvert(),
      py::arg("item_factors").noconvert(), py::arg("item_weights").noconvert().none(true),
      py::kw_only(), py::arg("factors"), py::arg("epochs"), py::arg("regularization"),
      py::arg("regularization_exponent"), py::arg("unobserved_weight"), py::arg("solver"),
      py::arg("block_size"), py::arg("cg_steps"), py::arg("num_threads"), py::arg("on_epoch"),
      "Train implicit ALS in place; columns beyond `factors` are padding and zero; on_epoch(epoch, "
      "loss) returning False stops. Returns "
      "the epochs run.");
  bind_ials_fold_in(m);
}

}  // namespace penchant::python
