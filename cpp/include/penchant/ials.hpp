// Implicit alternating least squares (Hu, Koren, Volinsky, ICDM 2008) with the objective of
// Rendle, Krichene, Zhang, Koren, "Revisiting the performance of iALS on item recommendation
// benchmarks", 2021:
//
//   L(W, H) = sum_{(u,i) in S} c_ui (1 - w_u . h_i)^2 + a_0 sum_u sum_i p_i (w_u . h_i)^2
//           + sum_u l_u |w_u|^2 + sum_i l_i |h_i|^2,
//   l_u = l (|S_u| + a_0 sum_i p_i)^nu,   l_i = l (|S_i| + a_0 p_i n_users)^nu.
//
// p_i is 1, or grows with popularity as in eALS (He et al., SIGIR 2016).
//
// A half of an epoch fixes one side and solves the rows of the other. All rows share the Gram
// matrix G of the fixed side, so both sides are first turned to the basis of its eigenvectors,
// which leaves every score as it was: there a_0 p G + l_u I is a diagonal matrix, whatever l_u.
// What is left of row u is a diagonal plus its own n_u entries, which the dual system (n_u x n_u)
// solves exactly in n_u^2 d + n_u^3 / 3 operations where the normal equations take n_u d^2 + d^3
// / 3. Long rows take a few preconditioned conjugate gradient steps, or blocks of coordinates
// (iALS++, Rendle et al. 2021), from where they were, or the normal equations.
//
// Rows are independent and the Gram matrix is summed in a fixed order: the bits do not depend on
// the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "penchant/types.hpp"

namespace penchant {

enum class IalsSolver {
  kAuto,       // exact for short rows, conjugate gradients for long ones
  kCholesky,   // exact for all rows
  kSubspace,   // exact for rows shorter than a block, blocks of coordinates for others
  kGradients,  // conjugate gradients for all rows
};

struct IalsParams {
  std::int32_t epochs = 16;
  float regularization = 0.003F;         // l
  float regularization_exponent = 1.0F;  // nu
  float unobserved_weight = 0.1F;        // a_0
  IalsSolver solver = IalsSolver::kAuto;
  std::int32_t block_size = 64;  // of kSubspace; rounded up to a multiple of kRowMultiple
  std::int32_t cg_steps = 3;     // of kAuto and kGradients
  int num_threads = 0;
};

// Observed pairs, a row for each user (or item). `confidence`, one for each entry, is null where
// all are 1.
struct IalsEvents {
  CsrView matrix;
  const float* confidence = nullptr;
};

// Factors trained in place. Columns from `dim` on are padding and zero; 0 stands for none of them.
// `item_weights` (p, with mean 1) is null where all are 1.
struct IalsFactors {
  MatrixView<float> users;
  MatrixView<float> items;
  const float* item_weights = nullptr;
  std::int64_t dim = 0;
};

struct IalsEpoch {
  std::int32_t epoch = 0;  // from 1
  double loss = 0.0;       // the objective
};

// Called after each epoch, on the calling thread; false stops the training.
using IalsEpochCallback = std::function<bool(const IalsEpoch&)>;

// Trains on `events` (users x items) and returns the number of whole epochs run. `cancelled` is
// asked every few milliseconds, on the calling thread; true stops within the epoch, and the factors
// are usable then.
std::int32_t fit_ials(const IalsEvents& events, const IalsFactors& factors,
                      const IalsParams& params, const IalsEpochCallback& on_epoch,
                      const CancelCheck& cancelled);

// Solves rows of one side exactly with the other side fixed: users that training never saw from
// their items, or items from their users.
class IalsFoldIn {
 public:
  // Copies `fixed`. `fixed_weights` (p where items are fixed) may be null.
  IalsFoldIn(MatrixView<const float> fixed, const float* fixed_weights, const IalsParams& params);
  ~IalsFoldIn();
  IalsFoldIn(const IalsFoldIn&) = delete;
  IalsFoldIn& operator=(const IalsFoldIn&) = delete;

  // Rows of `out` from the rows of `events`, whose columns are rows of the fixed side;
  // `row_weights` (p where items are solved) may be null.
  void solve(const IalsEvents& events, const float* row_weights, MatrixView<float> out,
             int num_threads) const;

  // What each entry of a row adds to the row's product with row `target` of the fixed side: entry j
  // adds c_j h_j^T A^-1 h_target, A being the matrix of the row's system. `out` has one place for
  // each; `confidence` may be null.
  void contributions(std::span<const std::int32_t> entries, const float* confidence,
                     std::int32_t target, std::span<float> out) const;

 private:
  class Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace penchant
