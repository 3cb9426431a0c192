#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "penchant/bpr_fold_in.hpp"
#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

std::vector<float> solve(const BprFoldIn& solver, const CsrView& histories, std::int64_t factors,
                         int threads = 2) {
  std::vector<float> rows(static_cast<std::size_t>(histories.rows() * factors), -7.0F);
  solver.solve(histories, {rows.data(), histories.rows(), factors}, threads);
  return rows;
}

}  // namespace

TEST_CASE("dots of rows agree with the double-precision oracle") {
  for (const std::int64_t dim : reference::kOddSizes) {
    const auto rows = reference::random_matrix(9, dim, 1);
    const auto query = reference::random_matrix(1, dim, 2);
    const std::vector<std::int32_t> which{3, 0, 8, 3};
    std::vector<float> dots(4);
    const RowDotsArgs args{query.data(), rows.data(), dim, which.data(), 4, dots.data()};
    kernels().row_dots(&args);
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(static_cast<double>(dots[i]) ==
            doctest::Approx(reference::score(query.data(), rows.data() + which[i] * dim, 0.0, dim))
                .epsilon(1e-5));
  }
}

// Two tastes along the first dimension: a history of one should come out on its side.
TEST_CASE("a stranger's row prefers what is like their history") {
  constexpr std::int64_t kItems = 200;
  constexpr std::int64_t kFactors = 5;
  auto items = reference::random_matrix(kItems, kFactors, 3, 0.1F);
  for (std::int64_t i = 0; i < kItems; ++i)
    items[static_cast<std::size_t>(i * kFactors)] = i % 2 == 0 ? 1.0F : -1.0F;
  std::vector<float> biases(kItems, 0.0F);
  std::vector<std::int64_t> counts(kItems, 3);
  reference::Csr histories;
  histories.add_row({0, 2, 4, 6, 8});
  histories.add_row({1, 3, 5});
  histories.add_row({});
  for (const NegativeSampling negatives :
       {NegativeSampling::kUniform, NegativeSampling::kPopular, NegativeSampling::kDynamic})
    for (const BprOptimizer optimizer : {BprOptimizer::kSgd, BprOptimizer::kAdagrad}) {
      BprParams params;
      params.negatives = negatives;
      params.optimizer = optimizer;
      params.learning_rate = 0.2F;
      const BprFoldIn solver({items.data(), kItems, kFactors}, biases.data(), counts, params);
      const auto rows = solve(solver, histories.view(), kFactors);
      // Dynamic negatives are soon those of the same taste, which hold it back.
      CHECK(rows[0] > 0.1F);
      CHECK(rows[kFactors] < -0.1F);
      for (std::int64_t f = 0; f < kFactors; ++f)
        CHECK(rows[static_cast<std::size_t>(2 * kFactors + f)] == 0.0F);
      // A larger penalty holds the row closer to zero.
      params.user_regularization = 2.0F;
      const BprFoldIn held({items.data(), kItems, kFactors}, biases.data(), counts, params);
      CHECK(std::abs(solve(held, histories.view(), kFactors)[0]) < 0.7F * rows[0]);
    }
}

TEST_CASE("popular negatives follow the count of an item") {
  // Item 1 is as popular as all others together: uniform draws hardly meet it.
  constexpr std::int64_t kItems = 500;
  std::vector<float> items(kItems * 2, 0.0F);
  items[0] = 1.0F;  // item 0, the history
  items[3] = 1.0F;  // item 1 alone is along the second dimension
  std::vector<std::int64_t> counts(kItems, 1);
  counts[1] = 500;
  reference::Csr history;
  history.add_row({0});
  BprParams params;
  params.popularity_exponent = 1.0F;
  params.negatives = NegativeSampling::kPopular;
  const BprFoldIn popular({items.data(), kItems, 2}, nullptr, counts, params);
  params.negatives = NegativeSampling::kUniform;
  const BprFoldIn uniform({items.data(), kItems, 2}, nullptr, counts, params);
  CHECK(solve(popular, history.view(), 2)[1] < -0.1F);
  CHECK(solve(uniform, history.view(), 2)[1] > -0.1F);
}

TEST_CASE("a history has the same row alone, in a batch, and on any number of threads") {
  constexpr std::int64_t kItems = 97;
  const auto items = reference::random_matrix(kItems, 7, 3);
  const std::vector<std::int64_t> counts(kItems, 1);
  const auto histories = reference::random_csr(40, kItems, 20, 5);
  const BprFoldIn solver({items.data(), kItems, 7}, nullptr, counts, {});
  const auto batch = solve(solver, histories.view(), 7, 1);
  for (const int threads : {2, 3, 8}) CHECK(solve(solver, histories.view(), 7, threads) == batch);
  for (std::int64_t h = 0; h < 40; ++h) {
    reference::Csr one;
    const auto row = histories.view().row(h);
    one.add_row({row.begin(), row.end()});
    const auto alone = solve(solver, one.view(), 7);
    CHECK(std::equal(alone.begin(), alone.end(), batch.begin() + h * 7));
  }
  BprParams seeded;
  seeded.seed = 1;
  CHECK_FALSE(solve({{items.data(), kItems, 7}, nullptr, counts, seeded}, histories.view(), 7) ==
              batch);
}

TEST_CASE("a history of everything, or of all but one") {
  const auto items = reference::random_matrix(12, 3, 3);
  const std::vector<std::int64_t> counts(12, 1);
  reference::Csr histories;
  histories.add_row({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  histories.add_row({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const BprFoldIn solver({items.data(), 12, 3}, nullptr, counts, {});
  const auto rows = solve(solver, histories.view(), 3);
  CHECK(rows[0] == 0.0F);
  CHECK(rows[3] != 0.0F);
  for (const float x : rows) CHECK(std::isfinite(x));
}
