// EASE: the closed-form linear item-item model (Steck, WWW 2019), with what later work added.
//
// With X the users x items matrix scaled by user and item lengths (see scaled_matrix.hpp),
// G = X^T X and P = (G + L)^-1, the weights are B_ij = -P_ij / P_jj, B_jj = 0 (Steck, eq. 8). The
// diagonal L is regularization + dropout / (1 - dropout) * diag(G): the closed form of training
// with a share `dropout` of the inputs left out (EDLAE, Steck, NeurIPS 2020).
//
// B predicts by what is particular to pairs of items. What large groups of items share is better
// said by the largest singular vectors V of X, a low-pass filter over the items (GF-CF, Shen et
// al., CIKM 2021, with a filter that falls with the singular values as in Peng et al., KDD 2024):
//   W = (1 - share) B + share V diag((s / s_1)^power) V^T, W_jj = 0.
// The weights are W without the scale of the items, discounted by the popularity of the target.
//
// Cost: half the sum of the squared lengths of users' histories for G, n^3 operations for P; rounds
// of 8 * entries * rank operations for V.
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
  double popularity_discount = 0.0;  // a score is divided by (number of users)^this
  std::int32_t rank = 0;             // singular vectors; 0: B alone
  double rank_share = 0.5;           // of W, from 0 to 1
  double rank_power = 0.5;           // >= 0
  std::int32_t neighbors = 0;        // of each item, the largest weights by magnitude; 0: all
  int num_threads = 0;
};

enum class EaseStatus { kDone, kCancelled, kNotDefinite };

// Bytes that a fit takes besides its input, the result included.
double ease_bytes(std::int64_t n_users, std::int64_t n_items, std::int32_t neighbors,
                  std::int32_t rank, int num_threads);

// `values` (finite, > 0, one for each interaction) may be null: all 1. weights (n_items x n_items)
// gets B; params.neighbors is not used. `weights` is untouched unless the status is kDone.
EaseStatus fit_ease(const CsrView& interactions, const float* values, const EaseParams& params,
                    MatrixView<float> weights, const CancelCheck& cancelled);

// The same with the `params.neighbors` largest weights of each row alone.
EaseStatus fit_ease(const CsrView& interactions, const float* values, std::int64_t n_items,
                    const EaseParams& params, SparseMatrix* weights, const CancelCheck& cancelled);

}  // namespace penchant
