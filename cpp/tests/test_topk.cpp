#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "penchant/topk.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Problem {
  std::int64_t queries;
  std::int64_t vectors;
  std::int64_t dim;
  std::vector<float> q;
  std::vector<float> v;
  std::vector<float> b;

  Problem(std::int64_t n_queries, std::int64_t n_vectors, std::int64_t n_dim, std::uint64_t seed)
      : queries(n_queries),
        vectors(n_vectors),
        dim(n_dim),
        q(reference::random_matrix(n_queries, n_dim, seed)),
        v(reference::random_matrix(n_vectors, n_dim, seed + 1)),
        b(reference::random_matrix(n_vectors, 1, seed + 2)) {}

  [[nodiscard]] TopkIndex index(int threads = 2) const {
    return {{v.data(), vectors, dim}, b.data(), threads};
  }
  [[nodiscard]] MatrixView<const float> query_view() const { return {q.data(), queries, dim}; }
};

struct Answer {
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
  bool operator==(const Answer&) const = default;
};

Answer search(const TopkIndex& index, MatrixView<const float> queries, std::int64_t k,
              const TopkFilter& filter = {}, int threads = 2) {
  Answer answer{std::vector<std::int64_t>(static_cast<std::size_t>(queries.rows * k)),
                std::vector<float>(static_cast<std::size_t>(queries.rows * k))};
  index.search(queries, filter, {answer.rows.data(), queries.rows, k},
               {answer.scores.data(), queries.rows, k}, threads);
  return answer;
}

// Scores must be those of the oracle; rows may differ only where the oracle's scores are as good as
// equal.
void check_against_oracle(const Problem& p, const Answer& answer, std::int64_t k,
                          const TopkFilter& filter = {}) {
  for (std::int64_t q = 0; q < p.queries; ++q) {
    std::vector<std::pair<double, std::int64_t>> scored;
    const float* query = p.q.data() + q * p.dim;
    const auto contains = [&](const CsrView* csr, std::int64_t row) {
      const auto values = csr->row(q);
      return std::binary_search(values.begin(), values.end(), row);
    };
    for (std::int64_t r = 0; r < p.vectors; ++r) {
      if (filter.exclude != nullptr && contains(filter.exclude, r)) continue;
      if (filter.candidates != nullptr && !contains(filter.candidates, r)) continue;
      const std::uint8_t* const allowed = filter.allowed_for(q, p.vectors);
      if (allowed != nullptr && allowed[r] == 0) continue;
      scored.emplace_back(
          reference::score(query, p.v.data() + r * p.dim, p.b[static_cast<std::size_t>(r)], p.dim),
          r);
    }
    const auto expected = reference::best(scored, k);
    for (std::int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(q * k + i);
      if (i >= static_cast<std::int64_t>(expected.size())) {
        CHECK(answer.rows[at] == -1);
        CHECK(answer.scores[at] == -std::numeric_limits<float>::infinity());
        continue;
      }
      const auto& [score, row] = expected[static_cast<std::size_t>(i)];
      const double tolerance = 1e-5 * (1.0 + std::abs(score));
      CHECK(std::abs(static_cast<double>(answer.scores[at]) - score) < tolerance);
      const std::int64_t found = answer.rows[at];
      REQUIRE(found >= 0);
      if (found == row) continue;
      const double other = reference::score(query, p.v.data() + found * p.dim,
                                            p.b[static_cast<std::size_t>(found)], p.dim);
      CHECK(std::abs(other - score) < tolerance);
    }
  }
}

}  // namespace

TEST_CASE("top-k agrees with a full sort, odd sizes") {
  for (const std::int64_t vectors : reference::kOddSizes)
    for (const std::int64_t dim : reference::kOddSizes) {
      const Problem p(17, vectors, dim, 5);
      const auto answer = search(p.index(), p.query_view(), 10);
      check_against_oracle(p, answer, 10);
    }
}

TEST_CASE("top-k agrees with a full sort over many blocks, with skewed norms and biases") {
  for (const std::int64_t k : {1, 10, 100}) {
    Problem p(33, 3001, 24, 9);
    for (std::int64_t r = 0; r < p.vectors; ++r)
      for (std::int64_t d = 0; d < p.dim; ++d)
        p.v[static_cast<std::size_t>(r * p.dim + d)] *= 10.0F / static_cast<float>(1 + r % 50);
    const auto index = p.index();
    check_against_oracle(p, search(index, p.query_view(), k), k);
    const auto seen = reference::random_csr(p.queries, p.vectors, 200, 4);
    const CsrView seen_view = seen.view();
    check_against_oracle(p, search(index, p.query_view(), k, {&seen_view}), k, {&seen_view});
    const auto only = reference::random_csr(p.queries, p.vectors, 60, 6);
    const CsrView only_view = only.view();
    const TopkFilter both{&seen_view, &only_view};
    check_against_oracle(p, search(index, p.query_view(), k, both), k, both);
    for (const std::int64_t share : {2, 7, 40, 4000}) {  // few survivors are scored alone
      std::vector<std::uint8_t> allowed(static_cast<std::size_t>(p.vectors), 0);
      for (std::int64_t r = 0; r < p.vectors; r += share) allowed[static_cast<std::size_t>(r)] = 1;
      for (const TopkFilter& some : {TopkFilter{nullptr, nullptr, allowed.data()},
                                     TopkFilter{&seen_view, nullptr, allowed.data()},
                                     TopkFilter{&seen_view, &only_view, allowed.data()}})
        check_against_oracle(p, search(index, p.query_view(), k, some), k, some);
    }
    std::vector<std::uint8_t> rows(static_cast<std::size_t>(3 * p.vectors), 0);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i % 7 < 3 ? 1 : 0;
    std::vector<std::int32_t> own(static_cast<std::size_t>(p.queries));
    for (std::size_t q = 0; q < own.size(); ++q) own[q] = static_cast<std::int32_t>(q * q % 3);
    for (const TopkFilter& some : {TopkFilter{nullptr, nullptr, rows.data(), own.data()},
                                   TopkFilter{&seen_view, &only_view, rows.data(), own.data()}})
      check_against_oracle(p, search(index, p.query_view(), k, some), k, some);
  }
}

TEST_CASE("the bits do not depend on threads, batch or path") {
  const Problem p(97, 2000, 33, 21);
  const auto index = p.index(1);
  const auto batch = search(index, p.query_view(), 15, {}, 1);
  for (const int threads : {2, 3, 8}) {
    CHECK(search(index, p.query_view(), 15, {}, threads) == batch);
    CHECK(search(p.index(threads), p.query_view(), 15, {}, threads) == batch);
  }
  std::vector<std::int64_t> query_rows;
  for (std::int64_t q = 0; q < p.queries; ++q) {
    const MatrixView<const float> one{p.q.data() + q * p.dim, 1, p.dim};
    const auto single = search(index, one, 15);
    CHECK(std::equal(single.rows.begin(), single.rows.end(), batch.rows.begin() + q * 15));
    CHECK(std::equal(single.scores.begin(), single.scores.end(), batch.scores.begin() + q * 15));
    query_rows.insert(query_rows.end(), 15, q);
  }
  std::vector<float> pairs(batch.scores.size());
  index.score_pairs(p.query_view(), query_rows, batch.rows, pairs, 2);
  CHECK(pairs == batch.scores);
}

// Long enough for a single query to be worth several threads.
TEST_CASE("few queries share the threads, with the same bits and filters") {
  Problem p(9, 30'000, 64, 33);
  for (std::int64_t r = 1; r < p.vectors; r += 3)  // ties across parts
    std::copy_n(p.v.begin() + (r - 1) * p.dim, p.dim, p.v.begin() + r * p.dim);
  p.b.assign(p.b.size(), 0.0F);
  const auto index = p.index();
  const auto seen = reference::random_csr(p.queries, p.vectors, 300, 4);
  const auto only = reference::random_csr(p.queries, p.vectors, 9000, 6);
  const CsrView seen_view = seen.view();
  const CsrView only_view = only.view();
  std::vector<std::uint8_t> many(static_cast<std::size_t>(p.vectors), 1);
  std::vector<std::uint8_t> few(static_cast<std::size_t>(p.vectors), 0);
  for (std::int64_t r = 0; r < p.vectors; r += 5) many[static_cast<std::size_t>(r)] = 0;
  for (std::int64_t r = 0; r < p.vectors; r += 20) few[static_cast<std::size_t>(r)] = 1;
  reference::Csr some;  // more than are queued at once, and fewer than are scanned for
  for (std::int32_t q = 0; q < p.queries; ++q) {
    std::set<std::int32_t> own;
    for (std::int32_t r = q; r < p.vectors; r += 17) own.insert(r);
    some.add_row(own);
  }
  const CsrView some_view = some.view();
  for (const TopkFilter& filter :
       {TopkFilter{}, TopkFilter{&seen_view}, TopkFilter{&seen_view, &only_view},
        TopkFilter{nullptr, &some_view}, TopkFilter{&seen_view, nullptr, many.data()},
        TopkFilter{nullptr, nullptr, few.data()}, TopkFilter{&seen_view, nullptr, few.data()}}) {
    const auto alone = search(index, p.query_view(), 20, filter, 1);
    check_against_oracle(p, alone, 20, filter);
    for (const int threads : {2, 3, 8, 64})
      CHECK(search(index, p.query_view(), 20, filter, threads) == alone);
    for (const std::int64_t n : {1, 8}) {
      const auto first = [&](const CsrView& lists) {
        return CsrView{lists.indptr.first(static_cast<std::size_t>(n) + 1),
                       lists.indices.first(
                           static_cast<std::size_t>(lists.indptr[static_cast<std::size_t>(n)]))};
      };
      const CsrView fewer_seen = first(seen_view);
      const CsrView fewer_only =
          filter.candidates != nullptr ? first(*filter.candidates) : CsrView{};
      const TopkFilter fewer{filter.exclude != nullptr ? &fewer_seen : nullptr,
                             filter.candidates != nullptr ? &fewer_only : nullptr, filter.allowed};
      for (const int threads : {1, 8}) {
        const auto found = search(index, {p.q.data(), n, p.dim}, 20, fewer, threads);
        CHECK(std::equal(found.rows.begin(), found.rows.end(), alone.rows.begin()));
        CHECK(std::equal(found.scores.begin(), found.scores.end(), alone.scores.begin()));
      }
    }
  }
}

// What a query may have is scored alone where it is little, and looked for in a scan where it is
// much: lists of all lengths side by side in one batch.
TEST_CASE("filters that leave little and filters that leave much, in one batch") {
  constexpr std::int64_t kVectors = 2500;
  const Problem p(130, kVectors, 20, 41);
  const auto index = p.index();
  reference::Csr lists;
  reference::Csr short_lists;
  for (std::int64_t q = 0; q < p.queries; ++q) {
    std::set<std::int32_t> own;
    for (std::int32_t r = 0; r < kVectors; ++r) {
      const std::int32_t kind = static_cast<std::int32_t>(q % 5);
      if (kind == 0 || (kind == 1 && r % 500 != 3) || (kind == 2 && r % 40 == 1) ||
          (kind == 3 && r % 3 == 0 && r != 0))
        own.insert(r);
    }
    lists.add_row(own);
    short_lists.add_row({0, static_cast<std::int32_t>(q), 600, 1200});
  }
  const CsrView all = lists.view();
  const CsrView some = short_lists.view();
  std::vector<std::uint8_t> flags(3 * kVectors, 0);
  for (std::size_t r = 0; r < kVectors; ++r) {
    flags[r] = r % 100 == 7;
    flags[kVectors + r] = r % 10 != 0;
  }
  std::vector<std::int32_t> rows(130);
  for (std::size_t q = 0; q < rows.size(); ++q) rows[q] = static_cast<std::int32_t>(q % 3);
  for (const TopkFilter& filter :
       {TopkFilter{&all}, TopkFilter{nullptr, &all}, TopkFilter{&some, &all},
        TopkFilter{&all, nullptr, flags.data(), rows.data()},
        TopkFilter{&some, nullptr, flags.data(), rows.data()},
        TopkFilter{&some, &all, flags.data(), rows.data()},
        TopkFilter{&all, nullptr, flags.data() + kVectors}}) {
    const auto alone = search(index, p.query_view(), 12, filter, 1);
    check_against_oracle(p, alone, 12, filter);
    for (const int threads : {2, 8})
      CHECK(search(index, p.query_view(), 12, filter, threads) == alone);
  }
}

TEST_CASE("ties go to the lower row") {
  const std::int64_t n = 700;
  std::vector<float> same(static_cast<std::size_t>(n * 4), 0.5F);
  const TopkIndex index({same.data(), n, 4}, nullptr, 1);
  const std::vector<float> query = {1.0F, 2.0F, 3.0F, 4.0F};
  const auto answer = search(index, {query.data(), 1, 4}, 5);
  CHECK(answer.rows == std::vector<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("zero vectors, zero queries and empty indexes") {
  const std::vector<float> zeros(40 * 3, 0.0F);
  const TopkIndex index({zeros.data(), 40, 3}, nullptr, 1);
  const auto answer = search(index, {zeros.data(), 2, 3}, 3);
  CHECK(answer.rows == std::vector<std::int64_t>{0, 1, 2, 0, 1, 2});
  const TopkIndex none({zeros.data(), 0, 3}, nullptr, 1);
  CHECK(search(none, {zeros.data(), 1, 3}, 2).rows == std::vector<std::int64_t>{-1, -1});
  CHECK(search(index, {zeros.data(), 0, 3}, 2).rows.empty());
}

TEST_CASE("values of very different size keep the answer exact") {
  Problem p(16, 600, 16, 33);
  for (std::size_t i = 0; i < p.v.size(); ++i)
    p.v[i] *= std::pow(10.0F, static_cast<float>(i % 13) - 6.0F);
  for (std::size_t i = 0; i < p.q.size(); ++i)
    p.q[i] *= std::pow(10.0F, static_cast<float>(i % 7) - 3.0F);
  check_against_oracle(p, search(p.index(), p.query_view(), 20), 20);
}

TEST_CASE("the score bound holds") {
  const Problem p(7, 97, 15, 2);
  const auto index = p.index();
  float largest = 0.0F;
  for (const float x : p.q) largest = std::max(largest, std::abs(x));
  for (const float score : search(index, p.query_view(), 97).scores)
    CHECK(std::abs(static_cast<double>(score)) <= index.score_bound(largest));
}
