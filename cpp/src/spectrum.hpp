// The largest singular values of a sparse matrix and their right singular vectors, by subspace
// iteration (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4, until it stands still).
#pragma once

#include <cstdint>
#include <vector>

#include "scaled_matrix.hpp"
#include "training.hpp"

namespace penchant {

struct Spectrum {
  std::vector<double> singular_values;  // falling
  std::vector<double> vectors;          // items x rank, row-major
  std::int64_t rank = 0;
};

// Bytes that finding them takes.
double spectrum_bytes(std::int64_t n_users, std::int64_t n_items, std::int64_t rank);

// At most min(rank, items) of them; rank 0 in the answer if it was cancelled. The start is random
// but fixed, sums run in a fixed order: the bits do not depend on the number of threads.
Spectrum largest_singular(const ScaledMatrix& x, std::int64_t rank, int num_threads,
                          CancelFlag* cancel);

}  // namespace penchant
