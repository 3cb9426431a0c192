// The basis in which the Gram matrix of one side is diagonal, and turning rows to it.
#pragma once

#include <cstdint>
#include <vector>

#include "penchant/types.hpp"
#include "training.hpp"

namespace penchant {

// Row-major [stride][stride] matrix sum_r weights[r] x_r x_r^T of `n` rows of `stride` floats, in
// an order that does not depend on the threads. `weights` may be null.
std::vector<double> gram_matrix(const float* rows, std::int64_t n, std::int64_t stride,
                                const float* weights, int num_threads);

// Eigenvalues (none negative) and eigenvectors of a Gram matrix whose first `dim` rows and columns
// are not padding. Of no use if `cancel` (may be null) was raised while it was made.
class IalsBasis {
 public:
  IalsBasis(const std::vector<double>& gram, std::int64_t dim, std::int64_t stride, int num_threads,
            CancelFlag* cancel);

  [[nodiscard]] const float* spectrum() const { return spectrum_.data(); }
  [[nodiscard]] float largest() const { return largest_; }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

  static constexpr std::int64_t kRowsAtOnce = 64;
  [[nodiscard]] std::int64_t scratch_size() const;
  // Replaces `count` rows, at most kRowsAtOnce, by what they are in this basis.
  void turn(float* const* rows, std::int64_t count, float* scratch) const {
    multiply(to_basis_, rows, count, scratch);
  }
  void turn_all(float* rows, std::int64_t n, int num_threads) const {
    multiply_all(to_basis_, rows, n, num_threads);
  }
  void turn_all_back(float* rows, std::int64_t n, int num_threads) const {
    multiply_all(from_basis_, rows, n, num_threads);
  }

 private:
  void multiply(const std::vector<float>& panels, float* const* rows, std::int64_t count,
                float* scratch) const;
  void multiply_all(const std::vector<float>& panels, float* rows, std::int64_t n,
                    int num_threads) const;

  std::int64_t stride_;
  std::int64_t padded_;  // columns of all panels
  std::vector<float> spectrum_;
  float largest_ = 0.0F;
  std::vector<float> to_basis_;    // panels of Q
  std::vector<float> from_basis_;  // panels of Q^T
};

}  // namespace penchant
