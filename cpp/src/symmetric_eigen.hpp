// Eigenvalues and eigenvectors of a symmetric matrix, on several threads.
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "training.hpp"

namespace penchant {

struct SymmetricEigen {
  Eigen::VectorXd values;   // ascending
  Eigen::MatrixXd vectors;  // column k belongs to values[k]
};

// Householder tridiagonalization, then implicit QL (Bowdler, Martin, Reinsch, Wilkinson 1968). The
// rotations of QL, which make up most of the work, are gathered and applied to stripes of rows in
// parallel; the bits do not depend on the threads. What it returns is of no use if `cancel` (may be
// null) was raised meanwhile.
SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& matrix, int num_threads, CancelFlag* cancel);

}  // namespace penchant
