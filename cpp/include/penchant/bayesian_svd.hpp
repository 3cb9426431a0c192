// Bayesian matrix factorization of ratings by Gibbs sampling (Salakhutdinov, Mnih, "Bayesian
// probabilistic matrix factorization using Markov chain Monte Carlo", ICML 2008), with biases, and
// with the implicit terms of SVD++ on both sides:
//   rating(u, i) ~ mean + user_bias[u] + item_bias[i] + user[u] . item[i] + noise
//   (user[u], user_bias[u]) ~ Normal(mu + |N(u)|^-1/2 * sum over j in N(u) of link[j], Lambda^-1)
// and the same for items with the users who have rated them. The links enter as the prior mean of
// a row (Simm et al., "Macau: scalable Bayesian multi-relational factorization with side
// information using MCMC", 2015), so rows stay independent given the other side: they are sampled
// in parallel, each with random numbers of its own, and the bits do not depend on the number of
// threads.
//
// The estimate is the mean over samples. A mean of inner products is an inner product of the
// concatenated factors, so samples are kept side by side.
#pragma once

#include <cstdint>

#include "penchant/svd.hpp"

namespace penchant {

struct BayesianSvdParams {
  std::int32_t epochs = 150;  // sweeps over all parameters
  std::int32_t burn_in = 50;  // sweeps before the first sample that is kept
  bool user_links = true;
  bool item_links = true;
  double mean = 0.0;
  std::uint64_t seed = 0;
  int num_threads = 0;
};

// Filled by the training. Sample s of a user is users[u][s * factors .. (s + 1) * factors): its
// mean given the items of that sample.
struct BayesianSvdSamples {
  MatrixView<float> users;  // n_users x (n_samples * factors)
  MatrixView<float> items;
  float* user_biases = nullptr;  // means over the samples kept
  float* item_biases = nullptr;
  std::int64_t factors = 0;
  float* kept = nullptr;  // how many samples there are: at least 1 after the first sweep
};

// Trains and returns the number of whole sweeps run. Of an epoch, `rmse` is that of the current
// sample on the training ratings and `loss` its square.
std::int32_t fit_bayesian_svd(const Ratings& ratings, const BayesianSvdSamples& samples,
                              const BayesianSvdParams& params, const SvdEpochCallback& on_epoch,
                              const CancelCheck& cancelled);

}  // namespace penchant
