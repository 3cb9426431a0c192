#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "penchant/bpr.hpp"
#include "penchant/random.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Model {
  std::vector<float> users;
  std::vector<float> items;
  std::vector<float> biases;
  std::int32_t epochs = 0;
  std::vector<BprEpoch> history;
  bool operator==(const Model& other) const {
    return users == other.users && items == other.items && biases == other.biases;
  }
};

// Two tastes: users and items of equal parity belong together.
reference::Csr two_tastes(std::int64_t users, std::int64_t items) {
  reference::Csr csr;
  RandomStream random{77, 0};
  for (std::int64_t u = 0; u < users; ++u) {
    std::set<std::int32_t> row;
    for (int i = 0; i < 12; ++i) {
      const auto half = reference::draw(random, static_cast<std::uint32_t>(items / 2));
      row.insert(static_cast<std::int32_t>(2 * half + static_cast<std::uint32_t>(u % 2)));
    }
    csr.add_row(row);
  }
  return csr;
}

Model train(const reference::Csr& csr, std::int64_t n_items, std::int64_t factors,
            const BprParams& params, const BprEpochCallback& on_epoch = {},
            const CancelCheck& cancelled = {}) {
  const std::int64_t n_users = csr.view().rows();
  Model model{reference::random_matrix(n_users, factors, 1, 0.1F),
              reference::random_matrix(n_items, factors, 2, 0.1F),
              std::vector<float>(static_cast<std::size_t>(n_items), 0.0F),
              0,
              {}};
  const BprFactors views{{model.users.data(), n_users, factors},
                         {model.items.data(), n_items, factors},
                         model.biases.data()};
  model.epochs = fit_bpr(
      csr.view(), views, params,
      [&](const BprEpoch& epoch) {
        model.history.push_back(epoch);
        return !on_epoch || on_epoch(epoch);
      },
      cancelled);
  return model;
}

BprParams quick(NegativeSampling negatives, int threads = 2) {
  BprParams params;
  params.epochs = 5;
  params.negatives = negatives;
  params.num_threads = threads;
  return params;
}

}  // namespace

TEST_CASE("the same bits for any number of threads") {
  const auto csr = two_tastes(600, 2100);
  REQUIRE(bpr_grid_size(600, 2100, 33) > 3);  // else nothing runs in parallel
  for (const auto negatives :
       {NegativeSampling::kUniform, NegativeSampling::kPopular, NegativeSampling::kDynamic}) {
    const Model one = train(csr, 2100, 33, quick(negatives, 1));
    BprParams adagrad = quick(negatives, 1);
    adagrad.optimizer = BprOptimizer::kAdagrad;
    const Model adapted = train(csr, 2100, 33, adagrad);
    for (const int threads : {2, 3, 8}) {
      adagrad.num_threads = threads;
      CHECK(train(csr, 2100, 33, adagrad) == adapted);
      const Model other = train(csr, 2100, 33, quick(negatives, threads));
      CHECK(one == other);
      REQUIRE(other.history.size() == one.history.size());
      CHECK(one.history.back().loss == other.history.back().loss);
      CHECK(one.history.back().auc == other.history.back().auc);
    }
  }
}

TEST_CASE("another seed gives other bits") {
  const auto csr = two_tastes(60, 100);
  BprParams params = quick(NegativeSampling::kUniform);
  const Model one = train(csr, 100, 8, params);
  params.seed = 1;
  CHECK_FALSE(train(csr, 100, 8, params) == one);
}

TEST_CASE("training separates two tastes") {
  const auto csr = two_tastes(400, 200);
  for (const auto negatives :
       {NegativeSampling::kUniform, NegativeSampling::kPopular, NegativeSampling::kDynamic}) {
    BprParams params = quick(negatives);
    params.epochs = 40;
    params.n_candidates = 4;  // more would mostly find items that the user would like too
    const Model model = train(csr, 200, 16, params);
    int right = 0;
    int wrong = 0;
    for (std::int64_t u = 0; u < 400; ++u)
      for (std::int64_t i = 0; i + 1 < 200; i += 2) {
        const auto score = [&](std::int64_t item) {
          return reference::score(model.users.data() + u * 16, model.items.data() + item * 16,
                                  model.biases[static_cast<std::size_t>(item)], 16);
        };
        (score(i + u % 2) > score(i + 1 - u % 2) ? right : wrong)++;
      }
    CHECK(right > 9 * wrong);
    CHECK(model.history.back().loss < model.history.front().loss);
    if (negatives != NegativeSampling::kDynamic) {
      CHECK(model.history.back().auc > 0.8);
    }
  }
}

TEST_CASE("every event is visited once an epoch") {
  const auto csr = two_tastes(300, 1100);
  const Model model = train(csr, 1100, 7, quick(NegativeSampling::kUniform));
  for (const BprEpoch& epoch : model.history) CHECK(epoch.updates == csr.view().entries());
}

TEST_CASE("learning-rate decay slows the last epochs down") {
  const auto csr = two_tastes(60, 100);
  BprParams params = quick(NegativeSampling::kUniform);
  const Model constant = train(csr, 100, 8, params);
  params.learning_rate_decay = 1.0F;
  const Model decayed = train(csr, 100, 8, params);
  CHECK(decayed.history.back().loss > constant.history.back().loss);
  CHECK(decayed.history.front().loss ==
        constant.history.front().loss);  // the first epoch runs at the full rate
}

TEST_CASE("the callback ends the training") {
  const auto csr = two_tastes(60, 100);
  const Model model = train(csr, 100, 8, quick(NegativeSampling::kUniform),
                            [](const BprEpoch& epoch) { return epoch.epoch < 3; });
  CHECK(model.epochs == 3);
  CHECK(model.history.size() == 3);
}

TEST_CASE("cancelling stops and leaves finite factors") {
  const auto csr = two_tastes(300, 1100);
  BprParams params = quick(NegativeSampling::kUniform);
  params.epochs = 1000000;
  bool learnt = false;
  const Model model = train(
      csr, 1100, 7, params, [&](const BprEpoch&) { return learnt = true; }, [&] { return learnt; });
  CHECK(model.epochs < 1000000);
  for (const float x : model.users) CHECK(std::isfinite(x));
  CHECK_FALSE(model.users == reference::random_matrix(300, 7, 1, 0.1F));
}

TEST_CASE("degenerate data: one user, one item, nothing to learn from") {
  reference::Csr one;
  one.add_row({0});
  CHECK(train(one, 1, 3, quick(NegativeSampling::kDynamic)).history.back().updates == 0);
  reference::Csr empty;
  empty.add_row({});
  CHECK(train(empty, 5, 3, quick(NegativeSampling::kPopular)).history.back().loss == 0.0);
  reference::Csr nobody;
  CHECK(train(nobody, 5, 3, quick(NegativeSampling::kUniform)).epochs == 0);
}

TEST_CASE("every parameter changes what is learnt") {
  const auto csr = two_tastes(300, 1100);
  const auto changed = [&](const BprParams& base, const std::function<void(BprParams&)>& change) {
    BprParams other = base;
    change(other);
    return !(train(csr, 1100, 8, base) == train(csr, 1100, 8, other));
  };
  const BprParams dynamic = quick(NegativeSampling::kDynamic);
  const BprParams popular = quick(NegativeSampling::kPopular);
  CHECK(changed(dynamic, [](BprParams& p) { p.n_candidates = 3; }));
  CHECK(changed(dynamic, [](BprParams& p) { p.optimizer = BprOptimizer::kAdagrad; }));
  CHECK(changed(dynamic, [](BprParams& p) { p.negatives = NegativeSampling::kUniform; }));
  CHECK(changed(popular, [](BprParams& p) { p.popularity_exponent = -1.0F; }));
  CHECK(changed(popular, [](BprParams& p) { p.negatives = NegativeSampling::kUniform; }));
}

TEST_CASE("each penalty shrinks its own side") {
  const auto csr = two_tastes(300, 1100);
  const auto size = [](const std::vector<float>& values) {
    double sum = 0.0;
    for (const float x : values) sum += static_cast<double>(x) * static_cast<double>(x);
    return sum;
  };
  const Model plain = train(csr, 1100, 8, quick(NegativeSampling::kUniform));
  const auto with = [&](float BprParams::* penalty) {
    BprParams params = quick(NegativeSampling::kUniform);
    params.*penalty = 2.0F;
    return train(csr, 1100, 8, params);
  };
  CHECK(size(with(&BprParams::user_regularization).users) < 0.5 * size(plain.users));
  CHECK(size(with(&BprParams::positive_regularization).items) < 0.7 * size(plain.items));
  CHECK(size(with(&BprParams::negative_regularization).items) < 0.7 * size(plain.items));
  CHECK(size(with(&BprParams::bias_regularization).biases) < 0.7 * size(plain.biases));
}

TEST_CASE("positive and negative items have penalties of their own") {
  // One user, item 0 always positive, the others always negative.
  reference::Csr csr;
  csr.add_row({0});
  const auto norm = [](const Model& model, std::size_t item) {
    double sum = 0.0;
    for (std::size_t k = 0; k < 4; ++k)
      sum += std::abs(static_cast<double>(model.items[item * 4 + k]));
    return sum;
  };
  BprParams params = quick(NegativeSampling::kUniform);
  params.epochs = 60;
  params.learning_rate = 0.1F;
  params.positive_regularization = 1.0F;
  params.negative_regularization = 0.0F;
  const Model positive = train(csr, 2, 4, params);
  std::swap(params.positive_regularization, params.negative_regularization);
  const Model negative = train(csr, 2, 4, params);
  CHECK(norm(positive, 0) < 0.5 * norm(negative, 0));
  CHECK(norm(negative, 1) < 0.5 * norm(positive, 1));
}

TEST_CASE("epochs differ: items are dealt and negatives drawn anew") {
  // With a rate this small nothing is learnt, so the sampled AUC shows the draws alone.
  const auto csr = two_tastes(600, 2100);
  BprParams params = quick(NegativeSampling::kUniform);
  params.learning_rate = 1e-9F;
  const Model model = train(csr, 2100, 8, params);
  CHECK(model.history[0].auc != model.history[1].auc);
  CHECK(model.history[1].auc != model.history[2].auc);
}

TEST_CASE("a user with more events than a piece meets unseen negatives only") {
  reference::Csr csr;
  std::set<std::int32_t> most;
  for (std::int32_t i = 0; i < 9999; ++i) most.insert(i);
  csr.add_row(most);
  BprParams params = quick(NegativeSampling::kUniform);
  params.epochs = 1;
  params.bias_regularization = 0.0F;
  const Model model = train(csr, 10000, 4, params);
  CHECK(model.history.back().updates == 9999);
  for (std::size_t i = 0; i < 9999; ++i) CHECK(model.biases[i] > 0.0F);  // never a negative
  CHECK(model.biases[9999] < 0.0F);
}

TEST_CASE("the cancel check runs on the calling thread, and a cancelled epoch is written back") {
  const auto csr = two_tastes(600, 2100);
  BprParams params = quick(NegativeSampling::kUniform, 4);
  const auto caller = std::this_thread::get_id();
  bool elsewhere = false;
  int asked = 0;
  const Model model = train(csr, 2100, 7, params, {}, [&] {
    elsewhere = elsewhere || std::this_thread::get_id() != caller;
    return ++asked > 1;
  });
  CHECK_FALSE(elsewhere);
  if (model.epochs == 0) CHECK_FALSE(model.users == reference::random_matrix(600, 7, 1, 0.1F));
}

TEST_CASE("the grid grows with the data and never outgrows it") {
  CHECK(bpr_grid_size(1, 1, 64) == 1);
  CHECK(bpr_grid_size(1000000, 200, 64) == 1);
  CHECK(bpr_grid_size(29858, 40981, 64) == 16);
  CHECK(bpr_grid_size(29858, 40981, 128) >= 16);
  CHECK(bpr_grid_size(1000000, 1000000, 128) == 128);
}
