#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "penchant/svdpp.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Rated {
  reference::Csr csr;
  std::vector<float> values;
  std::int64_t n_items = 0;

  [[nodiscard]] Ratings view() const { return {csr.view(), values}; }
};

// Ratings with a taste to learn: high where the parities of user and item agree.
Rated two_tastes(std::int64_t users, std::int64_t items, std::uint32_t longest) {
  Rated rated{reference::random_csr(users, items, longest, 5), {}, items};
  for (std::int64_t u = 0; u < users; ++u)
    for (const std::int32_t item : rated.csr.view().row(u))
      rated.values.push_back((u + item) % 2 == 0 ? 4.5F : 2.5F);
  return rated;
}

struct Model {
  std::vector<float> users, items, implicit, user_biases, item_biases;
  std::int32_t epochs = 0;
  std::vector<SvdEpoch> history;
  bool operator==(const Model& other) const {
    return users == other.users && items == other.items && implicit == other.implicit &&
           user_biases == other.user_biases && item_biases == other.item_biases;
  }
};

Model first(const Rated& rated, std::int64_t factors) {
  const std::int64_t n_users = rated.csr.view().rows();
  return {reference::random_matrix(n_users, factors, 1, 0.1F),
          reference::random_matrix(rated.n_items, factors, 2, 0.1F),
          reference::random_matrix(rated.n_items, factors, 3, 0.1F),
          std::vector<float>(static_cast<std::size_t>(n_users), 0.0F),
          std::vector<float>(static_cast<std::size_t>(rated.n_items), 0.0F),
          0,
          {}};
}

Model train(const Rated& rated, std::int64_t factors, const SvdppParams& params, bool plusplus,
            const std::function<bool(const SvdEpoch&)>& on_epoch = {},
            const CancelCheck& cancelled = {}) {
  const std::int64_t n_users = rated.csr.view().rows();
  Model model = first(rated, factors);
  const SvdppFactors views{{{model.users.data(), n_users, factors},
                            {model.items.data(), rated.n_items, factors},
                            model.user_biases.data(),
                            model.item_biases.data()},
                           {model.implicit.data(), rated.n_items, factors}};
  const auto report = [&](const SvdEpoch& epoch) {
    model.history.push_back(epoch);
    return !on_epoch || on_epoch(epoch);
  };
  model.epochs = plusplus ? fit_svdpp(rated.view(), views, params, report, cancelled)
                          : fit_svd(rated.view(), views.svd, params.svd, report, cancelled);
  return model;
}

SvdppParams quick(int threads = 2) {
  SvdppParams params;
  params.svd.epochs = 4;
  params.svd.mean = 3.5F;
  params.svd.num_threads = threads;
  params.svd.users = {0.02F, 0.03F};
  params.svd.items = {0.03F, 0.02F};
  params.svd.user_biases = {0.01F, 0.05F};
  params.svd.item_biases = {0.015F, 0.04F};
  params.implicit = {0.025F, 0.01F};
  return params;
}

// One user's ratings in order, every implicit row moved at every one of them (the cost that SVD++
// is known for). Items are unbiased and ascending, as they are in a cell.
struct NaiveUser {
  std::vector<double> p, q, y;
  double bias = 0.0;
  std::vector<double> item_biases;

  void run(const Rated& rated, const std::vector<std::int32_t>& order, const SvdppParams& params,
           std::size_t factors) {
    const auto items = rated.csr.view().row(0);
    const double root = std::sqrt(static_cast<double>(items.size()));
    const auto step = [](double& x, const SgdGroup& group, double gradient) {
      x += static_cast<double>(group.learning_rate) *
           (gradient - static_cast<double>(group.regularization) * x);
    };
    for (const std::int32_t entry : order) {
      const auto item = static_cast<std::size_t>(items[static_cast<std::size_t>(entry)]);
      std::vector<double> sum(factors, 0.0);
      for (const std::int32_t j : items)
        for (std::size_t k = 0; k < factors; ++k)
          sum[k] += y[static_cast<std::size_t>(j) * factors + k] / root;
      double error = static_cast<double>(rated.values[static_cast<std::size_t>(entry)]) -
                     static_cast<double>(params.svd.mean) - bias - item_biases[item];
      for (std::size_t k = 0; k < factors; ++k) error -= q[item * factors + k] * (p[k] + sum[k]);
      for (std::size_t k = 0; k < factors; ++k) {
        const double old = q[item * factors + k];
        step(q[item * factors + k], params.svd.items, error * (p[k] + sum[k]));
        step(p[k], params.svd.users, error * old);
        for (const std::int32_t j : items)
          step(y[static_cast<std::size_t>(j) * factors + k], params.implicit, error * old / root);
      }
      step(bias, params.svd.user_biases, error);
      step(item_biases[item], params.svd.item_biases, error);
    }
  }
};

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

double distance(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]));
  return worst;
}

}  // namespace

TEST_CASE("the same bits for any number of threads") {
  const Rated rated = two_tastes(900, 700, 120);
  REQUIRE(svd_grid_size(900, 700, rated.view().matrix.entries(), 33) > 3);
  for (const bool plusplus : {false, true}) {
    const Model one = train(rated, 33, quick(1), plusplus);
    for (const int threads : {2, 3, 8}) {
      const Model other = train(rated, 33, quick(threads), plusplus);
      CHECK(one == other);
      REQUIRE(other.history.size() == one.history.size());
      CHECK(one.history.back().loss == other.history.back().loss);
      CHECK(one.history.back().rmse == other.history.back().rmse);
    }
  }
}

TEST_CASE("SVD++ makes the steps of the naive algorithm") {
  for (const std::size_t factors : {1U, 7U, 16U, 33U}) {
    Rated rated{{}, {}, 30};
    rated.csr.add_row({1, 4, 12, 28});
    rated.values = {5, 3, 4, 1};
    SvdppParams params = quick();
    params.svd.epochs = 1;
    const Model start = first(rated, static_cast<std::int64_t>(factors));
    const Model model = train(rated, static_cast<std::int64_t>(factors), params, true);
    // The blocks that the items are dealt into decide which of them come first.
    std::vector<std::int32_t> order{0, 1, 2, 3};
    double closest = 1.0;
    do {
      NaiveUser naive{doubles(start.users), doubles(start.items), doubles(start.implicit), 0.0,
                      std::vector<double>(30, 0.0)};
      naive.run(rated, order, params, factors);
      closest = std::min(closest,
                         std::max({distance(model.users, naive.p), distance(model.items, naive.q),
                                   distance(model.implicit, naive.y),
                                   distance(model.item_biases, naive.item_biases)}));
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(closest < 1e-6);
    CHECK(model.implicit[0] == start.implicit[0]);  // not rated
    CHECK(model.implicit[factors] != start.implicit[factors]);
  }
}

// Decays that take more than half of a row cannot gather in scales.
TEST_CASE("SVD makes the steps of the naive algorithm, also where decays are large") {
  for (const SgdGroup& group : {SgdGroup{0.03F, 0.02F}, SgdGroup{0.9F, 0.7F}}) {
    Rated rated{{}, {}, 30};
    rated.csr.add_row({1, 4, 12, 28});
    rated.values = {5, 3, 4, 1};
    SvdppParams params = quick();
    params.svd.epochs = 2;
    params.svd.users = params.svd.items = group;
    params.implicit = {0.0F, 0.0F};
    const Model start = first(rated, 9);
    const Model model = train(rated, 9, params, false);
    std::vector<std::int32_t> order{0, 1, 2, 3};
    double closest = 1.0;
    do {
      NaiveUser naive{doubles(start.users), doubles(start.items), std::vector<double>(270, 0.0),
                      0.0, std::vector<double>(30, 0.0)};
      naive.run(rated, order, params, 9);
      naive.run(rated, order, params, 9);
      closest = std::min(closest,
                         std::max({distance(model.users, naive.p), distance(model.items, naive.q),
                                   distance(model.item_biases, naive.item_biases)}));
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(closest < 1e-5);
  }
}

TEST_CASE("the loss has the penalty of every group, for each rating") {
  const Rated rated = two_tastes(40, 30, 20);
  for (const bool plusplus : {false, true}) {
    SvdppParams params = quick();
    params.svd.epochs = 1;
    for (SgdGroup* group : {&params.svd.users, &params.svd.items, &params.implicit})
      group->learning_rate = 0.0F;
    const Model model = train(rated, 7, params, plusplus);
    const auto square = [](const std::vector<float>& rows, std::int64_t r, std::int64_t width) {
      return reference::score(rows.data() + r * width, rows.data() + r * width, 0.0, width);
    };
    const auto weight = [](const SgdGroup& group) {
      return static_cast<double>(group.regularization);
    };
    double penalty = 0.0;
    double n_ratings = 0.0;
    for (std::int64_t u = 0; u < 40; ++u) {
      double implicit = 0.0;
      for (const std::int32_t j : rated.csr.view().row(u)) implicit += square(model.implicit, j, 7);
      for (const std::int32_t item : rated.csr.view().row(u)) {
        n_ratings += 1.0;
        penalty += weight(params.svd.users) * square(model.users, u, 7) +
                   weight(params.svd.items) * square(model.items, item, 7) +
                   weight(params.svd.user_biases) * square(model.user_biases, u, 1) +
                   weight(params.svd.item_biases) * square(model.item_biases, item, 1);
        if (plusplus) penalty += weight(params.implicit) * implicit;
      }
    }
    const SvdEpoch& epoch = model.history.front();
    CHECK(epoch.loss ==
          doctest::Approx(epoch.rmse * epoch.rmse + penalty / n_ratings).epsilon(1e-6));
  }
}

TEST_CASE("training separates two tastes") {
  const Rated rated = two_tastes(300, 120, 60);
  for (const bool plusplus : {false, true}) {
    SvdppParams params = quick();
    params.svd.epochs = 60;
    const Model model = train(rated, 8, params, plusplus);
    CHECK(model.history.front().rmse > 0.9);
    CHECK(model.history.back().rmse < 0.3);
    CHECK(model.history.back().loss < model.history.front().loss);
    CHECK(model.history.back().loss >
          model.history.back().rmse * model.history.back().rmse);  // the penalty
  }
}

TEST_CASE("the rmse of an epoch is that of the ratings before their steps") {
  const Rated rated = two_tastes(40, 30, 20);
  SvdppParams params = quick();
  params.svd.epochs = 1;
  for (SgdGroup* group : {&params.svd.users, &params.svd.items, &params.svd.user_biases,
                          &params.svd.item_biases, &params.implicit})
    *group = {0.0F, 0.0F};
  const Model model = train(rated, 7, params, false);
  double squares = 0.0;
  std::size_t entry = 0;
  for (std::int64_t u = 0; u < 40; ++u)
    for (const std::int32_t item : rated.csr.view().row(u)) {
      const double error =
          static_cast<double>(rated.values[entry++]) -
          reference::score(model.users.data() + u * 7, model.items.data() + item * 7, 3.5, 7);
      squares += error * error;
    }
  const double expected = std::sqrt(squares / static_cast<double>(entry));
  CHECK(model.history.front().rmse == doctest::Approx(expected).epsilon(1e-5));
  CHECK(model.history.front().loss == doctest::Approx(expected * expected).epsilon(1e-5));
}

TEST_CASE("every parameter changes what is learnt") {
  const Rated rated = two_tastes(60, 50, 30);
  const Model plain = train(rated, 8, quick(), true);
  const auto changed = [&](const std::function<void(SvdppParams&)>& change) {
    SvdppParams params = quick();
    change(params);
    return !(train(rated, 8, params, true) == plain);
  };
  for (SgdGroup SvdParams::* group :
       {&SvdParams::users, &SvdParams::items, &SvdParams::user_biases, &SvdParams::item_biases}) {
    CHECK(changed([&](SvdppParams& p) { (p.svd.*group).learning_rate *= 1.5F; }));
    CHECK(changed([&](SvdppParams& p) { (p.svd.*group).regularization *= 1.5F; }));
  }
  CHECK(changed([](SvdppParams& p) { p.implicit.learning_rate = 0.1F; }));
  CHECK(changed([](SvdppParams& p) { p.implicit.regularization = 0.1F; }));
  CHECK(changed([](SvdppParams& p) { p.svd.learning_rate_decay = 0.5F; }));
  CHECK(changed([](SvdppParams& p) { p.svd.mean = 3.0F; }));
  CHECK(changed([](SvdppParams& p) { p.svd.seed = 1; }));
  CHECK(changed([](SvdppParams& p) { p.svd.epochs = 3; }));
}

TEST_CASE("the callback and the cancel check end the training") {
  const Rated rated = two_tastes(300, 200, 60);
  for (const bool plusplus : {false, true}) {
    const Model stopped =
        train(rated, 8, quick(), plusplus, [](const SvdEpoch& epoch) { return epoch.epoch < 2; });
    CHECK(stopped.epochs == 2);
    SvdppParams params = quick();
    params.svd.epochs = 1000000;
    bool learnt = false;
    const Model cancelled = train(
        rated, 7, params, plusplus, [&](const SvdEpoch&) { return learnt = true; },
        [&] { return learnt; });
    CHECK(cancelled.epochs < 1000000);
    for (const float x : cancelled.users) CHECK(std::isfinite(x));
    CHECK_FALSE(cancelled.users == first(rated, 7).users);
  }
}

TEST_CASE("degenerate ratings: one user, one item, users without ratings") {
  Rated one{{}, {4.0F}, 1};
  one.csr.add_row({0});
  Rated empty{{}, {}, 5};
  empty.csr.add_row({});
  empty.csr.add_row({});
  const Rated nobody{{}, {}, 5};
  for (const bool plusplus : {false, true}) {
    const Model model = train(one, 3, quick(), plusplus);
    CHECK(std::isfinite(model.history.back().loss));
    CHECK(model.user_biases[0] > 0.0F);
    CHECK(train(empty, 3, quick(), plusplus).history.back().rmse == 0.0);
    CHECK(train(nobody, 3, quick(), plusplus).epochs == 0);
  }
}

TEST_CASE("implicit sums are scaled by the root of the history's length") {
  const auto csr = reference::random_csr(50, 20, 12, 3);
  const auto implicit = reference::random_matrix(20, 7, 4);
  std::vector<float> out(50 * 7, -1.0F);
  implicit_sums(csr.view(), {implicit.data(), 20, 7}, {out.data(), 50, 7}, 2);
  std::vector<double> expected(out.size(), 0.0);
  for (std::int64_t h = 0; h < 50; ++h) {
    const auto row = csr.view().row(h);
    for (const std::int32_t item : row)
      for (std::size_t k = 0; k < 7; ++k)
        expected[static_cast<std::size_t>(h) * 7 + k] +=
            static_cast<double>(implicit[static_cast<std::size_t>(item) * 7 + k]) /
            std::sqrt(static_cast<double>(row.size()));
  }
  for (std::size_t i = 0; i < out.size(); ++i)
    REQUIRE(static_cast<double>(out[i]) == doctest::Approx(expected[i]).epsilon(1e-5).scale(1.0));
}

TEST_CASE("the grid grows with the data and never outgrows it") {
  CHECK(svd_grid_size(1, 1, 1, 64) == 1);
  CHECK(svd_grid_size(943, 1682, 80000, 100) == 8);
  CHECK(svd_grid_size(70000, 10000, 4800000, 100) == 8);
  CHECK(svd_grid_size(1000000, 1000000, 100000000, 128) == 128);
}
