#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <vector>

#include "penchant/rating_fold_in.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

using Doubles = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Doubles doubles(const std::vector<float>& values, std::int64_t cols) {
  return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             values.data(), static_cast<std::int64_t>(values.size()) / cols, cols)
      .cast<double>();
}

// x = m + C Q^T (Q C Q^T + s^2)^-1 (t - b - Q m): the conditional mean of a normal distribution.
Eigen::VectorXd conditional_mean(const Doubles& users, const Doubles& items,
                                 const std::vector<float>& biases, double variance,
                                 const std::vector<std::int32_t>& history,
                                 const std::vector<float>& ratings) {
  const Eigen::VectorXd mean = users.colwise().mean();
  const Doubles centred = users.rowwise() - mean.transpose();
  const Eigen::MatrixXd covariance =
      centred.transpose() * centred / static_cast<double>(users.rows());
  const auto n = static_cast<std::int64_t>(history.size());
  Eigen::MatrixXd own(n, items.cols());
  Eigen::VectorXd rest(n);
  for (std::int64_t j = 0; j < n; ++j) {
    const auto item = static_cast<std::size_t>(history[static_cast<std::size_t>(j)]);
    own.row(j) = items.row(static_cast<std::int64_t>(item));
    rest[j] = static_cast<double>(ratings[static_cast<std::size_t>(j)]) -
              (biases.empty() ? 0.0 : static_cast<double>(biases[item])) - own.row(j).dot(mean);
  }
  const Eigen::MatrixXd system =
      own * covariance * own.transpose() + variance * Eigen::MatrixXd::Identity(n, n);
  return mean + covariance * own.transpose() * system.inverse() * rest;
}

}  // namespace

TEST_CASE("a stranger's row is the conditional mean given their ratings") {
  constexpr std::int64_t kUsers = 40;
  constexpr std::int64_t kItems = 60;
  constexpr double kVariance = 0.3;
  for (const std::int64_t dim : {1, 7, 16, 33})
    for (const bool biased : {true, false}) {
      const auto users = reference::random_matrix(kUsers, dim, 1);
      const auto items = reference::random_matrix(kItems, dim, 2);
      const auto biases = biased ? reference::random_matrix(kItems, 1, 3) : std::vector<float>{};
      const RatingFoldIn solver(rating_prior({users.data(), kUsers, dim}, 2),
                                {items.data(), kItems, dim}, biased ? biases.data() : nullptr,
                                kVariance, 2);
      // Shorter and longer than the row: both systems are solved.
      const std::vector<std::vector<std::int32_t>> lists{
          {5}, {0, 3, 9, 27, 59}, {}, {1, 2, 4, 8, 10, 11, 12, 13, 16, 17, 20, 21, 22, 30, 32, 40}};
      reference::Csr histories;
      std::vector<float> ratings;
      for (const auto& list : lists) {
        histories.add_row({list.begin(), list.end()});
        for (std::size_t j = 0; j < list.size(); ++j)
          ratings.push_back(static_cast<float>(list[j] % 5) - 2.0F);
      }
      std::vector<float> rows(lists.size() * static_cast<std::size_t>(dim), -7.0F);
      solver.solve(histories.view(), ratings,
                   {rows.data(), static_cast<std::int64_t>(lists.size()), dim}, 2);
      std::size_t first = 0;
      for (std::size_t h = 0; h < lists.size(); ++h) {
        const std::vector<float> own(
            ratings.begin() + static_cast<std::ptrdiff_t>(first),
            ratings.begin() + static_cast<std::ptrdiff_t>(first + lists[h].size()));
        first += lists[h].size();
        const auto expected = conditional_mean(doubles(users, dim), doubles(items, dim), biases,
                                               kVariance, lists[h], own);
        for (std::int64_t f = 0; f < dim; ++f)
          CHECK(static_cast<double>(
                    rows[h * static_cast<std::size_t>(dim) + static_cast<std::size_t>(f)]) ==
                doctest::Approx(expected[f]).epsilon(1e-4));
      }
    }
}

TEST_CASE("the rows of strangers do not depend on threads, company or a lack of variance") {
  constexpr std::int64_t kItems = 50;
  constexpr std::int64_t kDim = 9;
  const auto items = reference::random_matrix(kItems, kDim, 4);
  const auto users = reference::random_matrix(30, kDim, 5);
  const RatingFoldIn solver(rating_prior({users.data(), 30, kDim}, 2), {items.data(), kItems, kDim},
                            nullptr, 1.0, 3);
  const RatingFoldIn alone(rating_prior({users.data(), 30, kDim}, 2), {items.data(), kItems, kDim},
                           nullptr, 1.0, 1);
  reference::Csr histories;
  std::vector<float> ratings;
  for (std::int32_t h = 0; h < 20; ++h) {
    histories.add_row({h, h + 5, h + 20});
    ratings.insert(ratings.end(), {1.0F, -2.0F, static_cast<float>(h)});
  }
  std::vector<float> many(20 * kDim);
  std::vector<float> one(kDim);
  solver.solve(histories.view(), ratings, {many.data(), 20, kDim}, 3);
  for (std::int32_t h = 0; h < 20; ++h) {
    reference::Csr single;
    single.add_row({h, h + 5, h + 20});
    alone.solve(single.view(), std::span(ratings).subspan(3 * static_cast<std::size_t>(h), 3),
                {one.data(), 1, kDim}, 1);
    CHECK(std::equal(one.begin(), one.end(), many.begin() + h * kDim));
  }
  // One user: nobody can differ from them.
  const RatingFoldIn only(rating_prior({users.data(), 1, kDim}, 2), {items.data(), kItems, kDim},
                          nullptr, 1.0, 1);
  only.solve(histories.view(), ratings, {many.data(), 20, kDim}, 2);
  for (std::int64_t f = 0; f < kDim; ++f)
    CHECK(many[static_cast<std::size_t>(f)] ==
          doctest::Approx(users[static_cast<std::size_t>(f)]).epsilon(1e-5));
}
