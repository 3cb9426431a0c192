#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#include "penchant/ials.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Problem {
  reference::Csr csr;
  std::vector<float> confidence;    // empty: all 1
  std::vector<float> item_weights;  // empty: all 1
  std::int64_t n_items = 0;

  [[nodiscard]] IalsEvents events() const {
    return {csr.view(), confidence.empty() ? nullptr : confidence.data()};
  }
  [[nodiscard]] const float* weights() const {
    return item_weights.empty() ? nullptr : item_weights.data();
  }
  [[nodiscard]] double weight(std::int64_t item) const {
    return item_weights.empty() ? 1.0
                                : static_cast<double>(item_weights[static_cast<std::size_t>(item)]);
  }
};

// Rows of all lengths up to the whole catalogue, an empty one among them.
Problem make_problem(std::int64_t users, std::int64_t items, bool weighted, float largest = 5.0F) {
  Problem problem;
  problem.n_items = items;
  problem.csr = reference::random_csr(users, items, static_cast<std::uint32_t>(2 * items), 5);
  problem.csr.add_row({});
  if (!weighted) return problem;
  RandomStream random{9, 0};
  for (std::size_t i = 0; i < problem.csr.indices.size(); ++i)
    problem.confidence.push_back(
        0.5F + largest * static_cast<float>(reference::draw(random, 1000)) / 1000.0F);
  for (std::int64_t i = 0; i < items; ++i)
    problem.item_weights.push_back(0.2F + static_cast<float>(reference::draw(random, 16)) / 10.0F);
  return problem;
}

struct Model {
  std::vector<float> users;
  std::vector<float> items;
  std::int64_t factors = 0;
  std::int32_t epochs = 0;
  std::vector<double> losses;
  bool operator==(const Model& other) const {
    return users == other.users && items == other.items && losses == other.losses;
  }
};

Model start(const Problem& problem, std::int64_t factors) {
  return {reference::random_matrix(problem.csr.view().rows(), factors, 1, 0.3F),
          reference::random_matrix(problem.n_items, factors, 2, 0.3F),
          factors,
          0,
          {}};
}

Model train(const Problem& problem, std::int64_t factors, const IalsParams& params,
            const IalsEpochCallback& on_epoch = {}, const std::function<bool()>& cancelled = {}) {
  Model model = start(problem, factors);
  const IalsFactors views{{model.users.data(), problem.csr.view().rows(), factors},
                          {model.items.data(), problem.n_items, factors},
                          problem.weights()};
  model.epochs = fit_ials(
      problem.events(), views, params,
      [&](const IalsEpoch& epoch) {
        model.losses.push_back(epoch.loss);
        return !on_epoch || on_epoch(epoch);
      },
      cancelled);
  return model;
}

Matrix to_matrix(const std::vector<float>& values, std::int64_t cols) {
  const auto rows = static_cast<std::int64_t>(values.size()) / cols;
  Matrix matrix(rows, cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      matrix(r, c) = static_cast<double>(values[static_cast<std::size_t>(r * cols + c)]);
  return matrix;
}

// Every cell of the matrix: confidence of observed pairs, 0 elsewhere.
Matrix dense_confidence(const Problem& problem) {
  const auto view = problem.csr.view();
  Matrix dense = Matrix::Zero(view.rows(), problem.n_items);
  std::size_t at = 0;
  for (std::int64_t u = 0; u < view.rows(); ++u)
    for (const std::int32_t item : view.row(u)) {
      dense(u, item) =
          problem.confidence.empty() ? 1.0 : static_cast<double>(problem.confidence[at]);
      ++at;
    }
  return dense;
}

double ridge(const IalsParams& params, double observed, double unobserved) {
  return static_cast<double>(params.regularization) *
         std::pow(observed + unobserved, static_cast<double>(params.regularization_exponent));
}

double user_ridge(const Problem& problem, const IalsParams& params, const Matrix& c,
                  std::int64_t user) {
  double total = 0.0;
  for (std::int64_t i = 0; i < problem.n_items; ++i) total += problem.weight(i);
  return ridge(params, static_cast<double>((c.row(user).array() > 0.0).count()),
               static_cast<double>(params.unobserved_weight) * total);
}

double item_ridge(const Problem& problem, const IalsParams& params, const Matrix& c,
                  std::int64_t item) {
  return ridge(params, static_cast<double>((c.col(item).array() > 0.0).count()),
               static_cast<double>(params.unobserved_weight) * problem.weight(item) *
                   static_cast<double>(c.rows()));
}

// The normal equations of every user over every cell, and the same of every item.
void reference_epoch(const Problem& problem, const IalsParams& params, Matrix& users,
                     Matrix& items) {
  const Matrix c = dense_confidence(problem);
  const double a = static_cast<double>(params.unobserved_weight);
  const auto d = users.cols();
  for (std::int64_t u = 0; u < users.rows(); ++u) {
    Matrix system = user_ridge(problem, params, c, u) * Matrix::Identity(d, d);
    Eigen::VectorXd right = Eigen::VectorXd::Zero(d);
    for (std::int64_t i = 0; i < items.rows(); ++i) {
      system += (c(u, i) + a * problem.weight(i)) * items.row(i).transpose() * items.row(i);
      right += c(u, i) * items.row(i).transpose();
    }
    users.row(u) = system.ldlt().solve(right).transpose();
  }
  for (std::int64_t i = 0; i < items.rows(); ++i) {
    Matrix system = item_ridge(problem, params, c, i) * Matrix::Identity(d, d);
    Eigen::VectorXd right = Eigen::VectorXd::Zero(d);
    for (std::int64_t u = 0; u < users.rows(); ++u) {
      system += (c(u, i) + a * problem.weight(i)) * users.row(u).transpose() * users.row(u);
      right += c(u, i) * users.row(u).transpose();
    }
    items.row(i) = system.ldlt().solve(right).transpose();
  }
}

double reference_loss(const Problem& problem, const IalsParams& params, const Matrix& users,
                      const Matrix& items) {
  const Matrix c = dense_confidence(problem);
  const Matrix scores = users * items.transpose();
  double loss = 0.0;
  for (std::int64_t u = 0; u < users.rows(); ++u)
    for (std::int64_t i = 0; i < items.rows(); ++i)
      loss += c(u, i) * std::pow(1.0 - scores(u, i), 2) +
              static_cast<double>(params.unobserved_weight) * problem.weight(i) *
                  std::pow(scores(u, i), 2);
  for (std::int64_t u = 0; u < users.rows(); ++u)
    loss += user_ridge(problem, params, c, u) * users.row(u).squaredNorm();
  for (std::int64_t i = 0; i < items.rows(); ++i)
    loss += item_ridge(problem, params, c, i) * items.row(i).squaredNorm();
  return loss;
}

IalsParams quick(IalsSolver solver, int threads = 2) {
  IalsParams params;
  params.epochs = 3;
  params.regularization = 0.02F;
  params.regularization_exponent = 0.7F;
  params.solver = solver;
  params.num_threads = threads;
  return params;
}

// Scores do not depend on the basis that the factors are given in.
double largest_difference(const Model& model, const Matrix& users, const Matrix& items) {
  const Matrix scores =
      to_matrix(model.users, model.factors) * to_matrix(model.items, model.factors).transpose();
  return (scores - users * items.transpose()).cwiseAbs().maxCoeff();
}

constexpr IalsSolver kSolvers[] = {IalsSolver::kAuto, IalsSolver::kCholesky, IalsSolver::kSubspace,
                                   IalsSolver::kGradients};

}  // namespace

TEST_CASE("exact rows are those of the normal equations over all cells") {
  for (const std::int64_t factors : reference::kOddSizes)
    for (const std::int64_t items : {std::int64_t{1}, std::int64_t{20}, std::int64_t{130}})
      for (const bool weighted : {false, true}) {
        CAPTURE(factors);
        CAPTURE(items);
        const Problem problem = make_problem(40, items, weighted);
        const IalsParams params = quick(IalsSolver::kCholesky);
        const Model model = train(problem, factors, params);
        Model first = start(problem, factors);
        Matrix w = to_matrix(first.users, factors);
        Matrix h = to_matrix(first.items, factors);
        for (int epoch = 0; epoch < params.epochs; ++epoch) reference_epoch(problem, params, w, h);
        CHECK(largest_difference(model, w, h) < 2e-4);
        CHECK(model.losses.back() ==
              doctest::Approx(reference_loss(problem, params, w, h)).epsilon(1e-4));
      }
}

TEST_CASE("the loss is the objective of the factors, whatever the solver") {
  for (const IalsSolver solver : kSolvers)
    for (const std::int64_t factors : {7, 33, 97}) {
      CAPTURE(static_cast<int>(solver));
      const Problem problem = make_problem(60, 150, true);
      IalsParams params = quick(solver);
      params.block_size = 16;
      const Model model = train(problem, factors, params);
      const double expected = reference_loss(problem, params, to_matrix(model.users, factors),
                                             to_matrix(model.items, factors));
      CHECK(model.losses.back() == doctest::Approx(expected).epsilon(1e-4));
    }
}

TEST_CASE("the loss never rises, and all solvers come to the same") {
  const Problem problem = make_problem(60, 150, true);
  IalsParams params = quick(IalsSolver::kCholesky);
  params.epochs = 40;
  const double exact = train(problem, 33, params).losses.back();
  for (const IalsSolver solver : kSolvers) {
    params.solver = solver;
    params.block_size = 16;
    const Model model = train(problem, 33, params);
    for (std::size_t e = 1; e < model.losses.size(); ++e)
      CHECK(model.losses[e] <= model.losses[e - 1] * (1.0 + 1e-5));
    CHECK(model.losses.back() == doctest::Approx(exact).epsilon(0.01));
  }
}

TEST_CASE("enough conjugate gradient steps are exact") {
  const Problem problem = make_problem(50, 60, true);
  IalsParams params = quick(IalsSolver::kGradients);
  params.cg_steps = 200;
  const Model gradients = train(problem, 33, params);
  params.solver = IalsSolver::kCholesky;
  const Model exact = train(problem, 33, params);
  CHECK(gradients.losses.back() == doctest::Approx(exact.losses.back()).epsilon(1e-5));
}

TEST_CASE("large weights do not break single precision") {
  const Problem problem = make_problem(40, 130, true, 1e5F);
  for (const IalsSolver solver : {IalsSolver::kCholesky, IalsSolver::kSubspace}) {
    IalsParams params = quick(solver);
    params.unobserved_weight = 1.0F;
    const Model model = train(problem, 33, params);
    const Matrix w = to_matrix(model.users, 33);
    Matrix best = w;
    Matrix h = to_matrix(model.items, 33);
    const double loss = reference_loss(problem, params, w, h);
    CHECK(model.losses.back() == doctest::Approx(loss).epsilon(1e-2));
    reference_epoch(problem, params, best, h);
    CHECK(loss < 1.5 * model.losses.front());
  }
}

TEST_CASE("the same bits for any number of threads") {
  const Problem problem = make_problem(700, 150, true);
  for (const IalsSolver solver : kSolvers) {
    const Model one = train(problem, 33, quick(solver, 1));
    for (const int threads : {2, 3, 8}) CHECK(one == train(problem, 33, quick(solver, threads)));
  }
}

TEST_CASE("more factors than users and items") {
  const Problem problem = make_problem(5, 4, false);
  for (const IalsSolver solver : kSolvers)
    for (const float regularization : {0.0F, 0.1F}) {
      IalsParams params = quick(solver);
      params.regularization = regularization;
      const Model model = train(problem, 97, params);
      for (const float x : model.users) CHECK(std::isfinite(x));
      for (const float x : model.items) CHECK(std::isfinite(x));
      CHECK(std::isfinite(model.losses.back()));
    }
}

TEST_CASE("a fold-in finds the row that exact training gives") {
  for (const bool weighted : {false, true}) {
    const Problem problem = make_problem(50, 130, weighted);
    IalsParams params = quick(IalsSolver::kCholesky);
    const Model model = train(problem, 33, params);
    const IalsFoldIn fold_in({model.items.data(), 130, 33}, problem.weights(), params);
    std::vector<float> users(model.users.size());
    fold_in.solve(problem.events(), nullptr, {users.data(), problem.csr.view().rows(), 33}, 2);
    Matrix w = to_matrix(model.users, 33);
    Matrix h = to_matrix(model.items, 33);
    reference_epoch(problem, params, w, h);
    CHECK((to_matrix(users, 33) - w).cwiseAbs().maxCoeff() < 1e-4);
  }
}

TEST_CASE("items are folded in from their users") {
  const Problem problem = make_problem(50, 130, true);
  const IalsParams params = quick(IalsSolver::kCholesky);
  const Model model = train(problem, 33, params);
  const std::int64_t n_users = problem.csr.view().rows();
  const Matrix c = dense_confidence(problem);
  Problem transposed;
  for (std::int64_t i = 0; i < problem.n_items; ++i) {
    std::set<std::int32_t> row;
    for (std::int64_t u = 0; u < n_users; ++u)
      if (c(u, i) > 0.0) {
        row.insert(static_cast<std::int32_t>(u));
        transposed.confidence.push_back(static_cast<float>(c(u, i)));
      }
    transposed.csr.add_row(row);
  }
  const IalsFoldIn fold_in({model.users.data(), n_users, 33}, nullptr, params);
  std::vector<float> items(model.items.size());
  fold_in.solve(transposed.events(), problem.weights(), {items.data(), problem.n_items, 33}, 1);
  // The items were solved last, with these very users.
  CHECK((to_matrix(items, 33) - to_matrix(model.items, 33)).cwiseAbs().maxCoeff() < 1e-4);
}

TEST_CASE("the callback ends the training") {
  const Model model = train(make_problem(20, 30, false), 8, quick(IalsSolver::kAuto),
                            [](const IalsEpoch& epoch) { return epoch.epoch < 2; });
  CHECK(model.epochs == 2);
  CHECK(model.losses.size() == 2);
}

TEST_CASE("cancelling leaves factors of one basis") {
  const Problem problem = make_problem(3000, 150, false);
  for (const int when : {1, 2, 3, 4, 6}) {
    IalsParams params = quick(IalsSolver::kCholesky, 3);
    params.epochs = 100000;
    int asked = 0;
    const auto caller = std::this_thread::get_id();
    bool elsewhere = false;
    const Model model = train(problem, 16, params, {}, [&] {
      elsewhere = elsewhere || std::this_thread::get_id() != caller;
      return ++asked >= when;
    });
    CHECK_FALSE(elsewhere);
    CHECK(model.epochs < 100000);
    if (model.losses.empty()) continue;
    // Whatever was solved and whatever was not, pairs score far better than chance.
    const double loss =
        reference_loss(problem, params, to_matrix(model.users, 16), to_matrix(model.items, 16));
    CHECK(loss < 1.2 * model.losses.front());
  }
}

TEST_CASE("every parameter changes what is learnt") {
  const Problem problem = make_problem(60, 150, true);
  const auto changed = [&](IalsSolver solver, const std::function<void(IalsParams&)>& change) {
    IalsParams params = quick(solver);
    params.block_size = 16;
    const Model base = train(problem, 33, params);
    change(params);
    return !(train(problem, 33, params) == base);
  };
  CHECK(changed(IalsSolver::kAuto, [](IalsParams& p) { p.regularization = 0.3F; }));
  CHECK(changed(IalsSolver::kAuto, [](IalsParams& p) { p.regularization_exponent = 0.0F; }));
  CHECK(changed(IalsSolver::kAuto, [](IalsParams& p) { p.unobserved_weight = 0.01F; }));
  CHECK(changed(IalsSolver::kAuto, [](IalsParams& p) { p.cg_steps = 1; }));
  CHECK(changed(IalsSolver::kAuto, [](IalsParams& p) { p.solver = IalsSolver::kCholesky; }));
  CHECK(changed(IalsSolver::kGradients, [](IalsParams& p) { p.cg_steps = 1; }));
  CHECK(changed(IalsSolver::kSubspace, [](IalsParams& p) { p.block_size = 32; }));
}

TEST_CASE("confidence and item weights count") {
  const Problem problem = make_problem(60, 30, true);
  Problem plain = problem;
  plain.confidence.clear();
  Problem unweighted = problem;
  unweighted.item_weights.clear();
  const Model model = train(problem, 8, quick(IalsSolver::kAuto));
  CHECK_FALSE(model == train(plain, 8, quick(IalsSolver::kAuto)));
  CHECK_FALSE(model == train(unweighted, 8, quick(IalsSolver::kAuto)));
}

TEST_CASE("nobody, nothing, and users without items") {
  Problem nobody;
  nobody.n_items = 5;
  CHECK(train(nobody, 3, quick(IalsSolver::kAuto)).epochs == 0);
  Problem empty;
  empty.n_items = 5;
  empty.csr.add_row({});
  const Model model = train(empty, 3, quick(IalsSolver::kAuto));
  CHECK(model.losses.back() == 0.0);
  for (const float x : model.users) CHECK(x == 0.0F);
}
