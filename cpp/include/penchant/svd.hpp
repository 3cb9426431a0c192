// Biased matrix factorization of ratings (Koren, Bell, Volinsky, "Matrix factorization techniques
// for recommender systems", Computer 2009, eq. 5) by deterministic parallel SGD:
//   rating(u, i) ~ mean + user_bias[u] + item_bias[i] + user[u] . item[i]
// Without biases and mean it is PMF (Salakhutdinov, Mnih, NIPS 2007).
//
// The grid of blocks is that of BPR: no two blocks of a step share a row, and its size depends on
// the data alone, so the bits do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "penchant/types.hpp"

namespace penchant {

// One group of parameters: how fast it learns and how strongly it is held back.
struct SgdGroup {
  float learning_rate = 0.005F;
  float regularization = 0.02F;
};

struct SvdParams {
  std::int32_t epochs = 20;
  SgdGroup users;
  SgdGroup items;
  SgdGroup user_biases;
  SgdGroup item_biases;
  float learning_rate_decay = 0.0F;  // epoch e of E runs at learning_rate * (1 - decay * e / E)
  float mean = 0.0F;                 // added to every estimate; 0 without biases
  std::uint64_t seed = 0;
  int num_threads = 0;
};

// What is trained in place. Both biases are null in PMF.
struct SvdFactors {
  MatrixView<float> users;
  MatrixView<float> items;
  float* user_biases = nullptr;
  float* item_biases = nullptr;
};

// Ratings by user: values[n] is the rating of entry n of the matrix.
struct Ratings {
  CsrView matrix;
  std::span<const float> values;
};

struct SvdEpoch {
  std::int32_t epoch = 0;  // from 1
  double loss = 0.0;       // mean squared error plus mean penalty: what the steps make smaller
  double rmse = 0.0;       // of the training ratings, each just before its step
};

// Called after each epoch, on the calling thread; false stops the training.
using SvdEpochCallback = std::function<bool(const SvdEpoch&)>;

// Blocks per side of the grid for a data set of this size.
std::int32_t svd_grid_size(std::int64_t n_users, std::int64_t n_items, std::int64_t n_ratings,
                           std::int64_t factors);

// Trains and returns the number of whole epochs run.
std::int32_t fit_svd(const Ratings& ratings, const SvdFactors& factors, const SvdParams& params,
                     const SvdEpochCallback& on_epoch, const CancelCheck& cancelled);

}  // namespace penchant
