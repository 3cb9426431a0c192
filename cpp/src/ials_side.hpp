// One half of an epoch of implicit ALS: all rows of one side, the other fixed.
#pragma once

#include <cstdint>
#include <vector>

#include "ials_basis.hpp"
#include "penchant/ials.hpp"
#include "training.hpp"

namespace penchant {

// Sums over all solved rows, in a fixed order.
struct IalsSums {
  double error = 0.0;      // sum c (1 - w . h)^2
  double quadratic = 0.0;  // unobserved part and penalty of the solved side
  double penalty = 0.0;    // of the solved side
};

// l_u (or l_i) of a row of `n` entries whose cells weigh `unobserved` each, `other_total` in all.
double row_ridge(const IalsParams& params, std::int64_t n, double unobserved, double other_total);

// What the rows of one side are solved from.
class IalsSide {
 public:
  // `weights`: the share p of each row in the unobserved part, or null. `other_total`: the sum of p
  // over the other side.
  IalsSide(const IalsEvents& events, const float* weights, double other_total,
           const IalsParams& params);

  // Turns `rows` to the basis of `fixed`, in which `fixed_rows` are given, and solves them. Where
  // `cancel` is raised the rest is turned only.
  IalsSums solve(const float* fixed_rows, const IalsBasis& fixed, float* rows, int num_threads,
                 CancelFlag& cancel) const;

 private:
  enum class Method { kZero, kDual, kBlocks, kGradients };
  [[nodiscard]] Method method_of(std::int64_t n, std::int64_t stride) const;
  [[nodiscard]] std::int64_t block_size(std::int64_t stride) const;
  [[nodiscard]] std::int64_t scratch_size(std::int64_t stride) const;
  struct Shared {
    const float* fixed_rows;
    const IalsBasis* fixed;
    float* rows;
  };
  void turn_chunk(const Shared& shared, std::int64_t begin, std::int64_t end, bool all,
                  float* scratch) const;
  void solve_row(const Shared& shared, std::int64_t row, float* scratch, IalsSums* sums) const;

  IalsEvents events_;
  const float* weights_;
  double other_total_;
  IalsParams params_;
  std::vector<std::int64_t> chunks_;  // first rows of the tasks, and the end
  std::int64_t longest_ = 0;
};

}  // namespace penchant
