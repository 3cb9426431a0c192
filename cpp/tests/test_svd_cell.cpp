#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr std::int64_t kUsers = 5;
constexpr std::int64_t kItems = 12;

// The inputs of a cell, and a slow copy of what the kernel should do to them.
struct Cell {
  std::int64_t factors;
  std::int64_t stride;
  bool biased;
  bool implicit;
  std::vector<float> users, items, sums, user_biases, item_biases, values;
  std::vector<std::int32_t> event_users, event_items;
  std::vector<std::int32_t> slot_users{4, 0, 3, 1, 2};

  Cell(std::int64_t n_factors, bool with_biases, bool with_sums)
      : factors(n_factors),
        stride((n_factors + kRowMultiple - 1) / kRowMultiple * kRowMultiple),
        biased(with_biases),
        implicit(with_sums),
        users(padded(kUsers, 1)),
        items(padded(kItems, 2)),
        sums(padded(kUsers, 3)),
        user_biases(reference::random_matrix(kUsers, 1, 4, 0.3F)),
        item_biases(reference::random_matrix(kItems, 1, 5, 0.3F)) {
    RandomStream random{6, 0};
    const auto csr = reference::random_csr(kUsers, kItems, 9, 8);
    for (std::int32_t u = 0; u < kUsers; ++u)
      for (const std::int32_t item : csr.view().row(u)) {
        event_users.push_back(u);
        event_items.push_back(item);
        values.push_back(static_cast<float>(1 + reference::draw(random, 5)));
      }
  }

  [[nodiscard]] std::vector<float> padded(std::int64_t rows, std::uint64_t seed) const {
    const auto values_of = reference::random_matrix(rows, factors, seed, 0.3F);
    std::vector<float> out(static_cast<std::size_t>(rows * stride), 0.0F);
    for (std::int64_t r = 0; r < rows; ++r)
      std::copy_n(values_of.data() + r * factors, factors, out.data() + r * stride);
    return out;
  }

  [[nodiscard]] SvdCellArgs args() {
    SvdCellArgs a{};
    a.user_factors = users.data();
    a.item_factors = items.data();
    a.implicit_sums = implicit ? sums.data() : nullptr;
    a.slot_users = implicit ? slot_users.data() : nullptr;
    a.user_biases = biased ? user_biases.data() : nullptr;
    a.item_biases = biased ? item_biases.data() : nullptr;
    a.stride = stride;
    a.event_users = event_users.data();
    a.event_items = event_items.data();
    a.event_values = values.data();
    a.n_events = static_cast<std::int64_t>(values.size());
    a.mean = 3.5F;
    a.user_rate = 0.02F;
    a.item_rate = 0.03F;
    a.implicit_rate = 0.04F;
    a.user_bias_rate = 0.05F;
    a.item_bias_rate = 0.06F;
    a.user_regularization = 0.1F;
    a.item_regularization = 0.2F;
    a.implicit_regularization = 0.3F;
    a.user_bias_regularization = 0.4F;
    a.item_bias_regularization = 0.5F;
    return a;
  }
};

struct Naive {
  std::vector<double> users, items, sums, user_biases, item_biases;
  double squares = 0.0;

  explicit Naive(const Cell& cell)
      : users(cell.users.begin(), cell.users.end()),
        items(cell.items.begin(), cell.items.end()),
        sums(cell.sums.begin(), cell.sums.end()),
        user_biases(cell.user_biases.begin(), cell.user_biases.end()),
        item_biases(cell.item_biases.begin(), cell.item_biases.end()) {}

  static void step(double& x, float rate, float penalty, double gradient) {
    x += static_cast<double>(rate) * (gradient - static_cast<double>(penalty) * x);
  }

  void run(const Cell& cell, const SvdCellArgs& args) {
    for (std::size_t e = 0; e < cell.values.size(); ++e) {
      const auto slot = static_cast<std::size_t>(cell.event_users[e]);
      const std::size_t user =
          cell.implicit ? static_cast<std::size_t>(cell.slot_users[slot]) : slot;
      const auto item = static_cast<std::size_t>(cell.event_items[e]);
      double error = static_cast<double>(cell.values[e]) - static_cast<double>(args.mean);
      if (cell.biased) error -= user_biases[user] + item_biases[item];
      const auto stride = static_cast<std::size_t>(cell.stride);
      for (std::size_t k = 0; k < stride; ++k)
        error -= items[item * stride + k] *
                 (users[user * stride + k] + (cell.implicit ? sums[slot * stride + k] : 0.0));
      squares += error * error;
      for (std::size_t k = 0; k < stride; ++k) {
        double& p = users[user * stride + k];
        double& q = items[item * stride + k];
        double& s = sums[slot * stride + k];
        const double old = q;
        step(q, args.item_rate, args.item_regularization, error * (p + (cell.implicit ? s : 0.0)));
        step(p, args.user_rate, args.user_regularization, error * old);
        if (cell.implicit) step(s, args.implicit_rate, args.implicit_regularization, error * old);
      }
      if (cell.biased) {
        step(user_biases[user], args.user_bias_rate, args.user_bias_regularization, error);
        step(item_biases[item], args.item_bias_rate, args.item_bias_regularization, error);
      }
    }
  }
};

void check_close(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]));
  CHECK(worst < 1e-5);
}

}  // namespace

TEST_CASE("an SVD cell does what the double-precision oracle does") {
  for (const std::int64_t factors : {1, 7, 15, 16, 17, 33, 64, 80, 97, 100, 128, 130})
    for (const bool biased : {false, true})
      for (const bool implicit : {false, true}) {
        CAPTURE(factors);
        CAPTURE(biased);
        CAPTURE(implicit);
        Cell cell(factors, biased, implicit);
        const SvdCellArgs args = cell.args();
        Naive naive(cell);
        naive.run(cell, args);
        CHECK(kernels().svd_cell(&args) == doctest::Approx(naive.squares).epsilon(1e-5));
        check_close(cell.users, naive.users);
        check_close(cell.items, naive.items);
        check_close(cell.sums, naive.sums);
        check_close(cell.user_biases, naive.user_biases);
        check_close(cell.item_biases, naive.item_biases);
      }
}

TEST_CASE("decay that gathers in scales is the same decay") {
  for (const std::int64_t factors : {1, 16, 33, 100, 130})
    for (const bool biased : {false, true})
      for (const float penalty : {0.0F, 0.2F, 15.0F}) {  // 0.55 of the row a step: scales run down
        CAPTURE(factors);
        CAPTURE(penalty);
        Cell cell(factors, biased, false);
        SvdCellArgs args = cell.args();
        args.user_regularization = penalty;
        args.item_regularization = penalty;
        Naive naive(cell);
        naive.run(cell, args);
        std::vector<float> scales(static_cast<std::size_t>(kItems));
        for (std::size_t i = 0; i < scales.size(); ++i) {
          scales[i] = i % 3 == 0 ? 1.0F : i % 3 == 1 ? 0.25F : 0.001F;
          for (std::int64_t k = 0; k < cell.stride; ++k)
            cell.items[i * static_cast<std::size_t>(cell.stride) + static_cast<std::size_t>(k)] /=
                scales[i];
        }
        const std::vector<float> before = scales;
        args.item_scales = scales.data();
        CHECK(kernels().svd_cell(&args) == doctest::Approx(naive.squares).epsilon(1e-5));
        if (penalty > 0.0F) CHECK(scales != before);
        for (std::size_t i = 0; i < scales.size(); ++i)
          for (std::int64_t k = 0; k < cell.stride; ++k)
            cell.items[i * static_cast<std::size_t>(cell.stride) + static_cast<std::size_t>(k)] *=
                scales[i];
        check_close(cell.users, naive.users);
        check_close(cell.items, naive.items);
        check_close(cell.user_biases, naive.user_biases);
        check_close(cell.item_biases, naive.item_biases);
      }
}

TEST_CASE("rows are gathered and spread as the double-precision oracle does it") {
  for (const std::int64_t factors : reference::kOddSizes) {
    CAPTURE(factors);
    Cell cell(factors, false, true);
    const std::vector<std::int32_t> items{3, 11, 0, 7, 1, 2, 4, 5, 6, 8, 9};
    std::vector<float> out(static_cast<std::size_t>(cell.stride), 9.0F);
    kernels().gather_rows(cell.items.data(), cell.stride, items.data(),
                          static_cast<std::int64_t>(items.size()), 0.5F, out.data());
    std::vector<double> expected(out.size(), 0.0);
    for (const std::int32_t item : items)
      for (std::size_t k = 0; k < out.size(); ++k)
        expected[k] +=
            0.5 * static_cast<double>(cell.items[static_cast<std::size_t>(item * cell.stride) + k]);
    check_close(out, expected);

    std::vector<double> rows(cell.items.begin(), cell.items.end());
    const std::vector<float> decays{0.9F, 0.5F, 1.0F, 0.0F, -1.0F};
    for (std::size_t e = 0; e < cell.event_items.size(); ++e)
      for (std::size_t k = 0; k < out.size(); ++k) {
        const auto slot = static_cast<std::size_t>(cell.event_users[e]);
        double& x = rows[static_cast<std::size_t>(cell.event_items[e] * cell.stride) + k];
        x = static_cast<double>(decays[slot]) * x +
            static_cast<double>(cell.sums[slot * out.size() + k]);
      }
    kernels().spread_rows(
        cell.items.data(), cell.stride, cell.event_users.data(), cell.event_items.data(),
        static_cast<std::int64_t>(cell.event_items.size()), decays.data(), cell.sums.data());
    check_close(cell.items, rows);
  }
}
