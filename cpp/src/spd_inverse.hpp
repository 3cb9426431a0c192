// Inverse of a symmetric positive definite matrix in place, in double precision.
//
// The lower triangle is kept as square tiles, half the memory of the matrix. Cholesky factorization
// A = L L^T, inversion W = L^-1 and the product P = W^T W run together, one block pivot k after
// another (the one-sweep algorithm of Bientinesi, Gunter and van de Geijn, ACM TOMS 2008). With
//   V_i = A_ik L_kk^-T of the rows below the pivot (a column of L),
//   V_i = (the k-th row of W, as far as it is known)^T L_kk^-T above it, and V_k = L_kk^-T,
// a step clears row and column k and subtracts V V^T from the whole lower triangle. In the end it
// holds -P. The n^3 operations, half of what a general inverse takes, are nearly all one matrix
// product of fixed shape. Sweeping with A_kk^-1 itself (Gauss-Jordan) would do the same work, but
// its residual grows with the square of the condition number; this one's grows with the number.
// Tiles depend on n alone, so the bits do not depend on the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "training.hpp"

namespace penchant {

class SymmetricTiles {
 public:
  // n x n zeros, the padding up to whole tiles an identity matrix. `tile` is a multiple of
  // kTileMultiple; 0 chooses one.
  explicit SymmetricTiles(std::int64_t n, std::int64_t tile = 0);

  // Small tiles waste less on padding and on the serial pivot, large ones use the caches better.
  static std::int64_t default_tile(std::int64_t n);

  // Bytes of the tiles of an n x n matrix, and of what its inversion needs besides.
  static double bytes(std::int64_t n);

  [[nodiscard]] std::int64_t size() const { return n_; }
  [[nodiscard]] std::int64_t tile_size() const { return tile_; }
  [[nodiscard]] std::int64_t blocks() const { return blocks_; }
  // Tile (i, j) with i >= j, row-major.
  [[nodiscard]] double* tile(std::int64_t i, std::int64_t j) {
    return tiles_.data() + (i * (i + 1) / 2 + j) * tile_ * tile_;
  }
  [[nodiscard]] const double* tile(std::int64_t i, std::int64_t j) const {
    return tiles_.data() + (i * (i + 1) / 2 + j) * tile_ * tile_;
  }
  // Row r of the lower triangle from column 0 of block j on.
  [[nodiscard]] double* row_of_tile(std::int64_t r, std::int64_t j) {
    return tile(r / tile_, j) + (r % tile_) * tile_;
  }
  [[nodiscard]] double diagonal(std::int64_t r) const {
    return tile(r / tile_, r / tile_)[(r % tile_) * (tile_ + 1)];
  }

 private:
  std::int64_t n_;
  std::int64_t tile_;
  std::int64_t blocks_;
  std::vector<double> tiles_;
};

enum class InverseStatus { kDone, kCancelled, kNotDefinite };

// Turns A into minus its inverse.
InverseStatus negative_inverse(SymmetricTiles* a, int num_threads, CancelFlag* cancel);

}  // namespace penchant
