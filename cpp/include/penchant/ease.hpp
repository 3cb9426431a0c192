// EASE: the closed-form linear item-item model (Steck, WWW 2019), with what later work added.
//
// With X the users x items matrix scaled by user and item lengths (see `scaled` in ease.cpp),
// G = X^T X and P = (G + L)^-1, the weights are B_ij = -P_ij / P_jj, B_jj = 0 (Steck, eq. 8). The
// diagonal L is regularization + dropout / (1 - dropout) * diag(G): the closed form of training
// with a share `dropout` of the inputs left out (EDLAE, Steck, NeurIPS 2020).
//
// Cost: half the sum of the squared lengths of users' histories for G, n^3 operations for P.
#pragma once

#include <cstdint>
#include <functional>

#include "penchant/sparse_matrix.hpp"
#include "penchant/types.hpp"

namespace penchant {

struct EaseParams {
  double regularization = 500.0;
  double dropout = 0.0;        // [0, 1)
  double user_exponent = 0.0;  // a user's row is divided by (number of its items)^user_exponent
  double item_exponent = 0.0;  // a column by (number of its users)^item_exponent
  std::int32_t neighbors = 0;  // of each item, the largest weights by magnitude; 0: all
  int num_threads = 0;
};

enum class EaseStatus { kDone, kCancelled, kNotDefinite };

// Bytes that a fit takes besides its input, the result included.
double ease_bytes(std::int64_t n_items, std::int32_t neighbors, int num_threads);

// `values` (finite, > 0, one for each interaction) may be null: all 1. weights (n_items x n_items)
// gets B; params.neighbors is not used. `weights` is untouched unless the status is kDone.
EaseStatus fit_ease(const CsrView& interactions, const float* values, const EaseParams& params,
                    MatrixView<float> weights, const std::function<bool()>& cancelled);

// The same with the `params.neighbors` largest weights of each row alone.
EaseStatus fit_ease(const CsrView& interactions, const float* values, std::int64_t n_items,
                    const EaseParams& params, SparseMatrix* weights,
                    const std::function<bool()>& cancelled);

}  // namespace penchant
