#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "penchant/neighbor_index.hpp"
#include "penchant/topk.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// In long double, relative to the largest, so that nothing overflows.
double oracle(const std::vector<float>& scores) {
  if (scores.empty()) return -kInfinity;
  const float largest = *std::max_element(scores.begin(), scores.end());
  long double sum = 0.0L;
  for (const float score : scores)
    sum += std::exp(static_cast<long double>(score) - static_cast<long double>(largest));
  return static_cast<double>(static_cast<long double>(largest) + std::log(sum));
}

// A factor of exp(1e-6) at most, as far as a double can say.
void check_sum(double found, double expected) {
  REQUIRE(std::abs(found - expected) <= 1e-6 + 1e-15 * std::abs(expected));
}

std::vector<double> sums_of(const TopkIndex& index, MatrixView<const float> queries, int threads) {
  std::vector<double> sums(static_cast<std::size_t>(queries.rows), -7.0);
  index.log_sum_exp(queries, sums, threads);
  return sums;
}

void check_vectors(std::int64_t n, std::int64_t dim, float scale) {
  constexpr std::int64_t kQueries = 11;
  const auto v = reference::random_matrix(n, dim, 5);
  const auto b = reference::random_matrix(1, n, 6, scale);
  const auto q = reference::random_matrix(kQueries, dim, 7, scale);
  const TopkIndex index({v.data(), n, dim}, b.data(), 1);
  const MatrixView<const float> queries{q.data(), kQueries, dim};
  const auto sums = sums_of(index, queries, 1);
  for (std::int64_t i = 0; i < kQueries; ++i) {
    std::vector<std::int64_t> query(static_cast<std::size_t>(n), i);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> scores(static_cast<std::size_t>(n));
    index.score_pairs(queries, query, rows, scores, 1);
    CAPTURE(n);
    CAPTURE(dim);
    CAPTURE(scale);
    check_sum(sums[static_cast<std::size_t>(i)], oracle(scores));
    REQUIRE(sums_of(index, {queries.row(i), 1, dim}, 3)[0] == sums[static_cast<std::size_t>(i)]);
  }
  for (const int threads : {2, 5}) REQUIRE(sums_of(index, queries, threads) == sums);
}

}  // namespace

TEST_CASE("log-sum-exp of vectors: the oracle's value, the same bits alone and in any company") {
  for (const std::int64_t n : reference::kOddSizes)
    for (const std::int64_t dim : {1, 7, 16, 33})
      for (const float scale : {1e-4F, 1.0F, 30.0F, 1e6F, 1e36F}) check_vectors(n, dim, scale);
  for (const std::int64_t n : {511, 512, 513, 4096, 5001}) check_vectors(n, 12, 1.0F);
  check_vectors(40000, 3, 2.0F);   // several parts of more than eight blocks
  check_vectors(70, 3000, 0.05F);  // blocks of fewer vectors
}

TEST_CASE("log-sum-exp of many queries: more than one task holds") {
  const auto v = reference::random_matrix(40, 2, 1);
  const auto q = reference::random_matrix(4700, 2, 2);
  const TopkIndex index({v.data(), 40, 2}, nullptr, 1);
  const auto sums = sums_of(index, {q.data(), 4700, 2}, 2);
  for (const std::int64_t i : {0, 511, 512, 4095, 4096, 4699})
    REQUIRE(sums_of(index, {q.data() + i * 2, 1, 2}, 1)[0] == sums[static_cast<std::size_t>(i)]);
}

TEST_CASE("log-sum-exp without vectors or queries") {
  const TopkIndex nothing({nullptr, 0, 3}, nullptr, 1);
  const std::vector<float> q(3, 1.0F);
  CHECK(sums_of(nothing, {q.data(), 1, 3}, 1)[0] == -kInfinity);
  CHECK(sums_of(nothing, {q.data(), 0, 3}, 1).empty());
}

TEST_CASE("log-sum-exp of histories: items nothing points to count with score 0") {
  for (const std::int64_t n : {1, 7, 33, 97, 1200})
    for (const float scale : {1.0F, 40.0F, -1e30F}) {
      const auto s = reference::random_csr(n, n, 12, 3);
      const auto values = reference::random_matrix(1, s.view().entries(), 4, std::abs(scale));
      std::vector<float> dense(static_cast<std::size_t>(n * n), 0.0F);
      for (std::int64_t i = 0, entry = 0; i < n; ++i)
        for (const std::int32_t j : s.view().row(i))
          dense[static_cast<std::size_t>(i * n + j)] = values[static_cast<std::size_t>(entry++)];
      const auto items = reference::random_csr(40, n, 10, 5);
      const std::vector<float> ones(items.indices.size(), scale < 0.0F ? -1.0F : 1.0F);
      const Histories queries{items.view(), ones};
      const NeighborIndex sparse(s.view(), values);
      const NeighborIndex full(MatrixView<const float>{dense.data(), n, n});
      for (const NeighborIndex* index : {&sparse, &full}) {
        std::vector<double> sums(40);
        std::vector<double> again(40);
        index->log_sum_exp(queries, sums, 1);
        index->log_sum_exp(queries, again, 4);
        REQUIRE(sums == again);
        for (std::int64_t q = 0; q < 40; ++q) {
          std::vector<std::int64_t> query(static_cast<std::size_t>(n), q);
          std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
          std::iota(rows.begin(), rows.end(), 0);
          std::vector<float> scores(static_cast<std::size_t>(n));
          index->score_pairs(queries, query, rows, scores, 1);
          check_sum(sums[static_cast<std::size_t>(q)], oracle(scores));
        }
      }
    }
}
