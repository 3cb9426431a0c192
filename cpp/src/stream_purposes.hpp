#pragma once

#include <cstdint>

namespace penchant {

// What the factor models draw random numbers for: each purpose has a stream of its own under a
// seed. The numbers are part of what a seed means, so they never change.
enum StreamPurpose : std::uint64_t {
  kBprDealUsers = 1,
  kBprDealItems = 2,
  kBprSgd = 3,
  kSvdDealUsers = 4,
  kSvdDealItems = 5,
  kSvdppDealUsers = 6,
  kSvdppDealItems = 7,
  kBprFoldIn = 8,
};

}  // namespace penchant
