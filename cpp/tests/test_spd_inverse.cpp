#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "penchant/simd.hpp"
#include "reference.hpp"
#include "spd_inverse.hpp"

using namespace penchant;

namespace {

const std::function<bool()> kNever = [] { return false; };

// X^T X + shift * I of a random X: positive definite, worse conditioned the smaller the shift.
std::vector<double> random_spd(std::int64_t n, double shift, std::uint64_t seed) {
  const std::int64_t rows = n / 2 + 1;  // singular without the shift
  const auto x = reference::random_matrix(rows, n, seed);
  std::vector<double> a(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = i == j ? shift : 0.0;
      for (std::int64_t r = 0; r < rows; ++r)
        sum += static_cast<double>(x[static_cast<std::size_t>(r * n + i)]) *
               static_cast<double>(x[static_cast<std::size_t>(r * n + j)]);
      a[static_cast<std::size_t>(i * n + j)] = sum;
    }
  return a;
}

SymmetricTiles tiles_of(const std::vector<double>& a, std::int64_t n, std::int64_t tile) {
  SymmetricTiles tiles(n, tile);
  const std::int64_t size = tiles.tile_size();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < std::min((i / size + 1) * size, n); ++j)
      tiles.row_of_tile(i, j / size)[j % size] = a[static_cast<std::size_t>(i * n + j)];
  return tiles;
}

double entry(const SymmetricTiles& tiles, std::int64_t i, std::int64_t j) {
  if (i < j) std::swap(i, j);
  const std::int64_t size = tiles.tile_size();
  return tiles.tile(i / size, j / size)[(i % size) * size + j % size];
}

// Largest |A P - I|.
double residual(const std::vector<double>& a, const SymmetricTiles& minus_p, std::int64_t n) {
  double largest = 0.0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = i == j ? -1.0 : 0.0;
      for (std::int64_t k = 0; k < n; ++k)
        sum -= a[static_cast<std::size_t>(i * n + k)] * entry(minus_p, k, j);
      largest = std::max(largest, std::abs(sum));
    }
  return largest;
}

}  // namespace

TEST_CASE("symmetric inverse: A P = I at odd sizes and several tiles") {
  for (const std::int64_t n : {1, 7, 15, 16, 17, 33, 97, 200})
    for (const std::int64_t tile : {24, 48, 96}) {
      CAPTURE(n);
      CAPTURE(tile);
      const auto a = random_spd(n, 1.0, 11);
      SymmetricTiles tiles = tiles_of(a, n, tile);
      CancelFlag cancel(kNever);
      REQUIRE(negative_inverse(&tiles, 2, &cancel) == InverseStatus::kDone);
      CHECK(residual(a, tiles, n) < 1e-11);
    }
}

TEST_CASE("symmetric inverse: the residual of a badly conditioned matrix") {
  const std::int64_t n = 150;
  // Eigenvalues from about 400 down to the shift: condition numbers of 4e5, 4e8 and 4e11.
  for (const double shift : {1e-3, 1e-6, 1e-9}) {
    CAPTURE(shift);
    const auto a = random_spd(n, shift, 5);
    SymmetricTiles tiles = tiles_of(a, n, 48);
    CancelFlag cancel(kNever);
    REQUIRE(negative_inverse(&tiles, 1, &cancel) == InverseStatus::kDone);
    // |A P - I| <= c eps cond(A) for a stable inverse.
    CHECK(residual(a, tiles, n) < 50.0 * 2.2e-16 * 400.0 / shift);
  }
}

TEST_CASE("symmetric inverse: the bits do not depend on the threads") {
  const std::int64_t n = 230;
  const auto a = random_spd(n, 0.1, 3);
  SymmetricTiles one = tiles_of(a, n, 24);
  CancelFlag cancel(kNever);
  REQUIRE(negative_inverse(&one, 1, &cancel) == InverseStatus::kDone);
  for (const int threads : {2, 3, 8}) {
    SymmetricTiles other = tiles_of(a, n, 24);
    REQUIRE(negative_inverse(&other, threads, &cancel) == InverseStatus::kDone);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j) REQUIRE(entry(one, i, j) == entry(other, i, j));
  }
}

TEST_CASE("symmetric inverse: an indefinite matrix is noticed, a cancelled sweep stops") {
  auto a = random_spd(60, 1.0, 8);
  a[static_cast<std::size_t>(40 * 60 + 40)] = -1.0;
  SymmetricTiles tiles = tiles_of(a, 60, 24);
  CancelFlag never(kNever);
  CHECK(negative_inverse(&tiles, 1, &never) == InverseStatus::kNotDefinite);
  SymmetricTiles again = tiles_of(random_spd(60, 1.0, 8), 60, 24);
  const std::function<bool()> at_once = [] { return true; };
  CancelFlag cancel(at_once);
  CHECK(negative_inverse(&again, 2, &cancel) == InverseStatus::kCancelled);
}

TEST_CASE("symmetric inverse: panels fit the tiles") {
  CHECK(kTileMultiple % kernels().tile_rows == 0);
  CHECK(kTileMultiple % kernels().tile_cols == 0);
  CHECK(SymmetricTiles::bytes(1000) > 1000.0 * 1000.0 * 4.0);
}
