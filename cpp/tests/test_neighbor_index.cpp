#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "penchant/neighbor_index.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A sparse S with positive and negative entries, the same S dense, and some histories.
struct Case {
  std::int64_t n;
  reference::Csr s;
  std::vector<float> s_values;
  std::vector<float> dense;
  reference::Csr histories;
  std::vector<float> history_values;

  Case(std::int64_t items, std::uint64_t seed)
      : n(items),
        s(reference::random_csr(items, items, 12, seed)),
        s_values(reference::random_matrix(1, s.view().entries(), seed + 1)),
        dense(static_cast<std::size_t>(items * items), 0.0F),
        histories(reference::random_csr(23, items, 10, seed + 2)),
        history_values(reference::random_matrix(1, histories.view().entries(), seed + 3)) {
    std::size_t entry = 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (const std::int32_t j : s.view().row(i))
        dense[static_cast<std::size_t>(i * n + j)] = s_values[entry++];
  }

  [[nodiscard]] Histories queries() const { return {histories.view(), history_values}; }
  [[nodiscard]] NeighborIndex sparse_index() const { return {s.view(), s_values}; }
  [[nodiscard]] NeighborIndex dense_index() const {
    return NeighborIndex(MatrixView<const float>{dense.data(), n, n});
  }

  [[nodiscard]] double score(std::int64_t query, std::int64_t item) const {
    double sum = 0.0;
    auto at = static_cast<std::size_t>(histories.indptr[static_cast<std::size_t>(query)]);
    for (const std::int32_t h : histories.view().row(query))
      sum += static_cast<double>(history_values[at++]) *
             static_cast<double>(dense[static_cast<std::size_t>(h * n + item)]);
    return sum;
  }
};

struct Answer {
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
};

Answer search(const NeighborIndex& index, const Histories& queries, std::int64_t k,
              const TopkFilter& filter, int threads) {
  const auto size = static_cast<std::size_t>(queries.items.rows() * k);
  Answer answer{std::vector<std::int64_t>(size, -7), std::vector<float>(size, -7.0F)};
  index.search(queries, filter, {answer.rows.data(), queries.items.rows(), k},
               {answer.scores.data(), queries.items.rows(), k}, threads);
  return answer;
}

// The answer is sorted, has the bits of score_pairs, and is the best that is allowed.
void check(const Case& data, const NeighborIndex& index, std::int64_t k, const TopkFilter& filter) {
  const Histories queries = data.queries();
  const Answer answer = search(index, queries, k, filter, 2);
  for (std::int64_t q = 0; q < queries.items.rows(); ++q) {
    CAPTURE(q);
    std::set<std::int64_t> allowed;
    for (std::int64_t i = 0; i < data.n; ++i) allowed.insert(i);
    if (filter.candidates != nullptr) {
      const auto row = filter.candidates->row(q);
      allowed = std::set<std::int64_t>(row.begin(), row.end());
    }
    if (filter.exclude != nullptr)
      for (const std::int32_t item : filter.exclude->row(q)) allowed.erase(item);
    const std::uint8_t* const flags = filter.allowed_for(q, data.n);
    if (flags != nullptr)
      for (std::int64_t i = 0; i < data.n; ++i)
        if (flags[i] == 0) allowed.erase(i);
    std::vector<std::int64_t> items(allowed.begin(), allowed.end());
    std::vector<std::int64_t> same_query(items.size(), q);
    std::vector<float> scores(items.size());
    index.score_pairs(queries, same_query, items, scores, 1);
    std::vector<std::pair<double, std::int64_t>> scored;
    for (std::size_t i = 0; i < items.size(); ++i) {
      REQUIRE(static_cast<double>(scores[i]) ==
              doctest::Approx(data.score(q, items[i])).epsilon(1e-5));
      scored.emplace_back(static_cast<double>(scores[i]), items[i]);
    }
    const auto expected = reference::best(scored, k);
    for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i) {
      const auto at = static_cast<std::size_t>(q * k) + i;
      REQUIRE(answer.rows[at] == (i < expected.size() ? expected[i].second : -1));
      const float score = i < expected.size() ? static_cast<float>(expected[i].first) : -kInfinity;
      REQUIRE(answer.scores[at] == score);
    }
  }
}

}  // namespace

TEST_CASE("neighbor index: best items, zeros between positives and negatives, filters") {
  for (const std::int64_t n : reference::kOddSizes) {
    const Case data(n, 40 + static_cast<std::uint64_t>(n));
    const auto exclude = reference::random_csr(23, n, 9, 1);
    const auto candidates = reference::random_csr(23, n, 14, 2);
    const CsrView exclude_view = exclude.view();
    const CsrView candidates_view = candidates.view();
    std::vector<std::uint8_t> thirds(static_cast<std::size_t>(n), 1);
    for (std::int64_t i = 0; i < n; i += 3) thirds[static_cast<std::size_t>(i)] = 0;
    for (const auto& index : {data.sparse_index(), data.dense_index()})
      for (const std::int64_t k : {std::int64_t{1}, std::int64_t{5}, n})
        for (const bool excluding : {false, true})
          for (const bool choosing : {false, true})
            for (const std::uint8_t* flags : {static_cast<const std::uint8_t*>(nullptr),
                                              static_cast<const std::uint8_t*>(thirds.data())}) {
              CAPTURE(n);
              CAPTURE(k);
              CAPTURE(excluding);
              CAPTURE(choosing);
              const TopkFilter filter{excluding ? &exclude_view : nullptr,
                                      choosing ? &candidates_view : nullptr, flags};
              check(data, index, k, filter);
            }
  }
}

TEST_CASE("neighbor index: each query has its own row of flags") {
  const Case data(33, 8);
  std::vector<std::uint8_t> rows(2 * 33, 1);
  for (std::size_t i = 0; i < rows.size(); i += 3) rows[i] = 0;
  std::vector<std::int32_t> own(23);
  for (std::size_t q = 0; q < own.size(); ++q) own[q] = static_cast<std::int32_t>(q * q % 2);
  const auto candidates = reference::random_csr(23, 33, 14, 2);
  const CsrView candidates_view = candidates.view();
  for (const auto& index : {data.sparse_index(), data.dense_index()})
    for (const CsrView* some : {static_cast<const CsrView*>(nullptr), &candidates_view})
      check(data, index, 9, {nullptr, some, rows.data(), own.data()});
}

TEST_CASE("neighbor index: the bits do not depend on the threads or on the batch") {
  const Case data(97, 5);
  for (const auto& index : {data.sparse_index(), data.dense_index()}) {
    const Answer one = search(index, data.queries(), 30, {}, 1);
    for (const int threads : {2, 3, 8}) {
      const Answer other = search(index, data.queries(), 30, {}, threads);
      CHECK(one.rows == other.rows);
      CHECK(one.scores == other.scores);
    }
    for (std::int64_t q = 0; q < 23; ++q) {
      const auto items = data.histories.view().row(q);
      const auto begin =
          static_cast<std::size_t>(data.histories.indptr[static_cast<std::size_t>(q)]);
      const std::vector<std::int64_t> indptr = {0, static_cast<std::int64_t>(items.size())};
      const Histories alone{{indptr, items},
                            std::span(data.history_values).subspan(begin, items.size())};
      const Answer answer = search(index, alone, 30, {}, 1);
      CHECK(std::equal(answer.rows.begin(), answer.rows.end(), one.rows.begin() + q * 30));
      CHECK(std::equal(answer.scores.begin(), answer.scores.end(), one.scores.begin() + q * 30));
    }
  }
}

TEST_CASE("neighbor index: pairs in any order") {
  const Case data(33, 12);
  const auto index = data.sparse_index();
  RandomStream random{3, 0};
  std::vector<std::int64_t> queries;
  std::vector<std::int64_t> items;
  for (int i = 0; i < 500; ++i) {
    queries.push_back(reference::draw(random, 23));
    items.push_back(reference::draw(random, 33));
  }
  std::vector<float> scores(500);
  index.score_pairs(data.queries(), queries, items, scores, 3);
  for (std::size_t i = 0; i < 500; ++i)
    CHECK(static_cast<double>(scores[i]) ==
          doctest::Approx(data.score(queries[i], items[i])).epsilon(1e-5));
}

TEST_CASE("neighbor index: the entries of a row, itself left out") {
  const Case data(17, 9);
  std::vector<std::int64_t> items = {3, 0, 16, 3};
  for (const bool dense : {false, true}) {
    const auto index = dense ? data.dense_index() : data.sparse_index();
    std::vector<std::int64_t> rows(4 * 17);
    std::vector<float> scores(4 * 17);
    index.neighbors(items, {rows.data(), 4, 17}, {scores.data(), 4, 17}, 2);
    for (std::size_t q = 0; q < items.size(); ++q) {
      std::vector<std::pair<double, std::int64_t>> entries;
      for (std::int64_t j = 0; j < 17; ++j) {
        const auto row = data.s.view().row(items[q]);
        const bool stored =
            std::binary_search(row.begin(), row.end(), static_cast<std::int32_t>(j));
        if (j != items[q] && (dense || stored))
          entries.emplace_back(
              static_cast<double>(data.dense[static_cast<std::size_t>(items[q] * 17 + j)]), j);
      }
      const auto expected = reference::best(entries, 17);
      for (std::size_t i = 0; i < 17; ++i)
        CHECK(rows[q * 17 + i] == (i < expected.size() ? expected[i].second : -1));
    }
  }
}

TEST_CASE("neighbor index: a bound on the scores") {
  const Case data(16, 2);
  const auto index = data.sparse_index();
  for (std::int64_t q = 0; q < 23; ++q) {
    double sum = 0.0;
    for (auto at = data.histories.indptr[static_cast<std::size_t>(q)];
         at < data.histories.indptr[static_cast<std::size_t>(q) + 1]; ++at)
      sum += std::abs(static_cast<double>(data.history_values[static_cast<std::size_t>(at)]));
    for (std::int64_t i = 0; i < 16; ++i)
      CHECK(std::abs(data.score(q, i)) <= index.score_bound(sum) * (1 + 1e-12));
  }
}

TEST_CASE("neighbor index: sums of what is left are float64 throughout") {
  const Case data(97, 11);
  const Histories queries = data.queries();
  std::vector<std::int64_t> indptr{0};
  std::vector<std::int32_t> indices;  // all items but one, or a few
  for (std::int32_t q = 0; q < 23; ++q) {
    for (std::int32_t i = 0; i < 97; ++i)
      if (q % 2 == 0 ? i != 4 * q : i % 5 == q % 5) indices.push_back(i);
    indptr.push_back(static_cast<std::int64_t>(indices.size()));
  }
  const CsrView exclude{indptr, indices};
  std::vector<std::uint8_t> thirds(97, 1);
  for (std::size_t i = 1; i < 97; i += 3) thirds[i] = 0;
  for (const auto& index : {data.sparse_index(), data.dense_index()})
    for (const CsrView* left_out : {static_cast<const CsrView*>(nullptr), &exclude})
      for (const std::uint8_t* flags : {static_cast<const std::uint8_t*>(nullptr),
                                        static_cast<const std::uint8_t*>(thirds.data())}) {
        std::vector<double> sums(23, -7.0);
        std::vector<double> again(23, -7.0);
        index.score_sums(queries, left_out, flags, sums, 1);
        index.score_sums(queries, left_out, flags, again, 4);
        REQUIRE(sums == again);
        for (std::int64_t q = 0; q < 23; ++q) {
          std::set<std::int64_t> left;
          for (std::int64_t i = 0; i < 97; ++i)
            if (flags == nullptr || flags[i] != 0) left.insert(i);
          if (left_out != nullptr)
            for (const std::int32_t item : left_out->row(q)) left.erase(item);
          double expected = 0.0;
          for (const std::int64_t item : left) expected += data.score(q, item);
          REQUIRE(sums[static_cast<std::size_t>(q)] ==
                  doctest::Approx(expected).epsilon(1e-12).scale(1.0));
        }
      }
}
