#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
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

namespace {

// The steps in double precision, one after the other.
std::vector<double> stepped(const BprRowStepsArgs& args, double* gathered) {
  const auto dim = static_cast<std::size_t>(args.dim);
  std::vector<double> row(args.row, args.row + dim);
  const auto item = [&](std::int32_t i) { return args.items + i * args.dim; };
  const auto score = [&](std::int32_t i) {
    double sum = static_cast<double>(args.biases[i]);
    for (std::size_t d = 0; d < dim; ++d) sum += row[d] * static_cast<double>(item(i)[d]);
    return sum;
  };
  for (std::int64_t e = 0; e < args.n_positives; ++e) {
    const std::int32_t positive = args.positives[e];
    std::int32_t negative = args.candidates[0];
    for (std::int32_t c = 1; c < args.n_candidates; ++c)
      if (score(args.candidates[c]) > score(negative)) negative = args.candidates[c];
    const double gradient = 1.0 / (1.0 + std::exp(score(positive) - score(negative)));
    double rate = static_cast<double>(args.learning_rate);
    if (args.adagrad) rate /= std::sqrt(1.0 + *gathered);
    *gathered += gradient * gradient;
    for (std::size_t d = 0; d < dim; ++d)
      row[d] =
          (1.0 - rate * static_cast<double>(args.regularization)) * row[d] +
          rate * gradient *
              (static_cast<double>(item(positive)[d]) - static_cast<double>(item(negative)[d]));
  }
  return row;
}

}  // namespace

TEST_CASE("steps on a row agree with the double-precision oracle") {
  constexpr std::int64_t kItems = 60;
  for (const std::int64_t dim : {1, 7, 16, 33, 64, 97, 128})
    for (const std::int32_t n_candidates : {1, 2, 16, 17, 40})
      for (const bool adagrad : {false, true}) {
        const auto items = reference::random_matrix(kItems, dim, 3);
        const auto biases = reference::random_matrix(kItems, 1, 4);
        std::vector<float> row = reference::random_matrix(1, dim, 5);
        std::vector<std::int32_t> candidates;
        for (std::int32_t c = 0; c < n_candidates; ++c) candidates.push_back((c * 7 + 3) % 50);
        const std::vector<std::int32_t> positives{50, 59, 51, 50, 55};
        float gathered = 0.5F;
        const BprRowStepsArgs args{row.data(),
                                   items.data(),
                                   biases.data(),
                                   dim,
                                   candidates.data(),
                                   n_candidates,
                                   positives.data(),
                                   static_cast<std::int64_t>(positives.size()),
                                   0.3F,
                                   0.2F,
                                   adagrad,
                                   &gathered};
        double squares = 0.5;
        const auto expected = stepped(args, &squares);
        kernels().bpr_row_steps(&args);
        CHECK(static_cast<double>(gathered) == doctest::Approx(squares).epsilon(1e-4));
        for (std::size_t d = 0; d < expected.size(); ++d)
          CHECK(static_cast<double>(row[d]) ==
                doctest::Approx(expected[d]).epsilon(1e-3).scale(1.0));
      }
}

// All other items are alike, so that it does not matter which are drawn.
TEST_CASE("a history of one item takes fifteen steps at rates that fall to zero, with biases") {
  constexpr std::int64_t kItems = 40;
  std::vector<float> items(kItems, 0.0F);
  items[7] = 2.0F;
  std::vector<float> biases(kItems, 0.5F);
  biases[7] = -1.0F;
  const std::vector<std::int64_t> counts(kItems, 1);
  reference::Csr history;
  history.add_row({7});
  BprParams params;
  params.learning_rate = 0.1F;
  params.user_regularization = 0.05F;
  for (const auto& [negatives, adagrad] :
       {std::pair{NegativeSampling::kUniform, false}, std::pair{NegativeSampling::kDynamic, false},
        std::pair{NegativeSampling::kUniform, true}, std::pair{NegativeSampling::kDynamic, true}}) {
    params.negatives = negatives;
    params.optimizer = adagrad ? BprOptimizer::kAdagrad : BprOptimizer::kSgd;
    double x = 0.0;
    double gathered = 0.0;
    for (int epoch = 0; epoch < 15; ++epoch) {
      const double gradient = 1.0 / (1.0 + std::exp(2.0 * x - 1.5));
      double rate = 0.1 * (1.0 - epoch / 15.0);
      rate *= adagrad ? 1.0 / std::sqrt(1.0 + gathered) : 3.0;
      gathered += gradient * gradient;
      x = (1.0 - rate * 0.05) * x + rate * gradient * 2.0;
    }
    const BprFoldIn solver({items.data(), kItems, 1}, biases.data(), counts, params);
    CHECK(static_cast<double>(solve(solver, history.view(), 1)[0]) ==
          doctest::Approx(x).epsilon(1e-4));
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

TEST_CASE("penalties that training can stand do not make a stranger's row diverge") {
  constexpr std::int64_t kItems = 200;
  const auto items = reference::random_matrix(kItems, 8, 3);
  const std::vector<std::int64_t> counts(kItems, 1);
  reference::Csr history;
  std::set<std::int32_t> own;
  for (std::int32_t item = 0; item < 100; item += 2) own.insert(item);
  history.add_row(own);
  BprParams params;
  params.learning_rate = 0.5F;
  for (const float penalty : {0.5F, 1.0F, 2.0F, 3.0F}) {
    params.user_regularization = penalty;
    const BprFoldIn solver({items.data(), kItems, 8}, nullptr, counts, params);
    for (const float x : solve(solver, history.view(), 8)) CHECK(std::abs(x) < 100.0F);
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
