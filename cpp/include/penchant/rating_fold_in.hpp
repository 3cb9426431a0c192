// Users that training on ratings never saw: ridge regression of their ratings on the items' rows.
//
// A rating is estimated as b_i + q_i . x. What the user's row x may be is known from the users of
// the training: x ~ N(m, C), m and C their mean and covariance, and ratings scatter around their
// estimates with variance s^2. The most probable x minimizes
//   sum_j (t_j - b_j - q_j . x)^2 + s^2 (x - m)^T C^-1 (x - m).
// With C = L L^T and x = m + L y that is ridge regression of y on the rows f_j = L^T q_j, its
// penalty s^2. Bias, length and correlation of the users' factors are in C: nothing is to be tuned,
// and C may be singular.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>

#include "penchant/types.hpp"

namespace penchant {

// What is known of rows before there are ratings.
struct RatingPrior {
  Eigen::VectorXd mean;    // m
  Eigen::MatrixXd factor;  // L, lower triangular
};

// Users whose rows the covariance is taken of, at equal distances; all where there are fewer.
inline constexpr std::int64_t kMostPriorUsers = 20'000;

RatingPrior rating_prior(MatrixView<const float> users, int num_threads);

class RatingFoldIn {
 public:
  // `items` (n_items x d) are rows whose inner product with those of users plus `item_biases`
  // (n_items, or null) is the estimate; all are copied. `variance` (s^2) must be positive.
  RatingFoldIn(RatingPrior prior, MatrixView<const float> items, const float* item_biases,
               double variance, int num_threads);

  // One row of `out` for each history; `ratings` has one for each of its items. An empty history
  // gets the mean user. The bits depend neither on the threads nor on the other histories.
  void solve(const CsrView& histories, std::span<const float> ratings, MatrixView<float> out,
             int num_threads) const;

 private:
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  void solve_row(std::span<const std::int32_t> items, std::span<const float> ratings,
                 float* row) const;

  double variance_;
  RatingPrior prior_;
  Rows features_;              // f_j
  Eigen::VectorXd estimates_;  // of the mean user: b_j + q_j . m
};

}  // namespace penchant
