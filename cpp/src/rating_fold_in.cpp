#include "penchant/rating_fold_in.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "penchant/parallel.hpp"

namespace penchant {
namespace {

using FloatRows =
    Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

constexpr std::int64_t kRowsAtOnce = 256;
// Of the mean variance, added to the covariance: what rounding leaves of a variance of zero may be
// negative.
constexpr double kFloor = 1e-9;

Eigen::MatrixXd centred_sample(const FloatRows& users, Eigen::VectorXd* mean) {
  const std::int64_t count = std::min<std::int64_t>(users.rows(), kMostPriorUsers);
  Eigen::MatrixXd sample(count, users.cols());
  for (std::int64_t i = 0; i < count; ++i)
    sample.row(i) = users.row(i * users.rows() / count).cast<double>();
  *mean = sample.colwise().mean();
  sample.rowwise() -= mean->transpose();
  return sample;
}

// The lower triangular root of the covariance of the rows of `sample`.
Eigen::MatrixXd covariance_root(const Eigen::MatrixXd& sample, int num_threads) {
  const std::int64_t d = sample.cols();
  Eigen::MatrixXd covariance(d, d);
  parallel_chunks(d, 16, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    covariance.middleCols(begin, end - begin).noalias() =
        sample.transpose() * sample.middleCols(begin, end - begin);
  });
  covariance /= static_cast<double>(sample.rows());
  covariance.diagonal().array() +=
      kFloor * covariance.trace() / static_cast<double>(d) + std::numeric_limits<double>::min();
  return covariance.llt().matrixL();
}

}  // namespace

RatingPrior rating_prior(MatrixView<const float> users, int num_threads) {
  RatingPrior found;
  const Eigen::MatrixXd sample =
      centred_sample(FloatRows(users.data, users.rows, users.cols), &found.mean);
  found.factor = covariance_root(sample, resolve_num_threads(num_threads));
  return found;
}

RatingFoldIn::RatingFoldIn(RatingPrior prior, MatrixView<const float> items,
                           const float* item_biases, double variance, int num_threads)
    : variance_(variance),
      prior_(std::move(prior)),
      features_(items.rows, items.cols),
      estimates_(items.rows) {
  const int threads = resolve_num_threads(num_threads);
  const FloatRows rows(items.data, items.rows, items.cols);
  parallel_chunks(items.rows, kRowsAtOnce, threads, [&](std::int64_t begin, std::int64_t end, int) {
    const std::int64_t count = end - begin;
    const Rows own = rows.middleRows(begin, count).cast<double>();
    features_.middleRows(begin, count).noalias() = own * prior_.factor;
    estimates_.segment(begin, count).noalias() = own * prior_.mean;
  });
  if (item_biases != nullptr)
    estimates_ += Eigen::Map<const Eigen::VectorXf>(item_biases, items.rows).cast<double>();
}

void RatingFoldIn::solve_row(std::span<const std::int32_t> items, std::span<const float> ratings,
                             float* row) const {
  const auto n = static_cast<std::int64_t>(items.size());
  const std::int64_t d = prior_.mean.size();
  if (n == 0) {
    Eigen::Map<Eigen::VectorXf>(row, d) = prior_.mean.cast<float>();
    return;
  }
  Rows own(n, d);
  Eigen::VectorXd rest(n);
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int32_t item = items[static_cast<std::size_t>(j)];
    own.row(j) = features_.row(item);
    rest[j] = static_cast<double>(ratings[static_cast<std::size_t>(j)]) - estimates_[item];
  }
  // y = F^T (F F^T + s^2)^-1 t = (F^T F + s^2)^-1 F^T t: whichever system is smaller.
  Eigen::VectorXd solution;
  if (n <= d) {
    Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(n, n);
    gram.selfadjointView<Eigen::Lower>().rankUpdate(own);
    gram.diagonal().array() += variance_;
    solution = own.transpose() * gram.llt().solve(rest);
  } else {
    Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(d, d);
    gram.selfadjointView<Eigen::Lower>().rankUpdate(own.transpose());
    gram.diagonal().array() += variance_;
    solution = gram.llt().solve(own.transpose() * rest);
  }
  const Eigen::VectorXd found = prior_.mean + prior_.factor * solution;
  Eigen::Map<Eigen::VectorXf>(row, d) = found.cast<float>();
}

void RatingFoldIn::solve(const CsrView& histories, std::span<const float> ratings,
                         MatrixView<float> out, int num_threads) const {
  parallel_chunks(histories.rows(), 1, resolve_num_threads(num_threads),
                  [&](std::int64_t begin, std::int64_t end, int) {
                    for (std::int64_t h = begin; h < end; ++h) {
                      const auto items = histories.row(h);
                      const auto first =
                          static_cast<std::size_t>(histories.indptr[static_cast<std::size_t>(h)]);
                      solve_row(items, ratings.subspan(first, items.size()), out.row(h));
                    }
                  });
}

}  // namespace penchant
