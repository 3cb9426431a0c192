#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

// The definition of a score, one step after the other.
float defined(const float* query, const float* vector, float bias, std::int64_t dim) {
#if defined(__ARM_FEATURE_FMA)
  constexpr bool fused = true;
#else
  const bool fused = std::string(kernels().name) != "baseline";
#endif
  volatile float sum = bias;  // each step is rounded
  for (std::int64_t d = 0; d < dim; ++d) {
    const volatile float product = query[d] * vector[d];
    sum = fused ? std::fmaf(query[d], vector[d], sum) : sum + product;
  }
  return sum;
}

}  // namespace

TEST_CASE("scores of pairs have the bits of their definition, of one query or of many") {
  constexpr std::int64_t kQueries = 5;
  constexpr std::int64_t kVectors = 61;
  for (const std::int64_t dim : reference::kOddSizes)
    for (const std::int64_t n : {1, 3, 4, 8, 15, 16, 17, 40})
      for (const std::int64_t run : {1, 3, 16, 40}) {  // so many pairs in turn share a query
        const auto queries = reference::random_matrix(kQueries, dim, 3);
        const auto vectors = reference::random_matrix(kVectors, dim, 4);
        const auto biases = reference::random_matrix(kVectors, 1, 5);
        std::vector<const float*> asked;
        std::vector<std::int32_t> rows;
        for (std::int64_t i = 0; i < n; ++i) {
          asked.push_back(queries.data() + i / run % kQueries * dim);
          rows.push_back(static_cast<std::int32_t>(i * 7 % kVectors));
        }
        std::vector<float> scores(static_cast<std::size_t>(n) + 1, 7.0F);
        kernels().score_pairs(asked.data(), vectors.data(), biases.data(), dim, rows.data(), n,
                              scores.data());
        for (std::size_t i = 0; i < rows.size(); ++i)
          REQUIRE(scores[i] == defined(asked[i], vectors.data() + rows[i] * dim,
                                       biases[static_cast<std::size_t>(rows[i])], dim));
        REQUIRE(scores.back() == 7.0F);  // nothing is written beyond
      }
}

TEST_CASE("a score is never minus zero") {
  const std::vector<float> query(5, -1e-30F);
  const std::vector<float> vector(5, 1e-30F);  // the product rounds to minus zero
  const float bias = -0.0F;
  const float* asked = query.data();
  const std::int32_t row = 0;
  float score = 7.0F;
  kernels().score_pairs(&asked, vector.data(), &bias, 5, &row, 1, &score);
  CHECK(score == 0.0F);
  CHECK(!std::signbit(score));
}
