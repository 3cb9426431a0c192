#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "penchant/ease.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

// The closed form with dense matrices and Eigen's inverse.
Eigen::MatrixXd naive_ease(const reference::Csr& csr, const std::vector<float>& values,
                           std::int64_t n_items, const EaseParams& params) {
  const std::int64_t n_users = csr.view().rows();
  Eigen::MatrixXd x = Eigen::MatrixXd::Zero(n_users, n_items);
  std::size_t entry = 0;
  for (std::int64_t u = 0; u < n_users; ++u)
    for (const std::int32_t item : csr.view().row(u)) {
      x(u, item) = values.empty() ? 1.0 : static_cast<double>(values[entry]);
      ++entry;
    }
  const auto counted = [](const auto& v) {
    return std::max(1.0, static_cast<double>((v.array() != 0.0).count()));
  };
  Eigen::VectorXd item_scales(n_items);
  for (std::int64_t i = 0; i < n_items; ++i)
    item_scales(i) = std::pow(counted(x.col(i)), -params.item_exponent);
  for (std::int64_t u = 0; u < n_users; ++u)
    x.row(u) *= std::pow(counted(x.row(u)), -params.user_exponent);
  x = x * item_scales.asDiagonal();
  Eigen::MatrixXd g = x.transpose() * x;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(g);
  const double unit = g.trace() / static_cast<double>(csr.view().entries());
  g.diagonal() = g.diagonal() * (1.0 + params.dropout / (1.0 - params.dropout));
  g.diagonal().array() += params.regularization * unit;
  const Eigen::MatrixXd p = g.inverse();
  Eigen::MatrixXd b = -p * p.diagonal().cwiseInverse().asDiagonal();
  Eigen::VectorXd discount(n_items);
  for (std::int64_t i = 0; i < n_items; ++i)
    discount(i) = std::pow(counted(x.col(i)), -params.popularity_discount);
  if (params.rank > 0) {
    Eigen::VectorXd filter = Eigen::VectorXd::Zero(n_items);
    const double largest = eigen.eigenvalues()(n_items - 1);
    for (std::int64_t k = std::max<std::int64_t>(n_items - params.rank, 0); k < n_items; ++k)
      filter(k) =
          std::pow(std::max(eigen.eigenvalues()(k), 0.0) / largest, 0.5 * params.rank_power);
    b = (1.0 - params.rank_share) * b + params.rank_share * eigen.eigenvectors() *
                                            filter.asDiagonal() * eigen.eigenvectors().transpose();
  }
  b.diagonal().setZero();
  return item_scales.asDiagonal() * b * item_scales.cwiseInverse().asDiagonal() *
         discount.asDiagonal();
}

std::vector<float> ease(const reference::Csr& csr, const std::vector<float>& values,
                        std::int64_t n_items, const EaseParams& params) {
  std::vector<float> weights(static_cast<std::size_t>(n_items * n_items), 7.0F);
  REQUIRE(fit_ease(csr.view(), values.empty() ? nullptr : values.data(), params,
                   {weights.data(), n_items, n_items}, nullptr) == EaseStatus::kDone);
  return weights;
}

std::vector<float> some_values(const reference::Csr& csr) {
  RandomStream random{8, 0};
  std::vector<float> values(csr.indices.size());
  for (float& value : values) value = 0.5F * static_cast<float>(1 + reference::draw(random, 10));
  return values;
}

EaseParams some_params() {
  EaseParams params;
  params.regularization = 3.0;
  params.dropout = 0.3;
  params.user_exponent = 0.25;
  params.item_exponent = 0.4;
  params.num_threads = 2;
  return params;
}

}  // namespace

TEST_CASE("ease: the weights are those of the closed form") {
  for (const std::int64_t n : {1, 7, 15, 16, 17, 33, 97, 130})
    for (const bool weighted : {false, true})
      for (const bool plain : {false, true}) {
        CAPTURE(n);
        CAPTURE(weighted);
        CAPTURE(plain);
        const auto csr = reference::random_csr(60, n, 12, 3);
        const auto values = weighted ? some_values(csr) : std::vector<float>{};
        EaseParams params = some_params();
        if (plain) {
          params = EaseParams{};
          params.regularization = 0.7;
        }
        const auto expected = naive_ease(csr, values, n, params);
        const auto found = ease(csr, values, n, params);
        const double scale = std::max(expected.cwiseAbs().maxCoeff(), 1e-3);
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            REQUIRE(std::abs(static_cast<double>(found[static_cast<std::size_t>(i * n + j)]) -
                             expected(i, j)) < 1e-6 * scale);
      }
}

TEST_CASE("ease: low-rank weights beside the others, alone, and more than there are items") {
  for (const std::int64_t n : {2, 17, 97})
    for (const std::int32_t rank : {1, 3, 6})
      for (const double share : {0.4, 1.0}) {
        CAPTURE(n);
        CAPTURE(rank);
        CAPTURE(share);
        const auto csr = reference::random_csr(60, n, 12, 3);
        EaseParams params = some_params();
        params.rank = rank;
        params.rank_share = share;
        params.rank_power = 0.7;
        params.popularity_discount = 0.2;
        const auto expected = naive_ease(csr, some_values(csr), n, params);
        const auto found = ease(csr, some_values(csr), n, params);
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            REQUIRE(std::abs(static_cast<double>(found[static_cast<std::size_t>(i * n + j)]) -
                             expected(i, j)) < 1e-5 * expected.cwiseAbs().maxCoeff());
      }
}

TEST_CASE("ease: a small regularization of a singular Gram matrix") {
  // 20 users, 97 items: rank 20 at most, so the condition number is about 1e2 / regularization.
  const auto csr = reference::random_csr(20, 97, 30, 5);
  for (const double regularization : {1e-2, 1e-5, 1e-8}) {
    CAPTURE(regularization);
    EaseParams params;
    params.regularization = regularization;
    const auto expected = naive_ease(csr, {}, 97, params);
    const auto found = ease(csr, {}, 97, params);
    double largest = 0.0;
    for (std::int64_t i = 0; i < 97; ++i)
      for (std::int64_t j = 0; j < 97; ++j)
        largest = std::max(
            largest, std::abs(static_cast<double>(found[static_cast<std::size_t>(i * 97 + j)]) -
                              expected(i, j)));
    CHECK(largest < 2e-7 * expected.cwiseAbs().maxCoeff() + 1e-13 / regularization);
  }
}

TEST_CASE("ease: the largest weights of a row") {
  const std::int64_t n = 120;
  const auto csr = reference::random_csr(80, n, 14, 6);
  EaseParams params = some_params();
  const auto dense = ease(csr, {}, n, params);
  for (const std::int32_t k : {1, 10, 119, 500}) {
    params.neighbors = k;
    SparseMatrix sparse;
    REQUIRE(fit_ease(csr.view(), nullptr, n, params, &sparse, nullptr) == EaseStatus::kDone);
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<std::pair<double, std::int64_t>> entries;
      for (std::int64_t j = 0; j < n; ++j)
        if (const float w = dense[static_cast<std::size_t>(i * n + j)]; w != 0.0F)
          entries.emplace_back(std::abs(static_cast<double>(w)), j);
      auto best = reference::best(entries, k);
      std::sort(best.begin(), best.end(),
                [](const auto& a, const auto& b) { return a.second < b.second; });
      const auto begin = static_cast<std::size_t>(sparse.indptr[static_cast<std::size_t>(i)]);
      REQUIRE(static_cast<std::size_t>(sparse.indptr[static_cast<std::size_t>(i) + 1]) - begin ==
              best.size());
      for (std::size_t e = 0; e < best.size(); ++e) {
        REQUIRE(sparse.indices[begin + e] == best[e].second);
        REQUIRE(sparse.values[begin + e] ==
                dense[static_cast<std::size_t>(i * n + best[e].second)]);
      }
    }
  }
}

TEST_CASE("ease: the bits do not depend on the threads") {
  const std::int64_t n = 150;
  const auto csr = reference::random_csr(90, n, 20, 1);
  EaseParams params = some_params();
  params.rank = 8;
  params.num_threads = 1;
  const auto one = ease(csr, some_values(csr), n, params);
  for (const int threads : {2, 3, 8}) {
    params.num_threads = threads;
    CHECK(ease(csr, some_values(csr), n, params) == one);
  }
}

TEST_CASE("ease: an item without users has no weights, and a cancelled fit changes nothing") {
  reference::Csr csr;
  csr.add_row({0, 2});
  csr.add_row({0});
  EaseParams params;
  params.regularization = 1.0;
  const auto weights = ease(csr, {}, 3, params);
  for (const std::size_t at : {1U, 3U, 4U, 5U, 7U}) CHECK(weights[at] == 0.0F);
  CHECK(weights[2] > 0.0F);
  std::vector<float> untouched(9, 7.0F);
  CHECK(fit_ease(csr.view(), nullptr, params, {untouched.data(), 3, 3}, [] { return true; }) ==
        EaseStatus::kCancelled);
  CHECK(untouched == std::vector<float>(9, 7.0F));
}
