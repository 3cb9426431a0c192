#include "ials_side.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

// Entries and rows of a task: enough to be worth handing out, few enough to balance.
constexpr std::int64_t kChunkEntries = 4096;
constexpr std::int64_t kChunkRows = 256;

// Whether the dual system of a row (n^2 d / 2 + n^3 / 6 multiply-adds) is less work than turning
// the row and `steps` conjugate gradient steps (d^2 + 2 (steps + 1) n d, at about two thirds of the
// speed, since they read every row twice).
bool dual_is_cheaper(std::int64_t n, std::int64_t stride, std::int32_t steps) {
  const auto rows = static_cast<double>(n);
  const auto width = static_cast<double>(stride);
  const double dual = rows * rows * (width / 2.0 + rows / 6.0);
  return dual <= 1.5 * width * (width + 2.0 * (steps + 1.0) * rows);
}

}  // namespace

double row_ridge(const IalsParams& params, std::int64_t n, double unobserved, double other_total) {
  return static_cast<double>(params.regularization) *
         std::pow(static_cast<double>(n) + unobserved * other_total,
                  static_cast<double>(params.regularization_exponent));
}

IalsSide::IalsSide(const IalsEvents& events, const float* weights, double other_total,
                   const IalsParams& params)
    : events_(events), weights_(weights), other_total_(other_total), params_(params), chunks_{0} {
  std::int64_t entries = 0;
  for (std::int64_t r = 0; r < events.matrix.rows(); ++r) {
    const auto n = static_cast<std::int64_t>(events.matrix.row(r).size());
    longest_ = std::max(longest_, n);
    entries += n;
    if (entries >= kChunkEntries || r + 1 - chunks_.back() >= kChunkRows) {
      chunks_.push_back(r + 1);
      entries = 0;
    }
  }
  if (chunks_.back() != events.matrix.rows()) chunks_.push_back(events.matrix.rows());
}

IalsSide::Method IalsSide::method_of(std::int64_t n, std::int64_t stride) const {
  if (n == 0) return Method::kZero;
  switch (params_.solver) {
    case IalsSolver::kAuto:
      return dual_is_cheaper(n, stride, params_.cg_steps) ? Method::kDual : Method::kGradients;
    case IalsSolver::kCholesky:
    case IalsSolver::kSubspace:
      return n <= block_size(stride) ? Method::kDual : Method::kBlocks;
    case IalsSolver::kGradients:
      break;
  }
  return Method::kGradients;
}

std::int64_t IalsSide::block_size(std::int64_t stride) const {
  if (params_.solver != IalsSolver::kSubspace) return stride;
  const std::int64_t wanted = std::max<std::int64_t>(params_.block_size, 1);
  return std::min(stride, padded_columns(wanted));
}

// Rows of every method come up, the longest of each decides.
std::int64_t IalsSide::scratch_size(std::int64_t stride) const {
  std::int64_t dual = 0;  // short rows are dual
  while (dual < longest_ && method_of(dual + 1, stride) == Method::kDual) ++dual;
  const auto& own = kernels();
  return std::max({dual > 0 ? own.ials_dual_scratch(dual, stride) : 0,
                   own.ials_gradients_scratch(longest_, stride),
                   method_of(longest_, stride) == Method::kBlocks
                       ? own.ials_block_scratch(longest_, stride, block_size(stride))
                       : 0});
}

// Rows that are solved from where they are, or all, turned to the basis of the fixed side.
void IalsSide::turn_chunk(const Shared& shared, std::int64_t begin, std::int64_t end, bool all,
                          float* scratch) const {
  const std::int64_t stride = shared.fixed->stride();
  float* batch[IalsBasis::kRowsAtOnce];
  std::int64_t count = 0;
  for (std::int64_t r = begin; r < end; ++r) {
    const auto n = static_cast<std::int64_t>(events_.matrix.row(r).size());
    const Method method = method_of(n, stride);
    if (all || method == Method::kBlocks || method == Method::kGradients)
      batch[count++] = shared.rows + r * stride;
    if (count == IalsBasis::kRowsAtOnce || (r + 1 == end && count > 0)) {
      shared.fixed->turn(batch, count, scratch);
      count = 0;
    }
  }
}

void IalsSide::solve_row(const Shared& shared, std::int64_t row, float* scratch,
                         IalsSums* sums) const {
  const std::int64_t stride = shared.fixed->stride();
  const auto entries = events_.matrix.row(row);
  const auto n = static_cast<std::int64_t>(entries.size());
  const Method method = method_of(n, stride);
  float* to = shared.rows + row * stride;
  if (method == Method::kZero) {
    std::fill_n(to, stride, 0.0F);
    return;
  }
  const float share = weights_ == nullptr ? 1.0F : weights_[row];
  const double unobserved = static_cast<double>(params_.unobserved_weight) * share;
  IalsRowArgs args{};
  args.fixed = shared.fixed_rows;
  args.stride = stride;
  args.indices = entries.data();
  if (events_.confidence != nullptr)
    args.confidence = events_.confidence + (entries.data() - events_.matrix.indices.data());
  args.n = n;
  args.spectrum = shared.fixed->spectrum();
  args.weight = static_cast<float>(unobserved);
  args.ridge = static_cast<float>(row_ridge(params_, n, unobserved, other_total_));
  // Far below what matters, far above what rounding leaves of an eigenvalue that is zero.
  args.floor = std::max((args.weight * shared.fixed->largest() + args.ridge) * 1e-6F, 1e-20F);
  args.row = to;
  args.steps = params_.cg_steps;
  args.block_size = block_size(stride);
  args.scratch = scratch;
  IalsRowResult result{};
  if (method == Method::kDual) kernels().ials_dual(&args, &result);
  if (method == Method::kBlocks) kernels().ials_block(&args, &result);
  if (method == Method::kGradients) kernels().ials_gradients(&args, &result);
  sums->error += result.error;
  sums->quadratic += result.quadratic;
  sums->penalty += static_cast<double>(args.ridge) * result.norm;
}

IalsSums IalsSide::solve(const float* fixed_rows, const IalsBasis& fixed, float* rows,
                         int num_threads, CancelFlag& cancel) const {
  const auto tasks = static_cast<std::int64_t>(chunks_.size()) - 1;
  const std::int64_t size = std::max(scratch_size(fixed.stride()), fixed.scratch_size());
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(num_threads));
  std::vector<IalsSums> sums(static_cast<std::size_t>(tasks));
  const Shared shared{fixed_rows, &fixed, rows};
  parallel_for(tasks, num_threads, [&](std::int64_t task, int thread) {
    const std::int64_t begin = chunks_[static_cast<std::size_t>(task)];
    const std::int64_t end = chunks_[static_cast<std::size_t>(task) + 1];
    auto& own = scratch[static_cast<std::size_t>(thread)];
    own.resize(static_cast<std::size_t>(size));
    const bool stop = cancel.raised(thread);
    turn_chunk(shared, begin, end, stop, own.data());
    for (std::int64_t row = begin; row < end && !stop; ++row)
      solve_row(shared, row, own.data(), &sums[static_cast<std::size_t>(task)]);
  });
  IalsSums total;
  for (const IalsSums& part : sums) {
    total.error += part.error;
    total.quadratic += part.quadratic;
    total.penalty += part.penalty;
  }
  return total;
}

}  // namespace penchant
