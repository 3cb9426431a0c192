#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "penchant/alias_table.hpp"
#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr std::int64_t kUsers = 5;
constexpr std::int64_t kItems = 40;
constexpr int kDrawsAhead = 4;
constexpr int kEventsPerDraw = 8;

// A cell's inputs, and a slow copy of what the kernel should do to them, in double precision.
struct Cell {
  std::int64_t factors;
  std::int64_t stride;
  bool biased;
  std::int32_t n_candidates;
  std::vector<float> users;
  std::vector<float> items;
  std::vector<float> biases;
  bool adagrad = false;
  std::vector<float> user_squares = std::vector<float>(kUsers, 0.5F);
  std::vector<float> item_squares = std::vector<float>(kItems, 0.25F);
  std::vector<std::int32_t> event_users;
  std::vector<std::int32_t> event_items;
  std::vector<std::int32_t> block_items;
  std::vector<std::uint32_t> threshold;
  std::vector<std::int32_t> alias;

  Cell(std::int64_t n_factors, bool with_biases, std::int32_t candidates, bool popular)
      : factors(n_factors),
        stride((n_factors + kRowMultiple - 1) / kRowMultiple * kRowMultiple),
        biased(with_biases),
        n_candidates(candidates),
        biases(reference::random_matrix(kItems, 1, 3, 0.3F)) {
    users = padded(reference::random_matrix(kUsers, factors, 1, 0.3F), kUsers);
    items = padded(reference::random_matrix(kItems, factors, 2, 0.3F), kItems);
    const auto csr = reference::random_csr(kUsers, kItems, 12, 8);
    for (std::int32_t u = 0; u < kUsers; ++u)
      for (const std::int32_t item : csr.view().row(u)) {
        event_users.push_back(u);
        event_items.push_back(item);
      }
    for (std::int32_t item = 0; item < kItems; ++item) block_items.push_back(kItems - 1 - item);
    if (popular) {
      std::vector<double> weights;
      for (std::int64_t i = 0; i < kItems; ++i) weights.push_back(1.0 / static_cast<double>(1 + i));
      threshold.resize(weights.size());
      alias.resize(weights.size());
      build_alias_table(weights, threshold, alias);
    }
  }

  [[nodiscard]] std::vector<float> padded(const std::vector<float>& rows, std::int64_t n) const {
    std::vector<float> out(static_cast<std::size_t>(n * stride), 0.0F);
    for (std::int64_t r = 0; r < n; ++r)
      std::copy_n(rows.data() + r * factors, factors, out.data() + r * stride);
    return out;
  }

  [[nodiscard]] BprCellArgs args(std::vector<std::uint8_t>& seen) {
    BprCellArgs a{};
    a.user_factors = users.data();
    a.item_factors = items.data();
    a.item_biases = biased ? biases.data() : nullptr;
    if (adagrad) {
      a.user_squares = user_squares.data();
      a.item_squares = item_squares.data();
    }
    a.stride = stride;
    a.event_users = event_users.data();
    a.event_items = event_items.data();
    a.n_events = static_cast<std::int64_t>(event_users.size());
    a.block_items = block_items.data();
    a.n_block_items = static_cast<std::uint32_t>(block_items.size());
    a.alias_threshold = threshold.empty() ? nullptr : threshold.data();
    a.alias = threshold.empty() ? nullptr : alias.data();
    a.seen = seen.data();
    a.learning_rate = 0.05F;
    a.user_regularization = 0.1F;
    a.positive_regularization = 0.2F;
    a.negative_regularization = 0.3F;
    a.bias_regularization = 0.4F;
    a.n_candidates = n_candidates;
    a.stream_key = 99;
    return a;
  }
};

class NaiveCell {
 public:
  NaiveCell(const Cell& cell, const BprCellArgs& args)
      : cell_(cell),
        args_(args),
        users(cell.users.begin(), cell.users.end()),
        items(cell.items.begin(), cell.items.end()),
        biases(cell.biases.begin(), cell.biases.end()),
        user_squares(cell.user_squares.begin(), cell.user_squares.end()),
        item_squares(cell.item_squares.begin(), cell.item_squares.end()),
        random_{args.stream_key, 0} {
    for (int i = 0; i < kDrawsAhead; ++i) ahead_.push_back(draw());
    if (args.n_candidates > 1)
      for (auto& set : candidates_) redraw(set);
  }

  void run() {
    for (std::size_t e = 0; e < cell_.event_users.size(); ++e) {
      const std::int32_t user = cell_.event_users[e];
      std::set<std::int32_t> seen;
      for (std::size_t i = 0; i < cell_.event_users.size(); ++i)
        if (cell_.event_users[i] == user) seen.insert(cell_.event_items[i]);
      std::int32_t negative = args_.n_candidates > 1 ? best_candidate(user, seen) : -1;
      while (negative < 0) {
        const std::int32_t item = ahead_.front();
        ahead_.erase(ahead_.begin());
        ahead_.push_back(draw());
        if (seen.count(item) == 0) negative = item;
      }
      update(user, cell_.event_items[e], negative);
    }
  }

 private:
  const Cell& cell_;
  const BprCellArgs& args_;

 public:
  std::vector<double> users;
  std::vector<double> items;
  std::vector<double> biases;
  std::vector<double> user_squares;
  std::vector<double> item_squares;
  double loss = 0.0;
  std::int64_t correct = 0;

 private:
  std::int32_t draw() {
    const std::uint64_t bits = next_u64(&random_);
    std::uint32_t slot = below(static_cast<std::uint32_t>(bits >> 32), args_.n_block_items);
    if (!cell_.threshold.empty() && static_cast<std::uint32_t>(bits) >= cell_.threshold[slot])
      slot = static_cast<std::uint32_t>(cell_.alias[slot]);
    return cell_.block_items[slot];
  }

  void redraw(std::vector<std::int32_t>& set) {
    set.clear();
    for (std::int32_t i = 0; i < args_.n_candidates; ++i) set.push_back(draw());
  }

  double score(std::int32_t user, std::int32_t item) const {
    double sum = cell_.biased ? biases[static_cast<std::size_t>(item)] : 0.0;
    for (std::int64_t k = 0; k < cell_.factors; ++k)
      sum += users[static_cast<std::size_t>(user * cell_.stride + k)] *
             items[static_cast<std::size_t>(item * cell_.stride + k)];
    return sum;
  }

  std::int32_t best_candidate(std::int32_t user, const std::set<std::int32_t>& seen) {
    if (uses_++ == kEventsPerDraw) {
      redraw(candidates_[current_]);
      current_ = 1 - current_;
      uses_ = 1;
    }
    std::int32_t best = -1;
    for (const std::int32_t item : candidates_[current_])
      if (seen.count(item) == 0 && (best < 0 || score(user, item) > score(user, best))) best = item;
    return best;
  }

  // The learning rate of a row, before its gradient is added to what it has gathered.
  double rate(std::vector<double>& squares, std::int32_t row, double gradient) const {
    const auto base = static_cast<double>(args_.learning_rate);
    if (!cell_.adagrad) return base;
    double& gathered = squares[static_cast<std::size_t>(row)];
    const double found = base / std::sqrt(1.0 + gathered);
    gathered += gradient * gradient;
    return found;
  }

  void update(std::int32_t user, std::int32_t positive, std::int32_t negative) {
    const double margin = score(user, positive) - score(user, negative);
    const double probability = 1.0 / (1.0 + std::exp(-margin));
    const double gradient = 1.0 - probability;
    const double u_rate = rate(user_squares, user, gradient);
    const double p_rate = rate(item_squares, positive, gradient);
    const double n_rate = rate(item_squares, negative, gradient);
    for (std::int64_t k = 0; k < cell_.factors; ++k) {
      double& u = users[static_cast<std::size_t>(user * cell_.stride + k)];
      double& p = items[static_cast<std::size_t>(positive * cell_.stride + k)];
      double& n = items[static_cast<std::size_t>(negative * cell_.stride + k)];
      const double old = u;
      u += u_rate * (gradient * (p - n) - static_cast<double>(args_.user_regularization) * u);
      p += p_rate * (gradient * old - static_cast<double>(args_.positive_regularization) * p);
      n += n_rate * (-gradient * old - static_cast<double>(args_.negative_regularization) * n);
    }
    if (cell_.biased) {
      double& p = biases[static_cast<std::size_t>(positive)];
      double& n = biases[static_cast<std::size_t>(negative)];
      p += p_rate * (gradient - static_cast<double>(args_.bias_regularization) * p);
      n += n_rate * (-gradient - static_cast<double>(args_.bias_regularization) * n);
    }
    loss -= std::log(probability);
    correct += margin > 0.0;
  }

  RandomStream random_;
  std::vector<std::int32_t> ahead_;
  std::vector<std::int32_t> candidates_[2];
  int current_ = 0;
  int uses_ = 0;
};

void check_close(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]));
  CHECK(worst < 1e-5);
}

void check_cell(Cell cell) {
  std::vector<std::uint8_t> seen(kItems, 0);
  const BprCellArgs args = cell.args(seen);
  NaiveCell naive(cell, args);
  naive.run();
  BprCellResult result{};
  kernels().bpr_cell(&args, &result);
  check_close(cell.users, naive.users);
  check_close(cell.items, naive.items);
  check_close(cell.biases, naive.biases);
  check_close(cell.user_squares, naive.user_squares);
  check_close(cell.item_squares, naive.item_squares);
  CHECK(result.updates == static_cast<std::int64_t>(cell.event_users.size()));
  CHECK(result.correct == naive.correct);
  CHECK(result.loss == doctest::Approx(naive.loss).epsilon(1e-5));
  CHECK(seen == std::vector<std::uint8_t>(kItems, 0));
}

}  // namespace

TEST_CASE("a BPR cell does what the double-precision oracle does") {
  for (const std::int64_t factors : {1, 7, 15, 16, 17, 33, 64, 97, 128})
    for (const bool biased : {false, true})
      for (const std::int32_t candidates : {1, 5, 16, 33})
        for (const bool popular : {false, true}) {
          CAPTURE(factors);
          CAPTURE(biased);
          CAPTURE(candidates);
          CAPTURE(popular);
          Cell cell(factors, biased, candidates, popular);
          check_cell(cell);
          cell.adagrad = true;
          check_cell(cell);
        }
}

TEST_CASE("a user who has seen all but one item of the block always meets that one") {
  Cell cell(16, true, 1, false);
  cell.event_users.assign(kItems - 1, 2);
  cell.event_items.resize(kItems - 1);
  std::iota(cell.event_items.begin(), cell.event_items.end(), 1);
  const std::vector<float> before = cell.items;
  std::vector<std::uint8_t> seen(kItems, 0);
  BprCellArgs args = cell.args(seen);
  args.negative_regularization = 0.0F;
  BprCellResult result{};
  kernels().bpr_cell(&args, &result);
  CHECK(result.updates == kItems - 1);
  CHECK(cell.biases[0] <
        reference::random_matrix(kItems, 1, 3, 0.3F)[0]);  // pushed down every time
}

TEST_CASE("a user who has seen every item is skipped") {
  Cell cell(16, true, 8, false);
  cell.event_users.assign(kItems, 1);
  cell.event_items.resize(kItems);
  std::iota(cell.event_items.begin(), cell.event_items.end(), 0);
  const std::vector<float> before = cell.items;
  std::vector<std::uint8_t> seen(kItems, 0);
  const BprCellArgs args = cell.args(seen);
  BprCellResult result{};
  kernels().bpr_cell(&args, &result);
  CHECK(result.updates == 0);
  CHECK(cell.items == before);
}

TEST_CASE("extreme margins neither overflow nor lose the loss") {
  Cell cell(16, false, 1, false);
  for (float& x : cell.users) x *= 1000.0F;
  for (float& x : cell.items) x *= 1000.0F;
  std::vector<std::uint8_t> seen(kItems, 0);
  BprCellArgs args = cell.args(seen);
  args.learning_rate = 1e-9F;
  BprCellResult result{};
  kernels().bpr_cell(&args, &result);
  CHECK(std::isfinite(result.loss));
  CHECK(result.loss > 80.0);  // the margin is clamped at 80
  for (const float x : cell.items) CHECK(std::isfinite(x));
}
