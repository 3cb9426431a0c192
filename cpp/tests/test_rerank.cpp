#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "penchant/rerank.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr std::int64_t kItems = 60;
constexpr std::int64_t kPool = 33;

// Lists of different lengths, the first one empty.
struct Pools {
  std::vector<std::int64_t> items;
  std::vector<double> relevance;
  std::int64_t users;

  explicit Pools(std::int64_t n) : users(n) {
    RandomStream random{stream_key(5, static_cast<std::uint64_t>(n)), 0};
    for (std::int64_t u = 0; u < n; ++u) {
      std::vector<std::int64_t> all(kItems);
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
      for (std::size_t i = all.size() - 1; i > 0; --i)
        std::swap(all[i], all[reference::draw(random, static_cast<std::uint32_t>(i + 1))]);
      const std::int64_t size = std::min(kPool, 7 * u);
      for (std::int64_t p = 0; p < kPool; ++p) {
        items.push_back(p < size ? all[static_cast<std::size_t>(p)] : -1);
        relevance.push_back(p < size ? reference::draw(random, 1000) / 1000.0 : 0.0);
      }
    }
  }
  [[nodiscard]] CandidateLists view() const {
    return {{items.data(), users, kPool}, {relevance.data(), users, kPool}};
  }
};

std::vector<float> unit_vectors(std::int64_t dim) {
  auto vectors = reference::random_matrix(kItems, dim, 9);
  for (std::int64_t i = 0; i < kItems; ++i) {
    float* const row = vectors.data() + i * dim;
    const double length = std::sqrt(reference::score(row, row, 0.0, dim));
    for (std::int64_t k = 0; k < dim; ++k)
      row[k] = static_cast<float>(static_cast<double>(row[k]) / length);
  }
  return vectors;
}

double naive_similarity(const ItemSimilarity& how, std::int64_t a, std::int64_t b) {
  if (how.vectors.data != nullptr)
    return reference::score(how.vectors.row(a), how.vectors.row(b), 0.0, how.vectors.cols);
  const auto x = how.sets->row(a);
  const auto y = how.sets->row(b);
  double shared = 0.0;
  for (const std::int32_t value : x)
    shared += static_cast<double>(std::count(y.begin(), y.end(), value));
  const auto sizes = std::pair(static_cast<double>(x.size()), static_cast<double>(y.size()));
  if (shared == 0.0) return 0.0;
  return how.jaccard ? shared / (sizes.first + sizes.second - shared)
                     : shared / std::sqrt(sizes.first * sizes.second);
}

// By Gaussian elimination of the whole matrix.
double determinant(std::vector<std::vector<double>> m) {
  double value = 1.0;
  for (std::size_t i = 0; i < m.size(); ++i) {
    value *= m[i][i];
    if (m[i][i] <= 0.0) return 0.0;
    for (std::size_t r = i + 1; r < m.size(); ++r) {
      const double factor = m[r][i] / m[i][i];
      for (std::size_t c = i; c < m.size(); ++c) m[r][c] -= factor * m[i][c];
    }
  }
  return value;
}

using Places = std::vector<std::int64_t>;

double log_determinant(const ItemSimilarity& how, const std::int64_t* items, Places places) {
  std::vector<std::vector<double>> matrix;
  for (const std::int64_t a : places) {
    matrix.emplace_back();
    for (const std::int64_t b : places)
      matrix.back().push_back(a == b ? 1.0 : naive_similarity(how, items[a], items[b]));
  }
  return std::log(determinant(matrix));
}

// What adding `place` to the chosen ones is worth, straight from the definitions.
double mmr_value(const ItemSimilarity& how, const std::int64_t* items, const double* relevance,
                 const Places& chosen, std::int64_t place, double weight) {
  double repeat = chosen.empty() ? 0.0 : -1e9;
  for (const std::int64_t one : chosen)
    repeat = std::max(repeat, naive_similarity(how, items[one], items[place]));
  return weight * relevance[place] - (1.0 - weight) * repeat;
}

double dpp_value(const ItemSimilarity& how, const std::int64_t* items, const double* relevance,
                 Places chosen, std::int64_t place, double weight) {
  const double before = log_determinant(how, items, chosen);
  chosen.push_back(place);
  const double gain = log_determinant(how, items, chosen) - before;
  if (weight == 1.0) return relevance[place];
  return gain < std::log(1e-6) ? -HUGE_VAL : weight * relevance[place] + (1.0 - weight) * gain;
}

template <typename Value>
void check_greedy(const Pools& pools, const ItemSimilarity& how, const GreedyParams& params,
                  const std::vector<std::int64_t>& order, const Value& value) {
  for (std::int64_t u = 0; u < pools.users; ++u) {
    const std::int64_t* const items = pools.items.data() + u * kPool;
    const double* const relevance = pools.relevance.data() + u * kPool;
    Places left;
    for (std::int64_t p = 0; p < kPool && items[p] >= 0; ++p) left.push_back(p);
    Places chosen;
    const auto found = [&](std::size_t n) {
      return order[static_cast<std::size_t>(u * kPool) + n];
    };
    while (static_cast<std::int64_t>(chosen.size()) < params.depth && !left.empty()) {
      std::vector<double> values;
      for (const std::int64_t place : left)
        values.push_back(value(how, items, relevance, chosen, place, params.relevance_weight));
      const double best = *std::max_element(values.begin(), values.end());
      if (best == -HUGE_VAL) break;
      const std::int64_t mine = found(chosen.size());
      const auto at = std::find(left.begin(), left.end(), mine);
      REQUIRE(at != left.end());
      const double own = values[static_cast<std::size_t>(at - left.begin())];
      REQUIRE(own == doctest::Approx(best).epsilon(1e-5));  // near ties may go either way
      chosen.push_back(mine);
      left.erase(at);
    }
    for (std::size_t n = chosen.size(); n < kPool; ++n)
      REQUIRE(found(n) == (n - chosen.size() < left.size() ? left[n - chosen.size()] : -1));
  }
}

template <typename Kernel, typename Value>
void check_kernel(const Kernel& kernel, const Value& value, const ItemSimilarity& how) {
  const Pools pools(9);
  for (const double weight : {0.0, 0.3, 1.0})
    for (const std::int64_t depth : {std::int64_t{0}, std::int64_t{1}, std::int64_t{8}, kPool}) {
      std::vector<std::int64_t> first;
      for (const int threads : {1, 3}) {
        std::vector<std::int64_t> order(pools.items.size(), 77);
        const GreedyParams params{weight, depth, threads};
        kernel(pools.view(), how, params, {order.data(), pools.users, kPool});
        if (threads == 1) {
          check_greedy(pools, how, params, order, value);
          first = order;
        }
        REQUIRE(order == first);
      }
    }
}

}  // namespace

TEST_CASE("greedy orders agree with their definitions on vectors") {
  for (const std::int64_t dim : reference::kOddSizes) {
    const auto vectors = unit_vectors(dim);
    const ItemSimilarity how{{vectors.data(), kItems, dim}, nullptr, true};
    check_kernel(rerank_mmr, mmr_value, how);
    check_kernel(rerank_dpp, dpp_value, how);
  }
}

TEST_CASE("greedy orders agree with their definitions on sets") {
  const auto sets = reference::random_csr(kItems, 12, 5, 21);
  const CsrView view = sets.view();
  for (const bool jaccard : {true, false}) {
    const ItemSimilarity how{{}, &view, jaccard};
    check_kernel(rerank_mmr, mmr_value, how);
    check_kernel(rerank_dpp, dpp_value, how);
  }
}

TEST_CASE("an item equal to one chosen comes last in a determinantal point process") {
  const std::vector<float> vectors = {1, 0, 1, 0, 0.6F, 0.8F};
  const std::vector<std::int64_t> items = {0, 1, 2};
  const std::vector<double> relevance = {1.0, 0.9, 0.0};
  std::vector<std::int64_t> order(3);
  rerank_dpp({{items.data(), 1, 3}, {relevance.data(), 1, 3}},
             {{vectors.data(), 3, 2}, nullptr, true}, {0.9, 3, 1}, {order.data(), 1, 3});
  CHECK(order == std::vector<std::int64_t>{0, 2, 1});
}

TEST_CASE("caps count every value") {
  const Pools pools(40);
  const auto sets = reference::random_csr(kItems, 9, 3, 4);
  for (const std::int64_t at_most : {1, 2, 5}) {
    std::vector<std::uint8_t> kept(pools.items.size(), 9);
    cap_attributes(pools.view().items, sets.view(), 9, at_most, {kept.data(), pools.users, kPool},
                   2);
    for (std::int64_t u = 0; u < pools.users; ++u) {
      std::map<std::int32_t, std::int64_t> counts;
      for (std::int64_t p = 0; p < kPool; ++p) {
        const std::int64_t item = pools.items[static_cast<std::size_t>(u * kPool + p)];
        bool stays = item >= 0;
        if (stays)
          for (const std::int32_t value : sets.view().row(item)) stays &= counts[value] < at_most;
        if (stays)
          for (const std::int32_t value : sets.view().row(item)) ++counts[value];
        REQUIRE((kept[static_cast<std::size_t>(u * kPool + p)] == 1) == stays);
      }
    }
  }
}
