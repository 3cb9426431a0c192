// A list of items that is asked, again and again, for ones that it mostly does not hold.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penchant {

class Members {
 public:
  // `items` ascend, and stay alive.
  void start(std::span<const std::int32_t> items) {
    items_ = items;
    const std::size_t n_bits =
        std::clamp<std::size_t>(std::bit_ceil(16 * items.size()), 64, kMostBits);
    last_bit_ = static_cast<std::uint32_t>(n_bits - 1);
    bits_.assign(n_bits / 64, 0);
    for (const std::int32_t item : items) word(item) |= bit(item);
  }

  [[nodiscard]] bool holds(std::int32_t item) const {
    return (bits_[place(item)] & bit(item)) != 0 &&
           std::binary_search(items_.begin(), items_.end(), item);
  }

 private:
  static constexpr std::size_t kMostBits = 1 << 15;

  [[nodiscard]] std::size_t place(std::int32_t item) const {
    return (static_cast<std::uint32_t>(item) & last_bit_) / 64;
  }
  [[nodiscard]] std::uint64_t& word(std::int32_t item) { return bits_[place(item)]; }
  static std::uint64_t bit(std::int32_t item) {
    return std::uint64_t{1} << (static_cast<std::uint32_t>(item) % 64);
  }

  std::span<const std::int32_t> items_;
  std::uint32_t last_bit_ = 0;
  std::vector<std::uint64_t> bits_;  // an item whose bit is not set is not in the list
};

}  // namespace penchant
