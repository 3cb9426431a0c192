// Walker's alias method: O(n) to build, O(1) to draw from any discrete distribution.
#pragma once

#include <cstdint>
#include <span>

namespace penchant {

// Fills `threshold` and `alias` (both as long as `weights`, which are >= 0 with a positive sum) so
// that with bits uniform in [0, 2^32) and slot uniform in [0, n):
//   draw = bits < threshold[slot] ? slot : alias[slot]        (Vose 1991)
// has probability weights[draw] / sum(weights).
void build_alias_table(std::span<const double> weights, std::span<std::uint32_t> threshold,
                       std::span<std::int32_t> alias);

}  // namespace penchant
