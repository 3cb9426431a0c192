#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "../src/gibbs_side.hpp"
#include "penchant/bayesian_svd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Rated {
  reference::Csr by_user;
  reference::Csr by_item;
  std::vector<float> values;
  std::vector<float> values_by_item;

  [[nodiscard]] Ratings view() const { return {by_user.view(), values}; }
};

// High where the parities of user and item agree.
Rated two_tastes(std::int64_t users, std::int64_t items, std::uint32_t longest) {
  const auto stars = [](std::int64_t u, std::int64_t i) { return (u + i) % 2 == 0 ? 4.5F : 2.5F; };
  Rated rated{reference::random_csr(users, items, longest, 5), {}, {}, {}};
  std::vector<std::set<std::int32_t>> columns(static_cast<std::size_t>(items));
  for (std::int32_t u = 0; u < users; ++u)
    for (const std::int32_t item : rated.by_user.view().row(u)) {
      rated.values.push_back(stars(u, item));
      columns[static_cast<std::size_t>(item)].insert(u);
    }
  for (std::int32_t item = 0; item < items; ++item) {
    rated.by_item.add_row(columns[static_cast<std::size_t>(item)]);
    for (const std::int32_t u : columns[static_cast<std::size_t>(item)])
      rated.values_by_item.push_back(stars(u, item));
  }
  return rated;
}

struct Model {
  std::vector<float> users, items, user_biases, item_biases;
  std::vector<float> kept{0.0F};
  std::int32_t epochs = 0;
  std::vector<SvdEpoch> history;
  bool operator==(const Model& other) const {
    return users == other.users && items == other.items && user_biases == other.user_biases &&
           item_biases == other.item_biases && kept == other.kept;
  }
};

Model train(const Rated& rated, std::int64_t factors, std::int64_t n_samples,
            const BayesianSvdParams& params, const CancelCheck& cancelled = {},
            std::int32_t last_epoch = 1000) {
  const std::int64_t n_users = rated.by_user.view().rows();
  const std::int64_t n_items = rated.by_item.view().rows();
  const std::int64_t width = factors * n_samples;
  Model model;
  model.users.resize(static_cast<std::size_t>(n_users * width));
  model.items.resize(static_cast<std::size_t>(n_items * width));
  model.user_biases.resize(static_cast<std::size_t>(n_users));
  model.item_biases.resize(static_cast<std::size_t>(n_items));
  const BayesianSvdSamples samples{{model.users.data(), n_users, width},
                                   {model.items.data(), n_items, width},
                                   model.user_biases.data(),
                                   model.item_biases.data(),
                                   factors,
                                   model.kept.data()};
  model.epochs = fit_bayesian_svd(
      rated.view(), samples, params,
      [&](const SvdEpoch& epoch) {
        model.history.push_back(epoch);
        return epoch.epoch < last_epoch;
      },
      cancelled);
  return model;
}

BayesianSvdParams quick(int threads = 2) {
  BayesianSvdParams params;
  params.epochs = 6;
  params.burn_in = 2;
  params.mean = 3.5;
  params.num_threads = threads;
  return params;
}

}  // namespace

TEST_CASE("a row's mean and spread are those of the normal equations") {
  constexpr double kPrecision = 2.0;
  constexpr double kMean = 3.5;
  const auto never = [](int) { return false; };
  for (const std::int64_t factors : {1, 7, 15, 16, 17, 33}) {
    CAPTURE(factors);
    const Rated rated = two_tastes(9, 12, 8);
    GibbsSide users(rated.by_user.view(), rated.values, rated.by_item.view(), factors, false, 1);
    GibbsSide items(rated.by_item.view(), rated.values_by_item, rated.by_user.view(), factors,
                    false, 1);
    users.start(1, 1);
    items.start(1, 2);
    REQUIRE(users.sample_rows(items, kPrecision, kMean, {1, 1, 1}, never));
    const std::int64_t dim = factors + 1;
    const auto row = rated.by_user.view().row(2);
    const auto first = static_cast<std::size_t>(rated.by_user.indptr[2]);
    // At first the prior of every row is Normal(0, I).
    Eigen::MatrixXd matrix = Eigen::MatrixXd::Identity(dim, dim);
    Eigen::VectorXd right = Eigen::VectorXd::Zero(dim);
    for (std::size_t n = 0; n < row.size(); ++n) {
      Eigen::VectorXd design = items.rows().row(row[n]).transpose().cast<double>();
      const double target = static_cast<double>(rated.values[first + n]) - kMean - design[dim - 1];
      design[dim - 1] = 1.0;
      matrix += kPrecision * design * design.transpose();
      right += kPrecision * target * design;
    }
    const Eigen::MatrixXd covariance = matrix.inverse();
    const Eigen::VectorXd expected = covariance * right;
    CHECK((users.means().row(2).transpose().cast<double>() - expected).norm() < 1e-5);

    constexpr int kDraws = 3000;
    Eigen::MatrixXd spread = Eigen::MatrixXd::Zero(dim, dim);
    for (std::uint64_t draw = 0; draw < kDraws; ++draw) {
      users.start(1, 1);
      users.sample_rows(items, kPrecision, kMean, {1, 2 + draw, 1}, never);
      const Eigen::VectorXd difference = users.rows().row(2).transpose().cast<double>() - expected;
      spread += difference * difference.transpose() / kDraws;
    }
    CHECK((spread - covariance).cwiseAbs().maxCoeff() < 0.12);
  }
}

// Where ratings say nothing, rows are drawn from their prior, and a sweep keeps the joint
// distribution of prior and rows: the parameters then have the distribution of their own priors
// (Geweke, "Getting it right", JASA 2004). Any wrong conditional shows.
TEST_CASE("sweeps without information leave the priors of the prior") {
  constexpr double kNothing = 1e-12;
  const auto never = [](int) { return false; };
  const Rated rated = two_tastes(6, 4, 3);
  for (const bool linked : {false, true}) {
    CAPTURE(linked);
    constexpr std::int64_t kDim = 2;
    GibbsSide users(rated.by_user.view(), rated.values, rated.by_item.view(), kDim - 1, linked, 1);
    GibbsSide items(rated.by_item.view(), rated.values_by_item, rated.by_user.view(), kDim - 1,
                    false, 1);
    users.start(1, 1);
    items.start(1, 2);
    constexpr int kSweeps = 60000;
    Eigen::MatrixXd lambda = Eigen::MatrixXd::Zero(kDim, kDim);
    double means = 0.0;
    double precision = 0.0;
    double precision_square = 0.0;
    double links = 0.0;
    for (std::uint64_t sweep = 1; sweep <= kSweeps; ++sweep) {
      users.sample_prior({1, sweep, 1});
      users.sample_rows(items, kNothing, 0.0, {1, sweep, 1}, never);
      lambda += users.lambda() / kSweeps;
      means += users.mu().dot(users.lambda() * users.mu()) / kSweeps;
      precision += users.link_precision() / kSweeps;
      precision_square += users.link_precision() * users.link_precision() / kSweeps;
      const Eigen::MatrixXd drawn = users.links().cast<double>();
      links +=
          users.link_precision() * (drawn * users.lambda() * drawn.transpose()).trace() / kSweeps;
    }
    // Lambda ~ Wishart(I, dim), mu ~ Normal(0, (2 Lambda)^-1), the precision of links ~
    // Gamma(1, 1), each link ~ Normal(0, (precision Lambda)^-1).
    CHECK((lambda / kDim - Eigen::MatrixXd::Identity(kDim, kDim)).cwiseAbs().maxCoeff() < 0.08);
    CHECK(means == doctest::Approx(0.5 * kDim).epsilon(0.05));
    if (!linked) continue;
    CHECK(precision == doctest::Approx(1.0).epsilon(0.1));
    CHECK(precision_square == doctest::Approx(2.0).epsilon(0.2));
    CHECK(links == doctest::Approx(4.0 * kDim).epsilon(0.05));
  }
}

TEST_CASE("a row's prior mean is mu plus its links over the root of their number") {
  const Rated rated = two_tastes(40, 30, 9);
  GibbsSide users(rated.by_user.view(), rated.values, rated.by_item.view(), 5, true, 2);
  users.start(4, 1);
  users.sample_prior({4, 1, 1});
  for (std::int64_t u = 0; u < 40; ++u) {
    const auto row = rated.by_user.view().row(u);
    Eigen::VectorXd sum = Eigen::VectorXd::Zero(6);
    for (const std::int32_t item : row) sum += users.links().row(item).transpose().cast<double>();
    const double root = std::sqrt(static_cast<double>(std::max<std::size_t>(row.size(), 1)));
    const Eigen::VectorXd expected = users.mu() + sum / root;
    CHECK((users.means().row(u).transpose().cast<double>() - expected).norm() < 1e-4);
  }
}

TEST_CASE("the precision of the noise is that of the errors") {
  RandomStream random{3, 0};
  double sum = 0.0;
  constexpr int kDraws = 20000;
  for (int n = 0; n < kDraws; ++n) sum += noise_precision(50.0, 80.0, &random) / kDraws;
  CHECK(sum == doctest::Approx(26.0 / 41.0).epsilon(0.01));
}

TEST_CASE("gamma numbers have their mean and variance") {
  for (const double shape : {0.5, 1.0, 3.7, 250.0}) {
    RandomStream random{17, 0};
    double sum = 0.0;
    double squares = 0.0;
    constexpr int kDraws = 100000;
    for (int n = 0; n < kDraws; ++n) {
      const double x = random_gamma(shape, &random);
      REQUIRE(x > 0.0);
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kDraws;
    CHECK(mean == doctest::Approx(shape).epsilon(0.02));
    CHECK(squares / kDraws - mean * mean == doctest::Approx(shape).epsilon(0.04));
  }
}

TEST_CASE("the squared error is that of the estimates") {
  const Rated rated = two_tastes(30, 20, 9);
  GibbsSide users(rated.by_user.view(), rated.values, rated.by_item.view(), 5, false, 2);
  GibbsSide items(rated.by_item.view(), rated.values_by_item, rated.by_user.view(), 5, false, 2);
  users.start(3, 1);
  items.start(3, 2);
  double expected = 0.0;
  std::size_t entry = 0;
  for (std::int32_t u = 0; u < 30; ++u)
    for (const std::int32_t i : rated.by_user.view().row(u)) {
      const Eigen::RowVectorXd user = users.rows().row(u).cast<double>();
      const Eigen::RowVectorXd item = items.rows().row(i).cast<double>();
      const double error = static_cast<double>(rated.values[entry++]) - 3.0 - user[5] - item[5] -
                           user.head(5).dot(item.head(5));
      expected += error * error;
    }
  CHECK(users.squared_error(items, 3.0) == doctest::Approx(expected).epsilon(1e-12));
  CHECK(items.squared_error(users, 3.0) == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("the same bits for any number of threads") {
  const Rated rated = two_tastes(300, 200, 60);
  const Model one = train(rated, 9, 2, quick(1));
  for (const int threads : {2, 3, 8}) {
    const Model other = train(rated, 9, 2, quick(threads));
    CHECK(one == other);
    CHECK(one.history.back().loss == other.history.back().loss);
  }
}

TEST_CASE("samples explain the ratings, and their mean does so better") {
  const Rated rated = two_tastes(300, 120, 60);
  BayesianSvdParams params = quick();
  params.epochs = 60;
  params.burn_in = 20;
  const Model model = train(rated, 4, 10, params);
  CHECK(model.kept[0] == 10.0F);
  CHECK(model.history.back().rmse < 0.3);
  CHECK(model.history.back().loss ==
        doctest::Approx(model.history.back().rmse * model.history.back().rmse));
  double squares = 0.0;
  std::size_t entry = 0;
  for (std::int32_t u = 0; u < 300; ++u)
    for (const std::int32_t i : rated.by_user.view().row(u)) {
      const double bias = 3.5 +
                          static_cast<double>(model.user_biases[static_cast<std::size_t>(u)]) +
                          static_cast<double>(model.item_biases[static_cast<std::size_t>(i)]);
      const double dot =
          reference::score(model.users.data() + u * 40, model.items.data() + i * 40, 0.0, 40);
      const double error = static_cast<double>(rated.values[entry++]) - bias - dot / 10.0;
      squares += error * error;
    }
  CHECK(std::sqrt(squares / static_cast<double>(entry)) < model.history.back().rmse);
}

TEST_CASE("every parameter changes what is sampled") {
  const Rated rated = two_tastes(60, 50, 30);
  const Model plain = train(rated, 5, 2, quick());
  const auto changed = [&](auto change) {
    BayesianSvdParams params = quick();
    change(params);
    return !(train(rated, 5, 2, params) == plain);
  };
  CHECK(changed([](BayesianSvdParams& p) { p.epochs = 7; }));
  CHECK(changed([](BayesianSvdParams& p) { p.burn_in = 3; }));
  CHECK(changed([](BayesianSvdParams& p) { p.user_links = false; }));
  CHECK(changed([](BayesianSvdParams& p) { p.item_links = false; }));
  CHECK(changed([](BayesianSvdParams& p) { p.mean = 3.0; }));
  CHECK(changed([](BayesianSvdParams& p) { p.seed = 1; }));
}

TEST_CASE("training that is stopped leaves the samples it has") {
  const Rated rated = two_tastes(100, 80, 30);
  const Model stopped = train(rated, 3, 2, quick(), {}, 1);
  CHECK(stopped.epochs == 1);
  CHECK(stopped.kept[0] == 1.0F);
  BayesianSvdParams params = quick();
  params.epochs = 1000000;
  int asked = 0;
  const Model cancelled = train(rated, 3, 2, params, [&] { return ++asked > 2; }, 1000000);
  CHECK(cancelled.epochs < 1000000);
  for (const float x : cancelled.users) CHECK(std::isfinite(x));
}

TEST_CASE("degenerate ratings: one user, one item, users without ratings") {
  Rated one;
  one.by_user.add_row({0});
  one.by_item.add_row({0});
  one.values = one.values_by_item = {4.0F};
  CHECK(std::isfinite(train(one, 3, 2, quick()).history.back().loss));
  Rated empty;
  empty.by_user.add_row({});
  empty.by_user.add_row({});
  empty.by_item.add_row({});
  CHECK(train(empty, 3, 2, quick()).history.back().rmse == 0.0);
  CHECK(train(Rated{}, 3, 2, quick()).epochs == 0);
}
