// Adversarial data for the bounds of the 8-bit pass: the answer must be that of a full sort of the
// exact scores, row for row, whatever the size of the values.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "penchant/simd.hpp"
#include "penchant/topk.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Case {
  std::int64_t dim = 0;
  std::int64_t n = 0;
  std::int64_t n_queries = 0;
  std::vector<float> vectors;
  std::vector<float> queries;
  std::vector<float> biases;
  RandomStream random{0, 0};

  explicit Case(std::uint64_t seed) : random{stream_key(seed, 7), 0} {
    const std::vector<std::int64_t> dims = {1, 2, 3, 5, 8, 16, 17, 33, 64, 97, 130};
    dim = dims[reference::draw(random, static_cast<std::uint32_t>(dims.size()))];
    n = 65 + reference::draw(random, 1000);
    n_queries = 1 + reference::draw(random, 20);
    vectors = reference::random_matrix(n, dim, seed + 1);
    queries = reference::random_matrix(n_queries, dim, seed + 2);
    biases = reference::random_matrix(n, 1, seed + 3);
  }
  double uniform() { return static_cast<double>(reference::draw(random, 1U << 30)) * 0x1p-30; }
  float level(int low, int high) {
    const auto span = static_cast<std::uint32_t>(high - low + 1);
    return static_cast<float>(low + static_cast<int>(reference::draw(random, span)));
  }
  static void scale(std::vector<float>& values, double factor) {
    for (float& x : values) x = static_cast<float>(static_cast<double>(x) * factor);
  }
  void scale_rows(std::vector<float>& values, const std::function<double()>& factor) const {
    for (std::size_t r = 0; r < values.size() / static_cast<std::size_t>(dim); ++r) {
      const double by = factor();
      for (std::int64_t d = 0; d < dim; ++d) {
        float& x = values[r * static_cast<std::size_t>(dim) + static_cast<std::size_t>(d)];
        x = static_cast<float>(static_cast<double>(x) * by);
      }
    }
  }
};

void check(const Case& c, bool biased, std::int64_t k) {
  const TopkIndex index({c.vectors.data(), c.n, c.dim}, biased ? c.biases.data() : nullptr, 1);
  float largest = 0.0F;
  for (const float x : c.queries) largest = std::max(largest, std::abs(x));
  if (index.score_bound(largest) > static_cast<double>(std::numeric_limits<float>::max()) / 4)
    return;  // refused
  const MatrixView<const float> queries{c.queries.data(), c.n_queries, c.dim};
  std::vector<std::int64_t> rows(static_cast<std::size_t>(c.n_queries * k));
  std::vector<float> found(rows.size());
  index.search(queries, {}, {rows.data(), c.n_queries, k}, {found.data(), c.n_queries, k}, 1);
  std::vector<std::int64_t> all(static_cast<std::size_t>(c.n));
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> scores(all.size());
  for (std::int64_t q = 0; q < c.n_queries; ++q) {
    index.score_pairs(queries, std::vector<std::int64_t>(all.size(), q), all, scores, 1);
    std::vector<std::int64_t> order = all;
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    order.resize(static_cast<std::size_t>(k), -1);
    const auto begin = rows.begin() + q * k;
    CHECK(std::vector<std::int64_t>(begin, begin + k) == order);
  }
}

using Kind = std::pair<std::string, std::function<void(Case&)>>;

const std::vector<Kind> kKinds = {
    {"as they are", [](Case&) {}},
    {"few levels: ties",
     [](Case& c) {
       for (float& x : c.vectors) x = c.level(-1, 1);
       for (float& x : c.queries) x = c.level(-2, 2);
       for (float& x : c.biases) x = c.level(-1, 1);
     }},
    {"exact in 8 bits, rounded in the score",
     [](Case& c) {
       for (float& x : c.vectors) x = c.level(-127, 127);
       for (float& x : c.queries) x = c.level(-63, 63) * 1.1F;
       for (float& x : c.biases) x = c.level(0, 3) * 1e-4F;
     }},
    {"nothing lost in 8 bits, digits cancelled in the score",
     [](Case& c) {
       // Without quantization errors only the slack for rounding covers what the score itself
       // loses.
       const int levels = kernels().query_levels;
       for (float& x : c.vectors) x = 127.0F * c.level(-1, 1);
       for (float& x : c.queries) x = static_cast<float>(levels) * c.level(-1, 1);
       for (float& x : c.biases) x = 0.1F + 1e-4F * c.level(0, 50);
     }},
    {"neighbours by one ulp",
     [](Case& c) {
       for (std::size_t i = 0; i < c.vectors.size(); ++i) {
         const float base = c.vectors[i % static_cast<std::size_t>(c.dim)];
         c.vectors[i] = std::nextafter(base, c.level(0, 1) > 0.0F ? 9.0F : -9.0F);
       }
       for (float& x : c.biases) x = 1.0F + 1e-7F * c.level(0, 3);
     }},
    {"constant rows",
     [](Case& c) {
       for (float& x : c.vectors) x = 1.0F;
       c.scale_rows(c.vectors, [&] { return 0.1 * static_cast<double>(c.level(-3, 3)); });
     }},
};

// Values near the ends of what a float holds.
const std::vector<Kind> kExtremes = {
    {"norms over six decades",
     [](Case& c) {
       c.scale_rows(c.vectors, [&] { return std::pow(10.0, 6.0 * c.uniform() - 3.0); });
       c.scale_rows(c.queries, [&] { return std::pow(10.0, 6.0 * c.uniform() - 3.0); });
     }},
    {"denormal scores",
     [](Case& c) {
       Case::scale(c.vectors, std::pow(10.0, -15.0 - 8.0 * c.uniform()));
       Case::scale(c.queries, std::pow(10.0, -15.0 - 8.0 * c.uniform()));
       Case::scale(c.biases, 1e-44);
     }},
    {"denormal queries, huge vectors",
     [](Case& c) {
       Case::scale(c.queries, 1e-43);
       Case::scale(c.vectors, std::pow(10.0, 25.0 + 10.0 * c.uniform()));
       Case::scale(c.biases, 0.0);
     }},
    {"huge queries, few denormal vectors",
     [](Case& c) {
       const std::vector<float> few = {c.vectors.begin(),
                                       c.vectors.begin() + std::min<std::ptrdiff_t>(5, c.n)};
       std::fill(c.vectors.begin(), c.vectors.end(), 0.0F);
       for (const float x : few)
         c.vectors[reference::draw(c.random, static_cast<std::uint32_t>(c.vectors.size()))] =
             x * 1e-44F;
       Case::scale(c.queries, 1e37);
       for (float& x : c.biases) x = 1e-9F * c.level(0, 30);
     }},
    {"huge queries, negative scores",
     [](Case& c) {
       for (float& x : c.queries) x = std::abs(x) + 1.0F;
       for (float& x : c.vectors) x = -std::abs(x) * 1e-3F;
       Case::scale(c.queries, std::pow(10.0, 30.0 + 5.0 * c.uniform()));
     }},
};

}  // namespace

TEST_CASE("the bounds hold on adversarial data") {
  for (const auto* kinds : {&kKinds, &kExtremes})
    for (const auto& [name, change] : *kinds)
      for (std::uint64_t seed = 0; seed < 12; ++seed) {
        CAPTURE(name);
        CAPTURE(seed);
        Case c(seed * 101 + 13);
        change(c);
        for (const bool biased : {true, false})
          for (const std::int64_t k : {std::int64_t{1}, std::int64_t{10}, c.n + 3})
            check(c, biased, k);
      }
}
