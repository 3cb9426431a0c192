#include "penchant/bpr.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "grid.hpp"
#include "penchant/alias_table.hpp"
#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "penchant/simd.hpp"
#include "stream_purposes.hpp"
#include "training.hpp"

namespace penchant {
namespace {

// Events between two looks at the cancel flag; a property of the data alone, since each such piece
// of a cell has its own random stream.
constexpr std::int64_t kBprEventsPerPiece = 8192;

// Alias tables of the item blocks, to draw by popularity from the items of a block.
class PopularDraws {
 public:
  PopularDraws(const CsrView& interactions, std::int64_t n_items, float exponent)
      : weights_(static_cast<std::size_t>(n_items)), threshold_(weights_.size()) {
    std::vector<double> counts(weights_.size(), 0.0);
    for (const std::int32_t item : interactions.indices)
      counts[static_cast<std::size_t>(item)] += 1.0;
    // An item without events counts as one, so that any exponent gives a finite weight.
    std::transform(counts.begin(), counts.end(), weights_.begin(), [&](double count) {
      return std::pow(std::max(count, 1.0), static_cast<double>(exponent));
    });
    alias_.resize(weights_.size());
  }

  void build(const Grid& grid, std::int32_t block) {
    const auto items = grid.items_of(block);
    std::vector<double> weights;
    weights.reserve(items.size());
    for (const std::int32_t item : items)
      weights.push_back(weights_[static_cast<std::size_t>(item)]);
    const std::size_t begin = grid.first_item_of(block);
    build_alias_table(weights, std::span(threshold_).subspan(begin, items.size()),
                      std::span(alias_).subspan(begin, items.size()));
  }

  [[nodiscard]] std::pair<const std::uint32_t*, const std::int32_t*> of(const Grid& grid,
                                                                        std::int32_t block) const {
    const std::size_t begin = grid.first_item_of(block);
    return {threshold_.data() + begin, alias_.data() + begin};
  }

 private:
  std::vector<double> weights_;
  std::vector<std::uint32_t> threshold_;
  std::vector<std::int32_t> alias_;
};

// Number of sums that a side of this many rows needs.
std::size_t adagrad_rows(const BprParams& params, std::int64_t rows) {
  return params.optimizer == BprOptimizer::kAdagrad ? static_cast<std::size_t>(rows) : 0;
}

class Trainer {
 public:
  Trainer(const CsrView& interactions, const BprFactors& factors, const BprParams& params,
          const CancelCheck& cancelled)
      : params_(params),
        grid_(interactions, {}, factors.items.rows,
              bpr_grid_size(factors.users.rows, factors.items.rows, factors.users.cols),
              {params.seed, kBprDealUsers, kBprDealItems}, params.num_threads),
        users_(factors.users),
        items_(factors.items),
        item_biases_(factors.item_biases),
        user_squares_(adagrad_rows(params, factors.users.rows), 0.0F),
        item_squares_(adagrad_rows(params, factors.items.rows), 0.0F),
        seen_(static_cast<std::size_t>(std::min(params.num_threads, grid_.size())),
              std::vector<std::uint8_t>(static_cast<std::size_t>(factors.items.rows), 0)),
        cancel_(cancelled) {
    if (params.negatives == NegativeSampling::kPopular)
      popular_.emplace(interactions, factors.items.rows, params.popularity_exponent);
  }

  // One pass over all events; nothing if it was cancelled on the way.
  std::optional<BprEpoch> run_epoch(std::int32_t epoch) {
    grid_.deal(epoch);
    const std::int32_t size = grid_.size();
    if (popular_)
      parallel_for(size, params_.num_threads, [&](std::int64_t block, int) {
        popular_->build(grid_, static_cast<std::int32_t>(block));
      });
    std::vector<BprCellResult> results(static_cast<std::size_t>(size) *
                                       static_cast<std::size_t>(size));
    for (std::int32_t step = 0; step < size && !cancel_.raised(0); ++step)
      parallel_for(size, params_.num_threads, [&](std::int64_t block, int thread) {
        const auto user_block = static_cast<std::int32_t>(block);
        const std::int32_t item_block = (user_block + step) % size;
        results[static_cast<std::size_t>(user_block * size + item_block)] =
            run_cell(epoch, user_block, item_block, thread);
      });
    users_.write_back(params_.num_threads);
    items_.write_back(params_.num_threads);
    if (cancel_.raised(0)) return std::nullopt;
    return summarize(epoch, results);
  }

 private:
  BprCellResult run_cell(std::int32_t epoch, std::int32_t user_block, std::int32_t item_block,
                         int thread) {
    const auto [first, last] = grid_.cell(user_block, item_block);
    BprCellArgs args = cell_args(epoch, item_block, thread);
    BprCellResult total{};
    const std::uint64_t cell =
        static_cast<std::uint64_t>(user_block) << 32 | static_cast<std::uint32_t>(item_block);
    std::uint64_t piece = 0;
    for (std::int64_t begin = first; begin < last && !cancel_.raised(thread); ++piece) {
      const std::int64_t end = end_of_piece(begin, last);
      args.event_users = grid_.event_users() + begin;
      args.event_items = grid_.event_items() + begin;
      args.n_events = end - begin;
      args.stream_key = stream_key(params_.seed ^ (std::uint64_t{kBprSgd} << 56),
                                   static_cast<std::uint64_t>(epoch), cell, piece);
      BprCellResult result{};
      kernels().bpr_cell(&args, &result);
      total.loss += result.loss;
      total.correct += result.correct;
      total.updates += result.updates;
      begin = end;
    }
    return total;
  }

  // A piece ends where a user ends: the kernel must see all items that a user has in the cell.
  [[nodiscard]] std::int64_t end_of_piece(std::int64_t begin, std::int64_t last) const {
    const std::int32_t* users = grid_.event_users();
    std::int64_t end = std::min(begin + kBprEventsPerPiece, last);
    while (end < last && users[end] == users[end - 1]) ++end;
    return end;
  }

  [[nodiscard]] BprCellArgs cell_args(std::int32_t epoch, std::int32_t item_block, int thread) {
    const auto items = grid_.items_of(item_block);
    const float progress = static_cast<float>(epoch - 1) / static_cast<float>(params_.epochs);
    BprCellArgs args{};
    args.user_factors = users_.data();
    args.item_factors = items_.data();
    args.item_biases = item_biases_;
    if (!user_squares_.empty()) {
      args.user_squares = user_squares_.data();
      args.item_squares = item_squares_.data();
    }
    args.stride = users_.stride();
    args.block_items = items.data();
    args.n_block_items = static_cast<std::uint32_t>(items.size());
    if (popular_) std::tie(args.alias_threshold, args.alias) = popular_->of(grid_, item_block);
    args.seen = seen_[static_cast<std::size_t>(thread)].data();
    args.learning_rate = params_.learning_rate * (1.0F - params_.learning_rate_decay * progress);
    args.user_regularization = params_.user_regularization;
    args.positive_regularization = params_.positive_regularization;
    args.negative_regularization = params_.negative_regularization;
    args.bias_regularization = params_.bias_regularization;
    args.n_candidates = params_.negatives == NegativeSampling::kDynamic ? params_.n_candidates : 1;
    return args;
  }

  // Cells are added in a fixed order, so the sums do not depend on the threads.
  [[nodiscard]] static BprEpoch summarize(std::int32_t epoch,
                                          const std::vector<BprCellResult>& results) {
    BprEpoch summary;
    summary.epoch = epoch;
    std::int64_t correct = 0;
    for (const BprCellResult& result : results) {
      summary.loss += result.loss;
      summary.updates += result.updates;
      correct += result.correct;
    }
    const auto updates = static_cast<double>(std::max<std::int64_t>(summary.updates, 1));
    summary.loss /= updates;
    summary.auc = static_cast<double>(correct) / updates;
    return summary;
  }

  BprParams params_;
  Grid grid_;
  std::optional<PopularDraws> popular_;
  PaddedRows users_;
  PaddedRows items_;
  float* item_biases_;
  std::vector<float> user_squares_;  // empty with plain SGD
  std::vector<float> item_squares_;
  std::vector<std::vector<std::uint8_t>> seen_;  // one array a thread
  CancelFlag cancel_;
};

}  // namespace

// An item block should fill about half a second-level cache of 1 MiB and offer some choice of
// negatives.
std::int32_t bpr_grid_size(std::int64_t n_users, std::int64_t n_items, std::int64_t factors) {
  constexpr std::int64_t kBlockBytes = std::int64_t{512} << 10;
  constexpr std::int64_t kMinItems = 256;
  const std::int64_t row_bytes = padded_columns(factors) * 4;
  const std::int64_t for_cache = std::max<std::int64_t>(n_items * row_bytes / kBlockBytes, 16);
  const std::int64_t most = std::min({std::int64_t{128}, n_items / kMinItems, n_users / 8});
  const std::int64_t size = std::clamp<std::int64_t>(for_cache, 1, std::max<std::int64_t>(most, 1));
  return static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint64_t>(size)));
}

std::int32_t fit_bpr(const CsrView& interactions, const BprFactors& factors,
                     const BprParams& params, const BprEpochCallback& on_epoch,
                     const CancelCheck& cancelled) {
  if (factors.users.rows == 0 || factors.items.rows == 0) return 0;
  BprParams fixed = params;  // asked once: the environment may change while we train
  fixed.num_threads = resolve_num_threads(params.num_threads);
  Trainer trainer(interactions, factors, fixed, cancelled);
  return run_epochs(trainer, params.epochs, on_epoch);
}

}  // namespace penchant
