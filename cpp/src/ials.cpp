#include "penchant/ials.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "ials_basis.hpp"
#include "ials_side.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "transposed.hpp"

namespace penchant {
namespace {

// Keeps the system of a row positive definite without a penalty.
constexpr double kLeastRidge = 1e-12;

IalsEvents events_of(const SparseMatrix& matrix) {
  return {matrix.view(), matrix.values.empty() ? nullptr : matrix.values.data()};
}

double total_weight(const float* weights, std::int64_t n) {
  return weights == nullptr ? static_cast<double>(n) : std::accumulate(weights, weights + n, 0.0);
}

class Trainer {
 public:
  Trainer(const IalsEvents& events, const IalsFactors& factors, const IalsParams& params,
          const CancelCheck& cancelled)
      : by_item_(transposed(events.matrix, events.confidence, factors.items.rows)),
        user_side_(events, nullptr, total_weight(factors.item_weights, factors.items.rows), params),
        item_side_(events_of(by_item_), factors.item_weights,
                   static_cast<double>(factors.users.rows), params),
        factors_(factors),
        users_(factors.users),
        items_(factors.items),
        num_threads_(params.num_threads),
        cancel_(cancelled) {}

  // Solves both sides; nothing if it was cancelled on the way.
  std::optional<IalsEpoch> run_epoch(std::int32_t epoch) {
    const IalsSums users =
        half(user_side_, items_, factors_.items.rows, factors_.item_weights, users_);
    if (cancel_.raised(0)) return std::nullopt;
    const IalsSums items = half(item_side_, users_, factors_.users.rows, nullptr, items_);
    if (cancel_.raised(0)) return std::nullopt;
    return IalsEpoch{epoch, items.error + items.quadratic + users.penalty};
  }

 private:
  IalsSums half(const IalsSide& side, PaddedRows& fixed, std::int64_t n_fixed,
                const float* fixed_weights, PaddedRows& solved) {
    const std::int64_t stride = fixed.stride();
    const IalsBasis basis(gram_matrix(fixed.data(), n_fixed, stride, fixed_weights, num_threads_),
                          factors_.dim > 0 ? factors_.dim : factors_.users.cols, stride,
                          num_threads_, &cancel_);
    if (cancel_.raised(0)) return {};
    basis.turn_all(fixed.data(), n_fixed, num_threads_);
    const IalsSums sums = side.solve(fixed.data(), basis, solved.data(), num_threads_, cancel_);
    users_.write_back(num_threads_);
    items_.write_back(num_threads_);
    return sums;
  }

  SparseMatrix by_item_;  // the same events, a row for each item
  IalsSide user_side_;
  IalsSide item_side_;
  IalsFactors factors_;
  PaddedRows users_;
  PaddedRows items_;
  int num_threads_;
  CancelFlag cancel_;
};

}  // namespace

std::int32_t fit_ials(const IalsEvents& events, const IalsFactors& factors,
                      const IalsParams& params, const IalsEpochCallback& on_epoch,
                      const CancelCheck& cancelled) {
  if (factors.users.rows == 0 || factors.items.rows == 0) return 0;
  IalsParams fixed = params;  // asked once: the environment may change while we train
  fixed.num_threads = resolve_num_threads(params.num_threads);
  Trainer trainer(events, factors, fixed, cancelled);
  return run_epochs(trainer, params.epochs, on_epoch);
}

class IalsFoldIn::Impl {
 public:
  Impl(MatrixView<const float> fixed, const float* fixed_weights, const IalsParams& params)
      : params_(params),
        dim_(fixed.cols),
        stride_(padded_columns(fixed.cols)),
        total_(total_weight(fixed_weights, fixed.rows)),
        fixed_(static_cast<std::size_t>(fixed.rows * stride_), 0.0F) {
    params_.solver = IalsSolver::kCholesky;
    const int threads = resolve_num_threads(params.num_threads);
    for (std::int64_t r = 0; r < fixed.rows; ++r)
      std::copy_n(fixed.row(r), dim_, fixed_.data() + r * stride_);
    basis_.emplace(gram_matrix(fixed_.data(), fixed.rows, stride_, fixed_weights, threads), dim_,
                   stride_, threads, nullptr);
    basis_->turn_all(fixed_.data(), fixed.rows, threads);
  }

  void solve(const IalsEvents& events, const float* row_weights, MatrixView<float> out,
             int num_threads) const {
    const int threads = resolve_num_threads(num_threads);
    std::fill_n(out.data, out.size(), 0.0F);
    PaddedRows rows(out);
    const CancelCheck never;
    CancelFlag cancel(never);
    const IalsSide side(events, row_weights, total_, params_);
    side.solve(fixed_.data(), *basis_, rows.data(), threads, cancel);
    basis_->turn_all_back(rows.data(), out.rows, threads);
    rows.write_back(threads);
  }

  // In the basis, in which all but the row's own entries is diagonal.
  void contributions(std::span<const std::int32_t> entries, const float* confidence,
                     std::int32_t target, std::span<float> out) const {
    const auto weight = static_cast<double>(params_.unobserved_weight);
    const double ridge =
        row_ridge(params_, static_cast<std::int64_t>(entries.size()), weight, total_);
    const auto row = [&](std::int32_t r) -> Eigen::VectorXd {
      return Eigen::Map<const Eigen::VectorXf>(fixed_.data() + r * stride_, dim_).cast<double>();
    };
    const auto share = [&](std::size_t j) {
      return confidence == nullptr ? 1.0 : static_cast<double>(confidence[j]);
    };
    const Eigen::VectorXd spectrum =
        Eigen::Map<const Eigen::VectorXf>(basis_->spectrum(), dim_).cast<double>();
    Eigen::MatrixXd system =
        (weight * spectrum.array() + std::max(ridge, kLeastRidge)).matrix().asDiagonal();
    for (std::size_t j = 0; j < entries.size(); ++j)
      system.selfadjointView<Eigen::Lower>().rankUpdate(row(entries[j]), share(j));
    const Eigen::VectorXd solved = system.llt().solve(row(target));
    for (std::size_t j = 0; j < entries.size(); ++j)
      out[j] = static_cast<float>(share(j) * row(entries[j]).dot(solved));
  }

 private:
  IalsParams params_;
  std::int64_t dim_;
  std::int64_t stride_;
  double total_;
  std::vector<float> fixed_;
  std::optional<IalsBasis> basis_;
};

IalsFoldIn::IalsFoldIn(MatrixView<const float> fixed, const float* fixed_weights,
                       const IalsParams& params)
    : impl_(std::make_unique<Impl>(fixed, fixed_weights, params)) {}

IalsFoldIn::~IalsFoldIn() = default;

void IalsFoldIn::contributions(std::span<const std::int32_t> entries, const float* confidence,
                               std::int32_t target, std::span<float> out) const {
  impl_->contributions(entries, confidence, target, out);
}

void IalsFoldIn::solve(const IalsEvents& events, const float* row_weights, MatrixView<float> out,
                       int num_threads) const {
  impl_->solve(events, row_weights, out, num_threads);
}

}  // namespace penchant
