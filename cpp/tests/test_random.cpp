#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <vector>

#include "penchant/random.hpp"
#include "reference.hpp"

using namespace penchant;

TEST_CASE("a stream is a function of its key and counter") {
  RandomStream all{stream_key(1, 2, 3, 4), 0};
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100; ++i) values.push_back(next_u64(&all));
  RandomStream late{stream_key(1, 2, 3, 4), 60};
  CHECK(next_u64(&late) == values[60]);
  CHECK(std::set<std::uint64_t>(values.begin(), values.end()).size() == values.size());
}

TEST_CASE("every part of a key matters") {
  const std::set<std::uint64_t> keys = {stream_key(0, 0, 0, 0), stream_key(1, 0, 0, 0),
                                        stream_key(0, 1, 0, 0), stream_key(0, 0, 1, 0),
                                        stream_key(0, 0, 0, 1), stream_key(0, 1, 1, 0)};
  CHECK(keys.size() == 6);
}

TEST_CASE("below is in range and even") {
  for (const std::uint32_t bound : {1U, 7U, 97U}) {
    RandomStream random{stream_key(5, bound), 0};
    std::vector<int> counts(bound, 0);
    const int draws = 20000;
    for (int i = 0; i < draws; ++i) {
      const std::uint32_t value = below(static_cast<std::uint32_t>(next_u64(&random) >> 32), bound);
      REQUIRE(value < bound);
      counts[value]++;
    }
    const double expected = static_cast<double>(draws) / bound;
    double chi_square = 0.0;
    for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
    CHECK(chi_square < bound + 5.0 * std::sqrt(2.0 * bound));
  }
}

TEST_CASE("normal matrices have the right moments and do not depend on the threads") {
  const std::int64_t rows = 4097;
  const std::int64_t cols = 33;
  std::vector<float> one(static_cast<std::size_t>(rows * cols));
  std::vector<float> three(one.size());
  random_normal({one.data(), rows, cols}, 0.5F, 7, 1, 1);
  random_normal({three.data(), rows, cols}, 0.5F, 7, 1, 3);
  CHECK(one == three);
  double sum = 0.0;
  double squares = 0.0;
  double fourth = 0.0;
  for (const float x : one) {
    sum += x;
    squares += static_cast<double>(x) * x;
    fourth += std::pow(static_cast<double>(x), 4);
  }
  const auto n = static_cast<double>(one.size());
  CHECK(std::abs(sum / n) < 0.01);
  CHECK(squares / n == doctest::Approx(0.25).epsilon(0.02));
  CHECK(fourth / n == doctest::Approx(3 * 0.25 * 0.25).epsilon(0.05));
}

TEST_CASE("an element depends on its place alone, not on the shape") {
  const auto small = reference::random_matrix(5, 8, 3);
  const auto tall = reference::random_matrix(50, 8, 3);
  CHECK(std::equal(small.begin(), small.end(), tall.begin()));
  const auto wide = reference::random_matrix(5, 17, 3);
  for (std::size_t r = 0; r < 5; ++r)
    for (std::size_t c = 0; c < 8; ++c) CHECK(small[r * 8 + c] == wide[r * 17 + c]);
}
