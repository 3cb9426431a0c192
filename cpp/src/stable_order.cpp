#include "penchant/stable_order.hpp"

namespace penchant {
namespace {

template <typename Row>
void order_rows(std::span<const std::int32_t> codes, std::int64_t n_codes, std::int64_t n,
                const Row& row, std::span<std::int64_t> out) {
  const auto code = [&](std::int64_t i) {
    return static_cast<std::size_t>(codes[static_cast<std::size_t>(row(i))]);
  };
  std::vector<std::int64_t> next(static_cast<std::size_t>(n_codes) + 1, 0);
  for (std::int64_t i = 0; i < n; ++i) ++next[code(i) + 1];
  for (std::size_t c = 1; c < next.size(); ++c) next[c] += next[c - 1];
  for (std::int64_t i = 0; i < n; ++i) out[static_cast<std::size_t>(next[code(i)]++)] = row(i);
}

}  // namespace

void stable_order(std::span<const std::int32_t> codes, std::int64_t n_codes,
                  std::span<const std::int64_t> rows, std::span<std::int64_t> out) {
  order_rows(
      codes, n_codes, static_cast<std::int64_t>(rows.size()),
      [&](std::int64_t i) { return rows[static_cast<std::size_t>(i)]; }, out);
}

void stable_order(std::span<const std::int32_t> codes, std::int64_t n_codes,
                  std::span<std::int64_t> out) {
  order_rows(
      codes, n_codes, static_cast<std::int64_t>(codes.size()), [](std::int64_t i) { return i; },
      out);
}

}  // namespace penchant
