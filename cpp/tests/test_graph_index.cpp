#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "penchant/graph_index.hpp"
#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

// Every row has the true nearest rows, the next row, so that all are reached, and some rows at
// random for neighbours; every eighth row is on level 1, every 64th on level 2.
struct Graph {
  std::int64_t n;
  std::int64_t m;
  std::vector<std::int16_t> levels;
  std::vector<std::int32_t> base;
  std::vector<std::int32_t> upper;

  Graph(MatrixView<const float> vectors, std::int64_t connectivity)
      : n(vectors.rows), m(connectivity) {
    RandomStream random{1, 2};
    for (std::int64_t row = 0; row < n; ++row) {
      const int level = row % 64 == 0 ? 2 : row % 8 == 0 ? 1 : 0;
      levels.push_back(static_cast<std::int16_t>(level));
      std::vector<std::pair<double, std::int64_t>> near;
      for (std::int64_t other = 0; other < n; ++other) {
        double distance = 0.0;
        for (std::int64_t d = 0; d < vectors.cols; ++d)
          distance += std::pow(vectors.row(row)[d] - vectors.row(other)[d], 2);
        if (other != row) near.emplace_back(-distance, other);
      }
      near = reference::best(near, m);
      base.push_back(static_cast<std::int32_t>(2 * m - row % 4));
      for (std::int64_t i = 0; i < 2 * m; ++i)
        base.push_back(i < m ? static_cast<std::int32_t>(near[static_cast<std::size_t>(i)].second)
                       : i == m ? static_cast<std::int32_t>((row + 1) % n)
                                : any_row(&random, 1));
      for (int l = 1; l <= level; ++l) {
        upper.push_back(static_cast<std::int32_t>(m));
        for (std::int64_t i = 0; i < m; ++i) upper.push_back(any_row(&random, l == 1 ? 8 : 64));
      }
    }
  }

  [[nodiscard]] GraphLinks links() const {
    return {levels,
            {base.data(), n, 2 * m + 1},
            {upper.data(), static_cast<std::int64_t>(upper.size()) / (m + 1), m + 1},
            64};
  }

 private:
  [[nodiscard]] std::int32_t any_row(RandomStream* random, std::int32_t multiple) const {
    const auto bound = static_cast<std::uint32_t>((n - 1) / multiple + 1);
    return static_cast<std::int32_t>(reference::draw(*random, bound)) * multiple;
  }
};

struct Problem {
  std::int64_t n = 900;
  std::int64_t dim;
  std::int64_t queries = 200;
  std::vector<float> v;
  std::vector<float> b;
  std::vector<float> q;
  Graph graph;
  std::vector<std::int64_t> order;

  explicit Problem(std::int64_t n_dim)
      : dim(n_dim),
        v(reference::random_matrix(n, dim, 1)),
        b(reference::random_matrix(n, 1, 2, 0.3F)),
        q(reference::random_matrix(queries, dim, 3)),
        graph({v.data(), n, dim}, 8),
        order(static_cast<std::size_t>(n)) {
    for (std::size_t i = 0; i < order.size(); ++i)  // 7 and 900 share no divisor
      order[i] = static_cast<std::int64_t>(i * 7 % order.size());
  }
  [[nodiscard]] MatrixView<const float> vectors() const { return {v.data(), n, dim}; }
  [[nodiscard]] MatrixView<const float> asked() const { return {q.data(), queries, dim}; }
};

struct Answer {
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
  bool operator==(const Answer&) const = default;
};

Answer search(const GraphIndex& index, const TopkIndex& exact, MatrixView<const float> queries,
              std::int64_t k, std::vector<GraphEffort> efforts, const TopkFilter& filter = {},
              int threads = 2) {
  Answer answer{std::vector<std::int64_t>(static_cast<std::size_t>(queries.rows * k)),
                std::vector<float>(static_cast<std::size_t>(queries.rows * k))};
  index.search(exact, queries, filter, efforts, {answer.rows.data(), queries.rows, k},
               {answer.scores.data(), queries.rows, k}, threads);
  return answer;
}

Answer scan(const TopkIndex& exact, MatrixView<const float> queries, std::int64_t k,
            const TopkFilter& filter = {}) {
  Answer answer{std::vector<std::int64_t>(static_cast<std::size_t>(queries.rows * k)),
                std::vector<float>(static_cast<std::size_t>(queries.rows * k))};
  exact.search(queries, filter, {answer.rows.data(), queries.rows, k},
               {answer.scores.data(), queries.rows, k}, 1);
  return answer;
}

constexpr auto kDtypes = {GraphDtype::kInt8, GraphDtype::kBfloat16, GraphDtype::kFloat32};

}  // namespace

TEST_CASE("dots of rounded rows are those of the oracle, at odd sizes") {
  for (const std::int64_t width : {32, 64, 96, 160}) {
    const std::int64_t rows = 19;
    std::vector<std::int8_t> codes(static_cast<std::size_t>(rows * width));
    std::vector<std::uint16_t> halves(codes.size());
    RandomStream random{static_cast<std::uint64_t>(width), 0};
    for (std::size_t i = 0; i < codes.size(); ++i) {
      codes[i] = static_cast<std::int8_t>(static_cast<int>(reference::draw(random, 255)) - 127);
      // Of either sign, between 1 and 4.
      halves[i] = static_cast<std::uint16_t>(0x3F80U + reference::draw(random, 256) +
                                             (reference::draw(random, 2) << 15U));
    }
    const auto query = reference::random_matrix(1, width, 9);
    std::vector<std::int16_t> whole;
    for (const float x : query) whole.push_back(static_cast<std::int16_t>(x * 3000.0F));
    for (const std::int64_t n : {1, 2, 3, 4, 5, 17}) {
      std::vector<std::int32_t> which;
      for (std::int64_t i = 0; i < n; ++i)
        which.push_back(static_cast<std::int32_t>(reference::draw(random, rows)));
      std::vector<float> dots(static_cast<std::size_t>((n + 3) / 4 * 4));
      GraphDotsArgs args{whole.data(), codes.data(), width, which.data(), n, dots.data()};
      kernels().graph_dots_int8(&args);
      for (std::size_t i = 0; i < which.size(); ++i) {
        std::int64_t expected = 0;
        for (std::int64_t d = 0; d < width; ++d)
          expected += std::int64_t{whole[static_cast<std::size_t>(d)]} *
                      codes[static_cast<std::size_t>(which[i] * width + d)];
        CHECK(dots[i] == static_cast<float>(expected));
      }
      args.query = query.data();
      args.rows = halves.data();
      kernels().graph_dots_bfloat16(&args);
      for (std::size_t i = 0; i < which.size(); ++i) {
        double expected = 0.0;
        for (std::int64_t d = 0; d < width; ++d) {
          const std::uint32_t half = halves[static_cast<std::size_t>(which[i] * width + d)];
          const double size = 1.0 + (half & 0x7FU) / 128.0;
          const double power = (half >> 7U & 0xFFU) == 0x7FU ? 1.0 : 2.0;
          expected += (half >> 15U != 0 ? -1.0 : 1.0) * size * power *
                      static_cast<double>(query[static_cast<std::size_t>(d)]);
        }
        CHECK(dots[i] == doctest::Approx(expected).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("a walk that sees everything gives the exact answer, filters and all") {
  for (const std::int64_t dim : {3, 17, 64, 97}) {
    const Problem p(dim);
    const auto seen = reference::random_csr(p.queries, p.n, 300, 4);
    const CsrView seen_view = seen.view();
    std::vector<std::uint8_t> allowed(static_cast<std::size_t>(p.n), 1);
    for (std::size_t row = 0; row < allowed.size(); row += 3) allowed[row] = 0;
    for (const float* biases : {static_cast<const float*>(nullptr), p.b.data()}) {
      const TopkIndex exact(p.vectors(), biases, 2);
      for (const GraphDtype dtype : kDtypes) {
        const GraphIndex index(p.vectors(), biases, p.graph.links(), p.order, dtype, 2);
        const GraphEffort all{900, 900};
        for (const TopkFilter& filter :
             {TopkFilter{}, TopkFilter{&seen_view}, TopkFilter{&seen_view, nullptr, allowed.data()},
              TopkFilter{nullptr, nullptr, allowed.data()}})
          CHECK(search(index, exact, p.asked(), 20, {all}, filter) ==
                scan(exact, p.asked(), 20, filter));
      }
    }
  }
}

TEST_CASE("a narrow walk finds most, with the same bits for any threads, alone or in a batch") {
  const Problem p(12);
  const TopkIndex exact(p.vectors(), p.b.data(), 2);
  const auto best = scan(exact, p.asked(), 10);
  for (const GraphDtype dtype : kDtypes) {
    const GraphIndex index(p.vectors(), p.b.data(), p.graph.links(), p.order, dtype, 2);
    const auto found = search(index, exact, p.asked(), 10, {{30, 200}}, {}, 1);
    std::size_t hits = 0;
    for (std::size_t i = 0; i < found.rows.size(); ++i)
      hits += found.scores[i] >= best.scores[i / 10 * 10 + 9] ? 1U : 0U;
    CHECK(static_cast<double>(hits) > 0.93 * static_cast<double>(found.rows.size()));
    for (const int threads : {2, 3, 16})
      CHECK(search(index, exact, p.asked(), 10, {{30, 200}}, {}, threads) == found);
    for (const std::int64_t q : {0, 77, 199}) {
      const auto alone = search(index, exact, {p.q.data() + q * p.dim, 1, p.dim}, 10, {{30, 200}});
      CHECK(std::equal(alone.rows.begin(), alone.rows.end(), found.rows.begin() + q * 10));
      CHECK(std::equal(alone.scores.begin(), alone.scores.end(), found.scores.begin() + q * 10));
    }
  }
}

TEST_CASE("efforts are each query's own") {
  const Problem p(12);
  const TopkIndex exact(p.vectors(), nullptr, 2);
  const GraphIndex index(p.vectors(), nullptr, p.graph.links(), p.order, GraphDtype::kInt8, 2);
  std::vector<GraphEffort> efforts;
  for (std::int32_t q = 0; q < p.queries; ++q) efforts.push_back({q % 3 * 4, 1 + q});
  const auto found = search(index, exact, p.asked(), 10, efforts);
  for (std::int64_t q = 0; q < p.queries; ++q) {
    const auto* rows = found.rows.data() + q * 10;
    CHECK(std::count(rows, rows + 10, -1) == 10 - std::min<std::int64_t>(10, q % 3 * 4));
    const auto alone = search(index, exact, {p.q.data() + q * p.dim, 1, p.dim}, 10,
                              {efforts[static_cast<std::size_t>(q)]});
    CHECK(std::equal(rows, rows + 10, alone.rows.begin()));
  }
}

TEST_CASE("links come out as they went in") {
  const Problem p(5);
  const GraphIndex index(p.vectors(), nullptr, p.graph.links(), p.order, GraphDtype::kInt8, 2);
  const GraphLinks links = p.graph.links();
  std::vector<std::int16_t> levels(p.graph.levels.size());
  std::vector<std::int32_t> base(p.graph.base.size());
  std::vector<std::int32_t> upper(p.graph.upper.size());
  REQUIRE(index.upper_lists() == links.upper.rows);
  index.write_links(levels, {base.data(), p.n, links.base.cols},
                    {upper.data(), links.upper.rows, links.upper.cols});
  CHECK(levels == p.graph.levels);
  CHECK(upper == p.graph.upper);
  CHECK(index.entry() == links.entry);
  for (std::int64_t row = 0; row < p.n; ++row) {
    const std::int32_t* list = links.base.row(row);
    CHECK(std::equal(list, list + list[0] + 1, base.data() + row * links.base.cols));
  }
}

TEST_CASE("vectors that no path reaches are linked to from near them") {
  Problem p(5);
  const MatrixView<std::int32_t> base{p.graph.base.data(), p.n, 2 * p.graph.m + 1};
  CHECK(connect_links(base, 64) == 0);            // the ring of the graph
  for (std::int64_t row = 0; row < p.n; ++row) {  // nothing leads to rows 100 to 149 any more
    std::int32_t* list = base.row(row);
    const auto lost = [](std::int32_t other) { return other >= 100 && other < 150; };
    if (!lost(static_cast<std::int32_t>(row)))
      list[0] =
          static_cast<std::int32_t>(std::remove_if(list + 1, list + list[0] + 1, lost) - list - 1);
  }
  CHECK(connect_links(base, 64) == 0);
  std::set<std::int64_t> reached = {64};
  for (std::vector<std::int64_t> ahead = {64}; !ahead.empty();) {
    const std::int32_t* list = base.row(ahead.back());
    ahead.pop_back();
    for (std::int32_t i = 1; i <= list[0]; ++i)
      if (reached.insert(list[i]).second) ahead.push_back(list[i]);
  }
  CHECK(static_cast<std::int64_t>(reached.size()) == p.n);
  CHECK(problem_of_links(p.graph.links(), p.n).empty());
  std::fill(p.graph.base.begin(), p.graph.base.end(), 0);  // no way to any
  CHECK(connect_links(base, 64) == p.n - 1);
}

TEST_CASE("links that lead anywhere else are refused") {
  const Problem p(5);
  const auto problem = [&](auto change) {
    Graph graph = p.graph;
    change(&graph);
    return problem_of_links(graph.links(), p.n);
  };
  const auto says = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(problem([](Graph*) {}).empty());
  CHECK(says(problem([](Graph* g) { g->base[17 * 3] = 17; }), "row 3 has a list that is too long"));
  CHECK(says(problem([](Graph* g) { g->base[17 * 3] = -1; }), "too long"));
  CHECK(says(problem([](Graph* g) { g->base[17 * 3 + 1] = 900; }), "outside the graph"));
  CHECK(says(problem([](Graph* g) { g->base[17 * 3 + 1] = -1; }), "outside the graph"));
  CHECK(says(problem([](Graph* g) { g->upper[1] = 3; }), "not on their level"));
  CHECK(says(problem([](Graph* g) { g->levels[1] = 30'000; }), "levels have shape"));
  CHECK(says(problem([](Graph* g) { g->levels[1] = -1; }), "negative level"));
  CHECK(says(problem([](Graph* g) { g->upper.resize(9); }), "levels have shape"));
  CHECK(says(problem_of_links(p.graph.links(), 901), "has 900 vectors, expected 901"));
  GraphLinks links = p.graph.links();
  for (const std::int64_t entry : {std::int64_t{-1}, std::int64_t{8}, p.n}) {
    links.entry = entry;
    CHECK(says(problem_of_links(links, p.n), "is not on its highest level"));
  }
}
