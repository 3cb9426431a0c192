#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "penchant/knn.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

// Every similarity by its textbook formula, in double precision.
class Naive {
 public:
  Naive(const reference::Csr& csr, const std::vector<float>& values, std::int64_t n_items,
        const KnnParams& params)
      : n_items_(n_items), params_(params) {
    std::int64_t entry = 0;
    for (std::int64_t u = 0; u < csr.view().rows(); ++u) {
      rows_.emplace_back();
      for (const std::int32_t item : csr.view().row(u)) {
        const auto at = static_cast<std::size_t>(entry++);
        rows_.back()[item] = values.empty() ? 1.0 : static_cast<double>(values[at]);
      }
    }
  }

  double similarity(std::int32_t i, std::int32_t j) const {
    double dot = 0.0;
    double both = 0.0;
    for (const auto& row : rows_)
      if (row.count(i) != 0 && row.count(j) != 0) {
        const double part = left(row, i) * right(row, j);
        dot += part;
        both += part > 0.0 ? 1.0 : 0.0;
      }
    if (dot == 0.0) return 0.0;
    if (params_.similarity == Similarity::kCosine || params_.similarity == Similarity::kTfidf)
      dot /= norm(i) * norm(j);
    if (params_.similarity == Similarity::kRp3beta) dot *= std::pow(users(j), -params_.beta);
    return dot * both / (both + params_.shrinkage);
  }

  std::vector<std::pair<double, std::int64_t>> neighbors(std::int32_t i) const {
    std::vector<std::pair<double, std::int64_t>> all;
    for (std::int32_t j = 0; j < n_items_; ++j)
      if (const double s = similarity(i, j); j != i && s > 0.0) all.emplace_back(s, j);
    return reference::best(all, params_.neighbors);
  }

 private:
  using Row = std::map<std::int32_t, double>;

  static double sum(const Row& row) {
    double total = 0.0;
    for (const auto& [item, value] : row) total += value;
    return total;
  }
  double idf(const Row& row) const {
    return std::log((1.0 + static_cast<double>(n_items_)) /
                    (1.0 + static_cast<double>(row.size())));
  }
  double users(std::int32_t i) const {
    double count = 0.0;
    for (const auto& row : rows_) count += static_cast<double>(row.count(i));
    return count;
  }
  double total(std::int32_t i) const {
    double value = 0.0;
    for (const auto& row : rows_) value += row.count(i) != 0 ? row.at(i) : 0.0;
    return value;
  }
  double norm(std::int32_t i) const {
    double square = 0.0;
    for (const auto& row : rows_)
      if (row.count(i) != 0) square += left(row, i) * left(row, i);
    return std::sqrt(square);
  }
  double left(const Row& row, std::int32_t i) const {
    if (params_.similarity == Similarity::kRp3beta)
      return std::pow(row.at(i) / total(i), params_.alpha);
    return weight(row, i);
  }
  double right(const Row& row, std::int32_t i) const {
    if (params_.similarity == Similarity::kRp3beta)
      return std::pow(row.at(i) / sum(row), params_.alpha);
    return weight(row, i);
  }
  double weight(const Row& row, std::int32_t i) const {
    const double value = row.at(i);
    if (params_.similarity == Similarity::kCosine) return value;
    if (params_.similarity == Similarity::kTfidf) return std::sqrt(value) * idf(row);
    double all = 0.0;
    for (const auto& other : rows_) all += sum(other);
    const double length =
        1.0 - params_.b + params_.b * total(i) / (all / static_cast<double>(n_items_));
    return value * (params_.k1 + 1.0) / (params_.k1 * length + value) * idf(row);
  }

  std::int64_t n_items_;
  KnnParams params_;
  std::vector<Row> rows_;
};

std::vector<float> random_values(const reference::Csr& csr, std::uint64_t seed) {
  RandomStream random{seed, 0};
  std::vector<float> values(csr.indices.size());
  for (float& value : values)
    value = 0.5F + 0.25F * static_cast<float>(reference::draw(random, 20));
  return values;
}

// Neighbours and similarities agree; where ids differ, the exact similarities are equal.
void compare(const SparseMatrix& found, const Naive& naive, std::int64_t n_items) {
  for (std::int32_t i = 0; i < n_items; ++i) {
    CAPTURE(i);
    const auto begin = found.indptr[static_cast<std::size_t>(i)];
    const auto end = found.indptr[static_cast<std::size_t>(i) + 1];
    const auto expected = naive.neighbors(i);
    REQUIRE(end - begin == static_cast<std::int64_t>(expected.size()));
    std::vector<double> exact;
    for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) {
      const std::int32_t j = found.indices[at];
      REQUIRE(j != i);
      if (at > static_cast<std::size_t>(begin)) REQUIRE(j > found.indices[at - 1]);
      exact.push_back(naive.similarity(i, j));
      REQUIRE(static_cast<double>(found.values[at]) == doctest::Approx(exact.back()).epsilon(1e-5));
    }
    std::sort(exact.rbegin(), exact.rend());
    for (std::size_t n = 0; n < exact.size(); ++n)
      REQUIRE(exact[n] == doctest::Approx(expected[n].first).epsilon(1e-5));
  }
}

const std::vector<Similarity> kAll = {Similarity::kCosine, Similarity::kBm25, Similarity::kTfidf,
                                      Similarity::kRp3beta};

KnnParams some_params(Similarity similarity, std::int32_t neighbors, double shrinkage) {
  KnnParams params;
  params.similarity = similarity;
  params.neighbors = neighbors;
  params.shrinkage = shrinkage;
  params.k1 = 1.7;
  params.b = 0.6;
  params.alpha = 0.8;
  params.beta = 0.3;
  params.num_threads = 2;
  return params;
}

bool same_bits(const SparseMatrix& a, const SparseMatrix& b) {
  return a.indptr == b.indptr && a.indices == b.indices && a.values == b.values;
}

}  // namespace

TEST_CASE("knn: all similarities agree with their formulas") {
  for (const std::int64_t n_items : reference::kOddSizes)
    for (const Similarity similarity : kAll)
      for (const double shrinkage : {0.0, 2.5})
        for (const bool weighted : {false, true}) {
          CAPTURE(n_items);
          CAPTURE(static_cast<int>(similarity));
          CAPTURE(shrinkage);
          CAPTURE(weighted);
          const auto csr = reference::random_csr(40, n_items, 9, 77);
          const auto values = weighted ? random_values(csr, 5) : std::vector<float>{};
          const auto params = some_params(similarity, 5, shrinkage);
          const auto found =
              fit_knn(csr.view(), weighted ? values.data() : nullptr, n_items, params, nullptr);
          REQUIRE(found.has_value());
          compare(*found, Naive(csr, values, n_items, params), n_items);
        }
}

TEST_CASE("knn: more neighbours than there are, and long rows that are cut on the way") {
  const auto csr = reference::random_csr(60, 1500, 90, 4);
  for (const std::int32_t neighbors : {1, 3, 200, 5000}) {
    const auto params = some_params(Similarity::kCosine, neighbors, 0.0);
    const auto found = fit_knn(csr.view(), nullptr, 1500, params, nullptr);
    const auto all =
        fit_knn(csr.view(), nullptr, 1500, some_params(Similarity::kCosine, 1500, 0.0), nullptr);
    for (std::size_t i = 0; i < 1500; ++i) {
      std::vector<std::pair<double, std::int64_t>> row;
      for (auto at = all->indptr[i]; at < all->indptr[i + 1]; ++at)
        row.emplace_back(static_cast<double>(all->values[static_cast<std::size_t>(at)]),
                         all->indices[static_cast<std::size_t>(at)]);
      auto best = reference::best(row, neighbors);
      std::sort(best.begin(), best.end(),
                [](const auto& a, const auto& b) { return a.second < b.second; });
      REQUIRE(found->indptr[i + 1] - found->indptr[i] == static_cast<std::int64_t>(best.size()));
      for (std::size_t n = 0; n < best.size(); ++n) {
        const auto at = static_cast<std::size_t>(found->indptr[i]) + n;
        REQUIRE(found->indices[at] == best[n].second);
        REQUIRE(static_cast<double>(found->values[at]) == best[n].first);
      }
    }
  }
}

TEST_CASE("knn: the bits do not depend on the threads, and values of one are no values") {
  const auto csr = reference::random_csr(300, 500, 40, 21);
  const auto values = random_values(csr, 9);
  const std::vector<float> ones(csr.indices.size(), 1.0F);
  for (const Similarity similarity : kAll) {
    auto params = some_params(similarity, 20, 1.0);
    params.num_threads = 1;
    const auto one = fit_knn(csr.view(), values.data(), 500, params, nullptr);
    for (const int threads : {2, 3, 8}) {
      params.num_threads = threads;
      CHECK(same_bits(*one, *fit_knn(csr.view(), values.data(), 500, params, nullptr)));
    }
    CHECK(same_bits(*fit_knn(csr.view(), ones.data(), 500, params, nullptr),
                    *fit_knn(csr.view(), nullptr, 500, params, nullptr)));
  }
}

TEST_CASE("knn: extreme values neither overflow nor hide a pair") {
  reference::Csr csr;
  for (int u = 0; u < 6; ++u) csr.add_row({0, 1, 2, 3});
  std::vector<float> values(csr.indices.size(), 1e-30F);
  for (std::size_t i = 0; i < 4; ++i) values[i] = 3e38F;
  for (const Similarity similarity : kAll) {
    CAPTURE(static_cast<int>(similarity));
    const auto found =
        fit_knn(csr.view(), values.data(), 5, some_params(similarity, 9, 0.0), nullptr);
    CHECK(found->indices.size() == 12);
    for (const float value : found->values) CHECK(std::isfinite(value));
  }
}

TEST_CASE("knn: users of everything say nothing, empty rows and columns do no harm") {
  reference::Csr csr;
  csr.add_row({0, 1, 2});
  csr.add_row({});
  for (const Similarity similarity : {Similarity::kTfidf, Similarity::kBm25})
    CHECK(
        fit_knn(csr.view(), nullptr, 3, some_params(similarity, 2, 0.0), nullptr)->indices.empty());
  const auto cosine =
      fit_knn(csr.view(), nullptr, 9, some_params(Similarity::kCosine, 2, 0.0), nullptr);
  CHECK(cosine->indptr == std::vector<std::int64_t>{0, 2, 4, 6, 6, 6, 6, 6, 6, 6});
  CHECK(cosine->indices == std::vector<std::int32_t>{1, 2, 0, 2, 0, 1});
}

TEST_CASE("knn: a cancelled fit returns nothing") {
  const auto csr = reference::random_csr(30, 40, 9, 3);
  CHECK(!fit_knn(csr.view(), nullptr, 40, KnnParams{}, [] { return true; }).has_value());
}
