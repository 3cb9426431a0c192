// Rows in the order of a code, by counting: linear in the rows, and in the codes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penchant {

// Lists the rows of `rows` by rising code, those of one code as they come in `rows`; out has room
// for as many. Codes are in [0, n_codes).
void stable_order(std::span<const std::int32_t> codes, std::int64_t n_codes,
                  std::span<const std::int64_t> rows, std::span<std::int64_t> out);

// The same of all rows, 0 to codes.size() - 1.
void stable_order(std::span<const std::int32_t> codes, std::int64_t n_codes,
                  std::span<std::int64_t> out);

}  // namespace penchant
