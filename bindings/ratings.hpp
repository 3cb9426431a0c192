// What the bindings of the rating models share.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <array>
#include <string>
#include <utility>

#include "arrays.hpp"
#include "interrupt.hpp"
#include "penchant/simd.hpp"
#include "penchant/svd.hpp"

namespace penchant::python {

using RatingEpoch = py::typing::Callable<bool(int, float, float)>;

inline Ratings rating_views(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
                            const Array<float>& values, std::int64_t users, std::int64_t items) {
  const Ratings ratings{csr({indptr, indices}, users, items, "ratings"), vector(values, "values")};
  check_length(ratings.values.size(), ratings.matrix.entries(), "values");
  for (std::size_t n = 0; n < ratings.values.size(); ++n)
    if (!std::isfinite(ratings.values[n]))
      fail("values[" + std::to_string(n) + "] is not a finite number");
  return ratings;
}

inline float* bias_data(std::optional<Array<float>>& biases, std::int64_t rows, const char* name) {
  if (!biases) return nullptr;
  check_length(vector(*biases, name).size(), rows, name);
  if (!biases->writeable()) fail(std::string(name) + " is read-only");
  return biases->mutable_data();
}

// Arrays that a kernel writes to, with their names: none may share memory with another.
using Written = std::vector<std::pair<const py::array*, const char*>>;

inline void check_all_apart(const Written& arrays) {
  for (std::size_t i = 0; i < arrays.size(); ++i)
    for (std::size_t j = i + 1; j < arrays.size(); ++j)
      check_apart(*arrays[i].first, *arrays[j].first, arrays[i].second, arrays[j].second);
}

inline SvdFactors svd_views(Array<float>& users, Array<float>& items,
                            std::optional<Array<float>>& user_biases,
                            std::optional<Array<float>>& item_biases, Written& written) {
  SvdFactors factors{mutable_matrix(users, "user_factors"), mutable_matrix(items, "item_factors"),
                     nullptr, nullptr};
  if (factors.users.cols != factors.items.cols)
    fail("user_factors and item_factors differ in their number of columns");
  if (factors.users.cols < 1 || factors.users.cols > kMaxFactors)
    fail("factors must be between 1 and " + std::to_string(kMaxFactors));
  check_rows_fit(factors.users.rows, "users");
  check_rows_fit(factors.items.rows, "items");
  if (user_biases.has_value() != item_biases.has_value())
    fail("give both user_biases and item_biases, or neither");
  factors.user_biases = bias_data(user_biases, factors.users.rows, "user_biases");
  factors.item_biases = bias_data(item_biases, factors.items.rows, "item_biases");
  written.emplace_back(&users, "user_factors");
  written.emplace_back(&items, "item_factors");
  if (user_biases) {
    written.emplace_back(&*user_biases, "user_biases");
    written.emplace_back(&*item_biases, "item_biases");
  }
  return factors;
}

inline void check_group(const SgdGroup& group) {
  if (!std::isfinite(group.learning_rate) || !std::isfinite(group.regularization))
    fail("hyperparameters must be finite numbers");
}

// Rates and penalties come as tuples in the order users, items, user biases, item biases.
inline SvdParams svd_params(std::int32_t epochs, const std::array<float, 4>& learning_rates,
                            const std::array<float, 4>& regularizations, float learning_rate_decay,
                            float mean, std::uint64_t seed, int num_threads) {
  SvdParams params;
  params.epochs = epochs;
  SgdGroup* const groups[] = {&params.users, &params.items, &params.user_biases,
                              &params.item_biases};
  for (std::size_t g = 0; g < 4; ++g) {
    *groups[g] = {learning_rates[g], regularizations[g]};
    check_group(*groups[g]);
  }
  params.learning_rate_decay = learning_rate_decay;
  params.mean = mean;
  params.seed = seed;
  params.num_threads = num_threads;
  if (epochs < 0) fail("epochs must be at least 0");
  if (!std::isfinite(mean) || !std::isfinite(learning_rate_decay))
    fail("hyperparameters must be finite numbers");
  return params;
}

// Runs `train(report, cancelled)` without the GIL; Ctrl-C becomes KeyboardInterrupt.
template <typename Train>
std::int32_t run_training(const RatingEpoch& on_epoch, const Train& train) {
  const auto report = [&](const SvdEpoch& epoch) {
    const py::gil_scoped_acquire acquire;
    return on_epoch(epoch.epoch, epoch.loss, epoch.rmse).template cast<bool>();
  };
  return run_kernel([&](const auto& cancelled) { return train(report, cancelled); });
}

}  // namespace penchant::python
