#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "penchant/stable_order.hpp"
#include "reference.hpp"

using namespace penchant;

TEST_CASE("rows are ordered by code as a stable sort does it") {
  for (const std::uint32_t n_codes : {1U, 7U, 5000U}) {
    RandomStream random{n_codes, 0};
    std::vector<std::int32_t> codes(2000);
    for (std::int32_t& code : codes)
      code = static_cast<std::int32_t>(reference::draw(random, n_codes));
    std::vector<std::int64_t> rows(codes.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<std::int64_t> found(rows.size());
    const auto by_code = [&](std::int64_t a, std::int64_t b) {
      return codes[static_cast<std::size_t>(a)] < codes[static_cast<std::size_t>(b)];
    };
    std::vector<std::int64_t> expected = rows;
    std::stable_sort(expected.begin(), expected.end(), by_code);
    stable_order(codes, n_codes, found);
    CHECK(found == expected);
    std::reverse(rows.begin(), rows.end());
    rows.resize(700);  // some rows only, in an order of their own
    found.resize(rows.size());
    expected = rows;
    std::stable_sort(expected.begin(), expected.end(), by_code);
    stable_order(codes, n_codes, rows, found);
    CHECK(found == expected);
  }
}

TEST_CASE("no rows have an order too") {
  std::vector<std::int64_t> none;
  stable_order({}, 0, none);
  stable_order({}, 3, none, none);
  CHECK(none.empty());
}
