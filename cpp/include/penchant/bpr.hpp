// Bayesian personalized ranking (Rendle et al., UAI 2009) by deterministic parallel SGD.
//
// Users and items are dealt into a G x G grid. In step d, user block u works on item block (u + d)
// mod G, so no two blocks of a step share a row: they run in parallel without locks and in any
// order with the same result. A block draws its negatives from its own items; because items are
// dealt anew every epoch, all items meet. A block's item rows also fit the second-level cache,
// which is where most of the speed comes from. G depends on the data alone, so the bits do not
// depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

#include "penchant/types.hpp"

namespace penchant {

enum class NegativeSampling {
  kUniform,  // every unseen item of the block alike
  kPopular,  // proportional to count^popularity_exponent
  kDynamic,  // the best-scoring unseen one of n_candidates uniform draws (Zhang et al., SIGIR 2013)
};

enum class BprOptimizer {
  kSgd,
  kAdagrad,  // row-wise: one sum of squared gradients a user and an item (Duchi et al., JMLR 2011)
};

struct BprParams {
  std::int32_t epochs = 100;
  float learning_rate = 0.05F;
  float learning_rate_decay = 0.0F;  // epoch e of E runs at learning_rate * (1 - decay * e / E)
  float user_regularization = 0.01F;
  float positive_regularization = 0.01F;
  float negative_regularization = 0.01F;
  float bias_regularization = 0.01F;
  NegativeSampling negatives = NegativeSampling::kDynamic;
  float popularity_exponent = 0.75F;
  BprOptimizer optimizer = BprOptimizer::kSgd;
  std::int32_t n_candidates = 16;
  std::uint64_t seed = 0;
  int num_threads = 0;
};

// What one epoch did. An event whose user has seen every item of the block is skipped.
struct BprEpoch {
  std::int32_t epoch = 0;    // from 1
  double loss = 0.0;         // mean of -log sigmoid(score(positive) - score(negative))
  double auc = 0.0;          // share of events whose positive outscored the sampled negative
  std::int64_t updates = 0;  // events that were not skipped
};

// Factors trained in place. `item_biases` may be null (no biases).
struct BprFactors {
  MatrixView<float> users;
  MatrixView<float> items;
  float* item_biases = nullptr;
};

// Called after each epoch, on the calling thread; false stops the training.
using BprEpochCallback = std::function<bool(const BprEpoch&)>;

// Blocks per side of the grid for a data set of this size.
std::int32_t bpr_grid_size(std::int64_t n_users, std::int64_t n_items, std::int64_t factors);

// Trains on `interactions` (users x items) and returns the number of whole epochs run.
std::int32_t fit_bpr(const CsrView& interactions, const BprFactors& factors,
                     const BprParams& params, const BprEpochCallback& on_epoch,
                     const CancelCheck& cancelled);

}  // namespace penchant
