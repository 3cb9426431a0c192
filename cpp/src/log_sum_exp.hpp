// Sums of exponentials that cannot overflow; internal to the indexes.
#pragma once

#include <cmath>
#include <limits>

#include "penchant/simd.hpp"

namespace penchant {

// Adds up sums of exponentials relative to the largest so far (Milakov and Gimelshein, Online
// normalizer calculation for softmax, 2018). The bits depend on the order of the additions.
class LogSumExp {
 public:
  void add(double largest, double sum) {
    if (sum == 0.0) return;
    if (largest > largest_) {
      sum_ = sum_ == 0.0 ? 0.0 : sum_ * std::exp(largest_ - largest);
      largest_ = largest;
    }
    sum_ += sum * std::exp(largest - largest_);
  }
  void add(const ExpSum& part) {
    add(static_cast<double>(part.largest), static_cast<double>(part.sum));
  }
  void add(const LogSumExp& other) { add(other.largest_, other.sum_); }

  // Logarithm of the whole sum; -infinity of nothing.
  [[nodiscard]] double value() const { return largest_ + std::log(sum_); }

 private:
  double largest_ = -std::numeric_limits<double>::infinity();
  double sum_ = 0.0;
};

}  // namespace penchant
