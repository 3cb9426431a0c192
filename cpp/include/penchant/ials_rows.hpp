// What the per-ISA kernels of implicit ALS take: matrix products, the rotations of an eigensolver,
// and one row of the side that is being solved.
#pragma once

#include <cstdint>

namespace penchant {

// Columns of a packed panel of `multiply_panel`.
inline constexpr std::int64_t kPanelColumns = 64;

// out[r][0..64) = sum over k < depth of a[r * row_step + k * depth_step] * panel[k * panel_step
// + 0..64).
struct PanelArgs {
  const float* a;
  std::int64_t row_step;
  std::int64_t depth_step;
  const float* panel;
  std::int64_t panel_step;
  std::int64_t depth;
  std::int64_t rows;  // a multiple of 4
  float* out;
  std::int64_t out_stride;
  bool add;  // to what `out` holds
};

// Columns i and i + 1 of a matrix, x and y, become cosine x - sine y and sine x + cosine y.
struct Rotation {
  double cosine;
  double sine;
};

// `count` rotations of columns (first, first + 1), (first - 1, first), ...
struct RotationSweep {
  std::int64_t first;
  std::int64_t count;
};

inline constexpr std::int64_t kRotationStripe = 64;

// Rotations of a column-major matrix, for at most kRotationStripe of its rows.
struct RotationArgs {
  double* matrix;  // the first of the rows
  std::int64_t stride;
  std::int64_t rows;
  const RotationSweep* sweeps;
  std::int64_t n_sweeps;
  const Rotation* rotations;  // of all sweeps, one after the other
};

// The system of one row w, in a basis in which the Gram matrix of the fixed side is diagonal:
//   (diag(weight * spectrum + ridge) + sum_j c_j h_j h_j^T) w = sum_j c_j h_j,
// h_j being row indices[j] of `fixed`.
struct IalsRowArgs {
  const float* fixed;
  std::int64_t stride;  // floats from row to row, a multiple of kRowMultiple; the padding is zero
  const std::int32_t* indices;
  const float* confidence;  // c_j; null: all 1
  std::int64_t n;
  const float* spectrum;  // [stride], not negative
  float weight;
  float ridge;
  float floor;              // least value of weight * spectrum + ridge, positive
  float* row;               // [stride]; out: w. The iterative solvers start from what it holds
  std::int32_t steps;       // of conjugate gradients
  std::int64_t block_size;  // of the subspace solver, a multiple of kRowMultiple
  float* scratch;           // as many floats as the kernel's size function says
};

struct IalsRowResult {
  double error;      // sum_j c_j (1 - h_j . w)^2
  double quadratic;  // w^T diag(weight * spectrum + ridge) w
  double norm;       // w^T w
};

}  // namespace penchant
