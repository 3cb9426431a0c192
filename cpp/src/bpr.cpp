#include "penchant/bpr.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "penchant/alias_table.hpp"
#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

// Purposes of the random streams of one seed.
enum Stream : std::uint64_t { kDealUsers = 1, kDealItems = 2, kSgd = 3 };

// Events between two looks at the cancel flag; a property of the data alone, since each such piece
// of a cell has its own random stream.
constexpr std::int64_t kEventsPerPiece = 8192;

void shuffle(std::span<std::int32_t> values, RandomStream random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    const auto bits = static_cast<std::uint32_t>(next_u64(&random) >> 32);
    std::swap(values[i - 1], values[below(bits, static_cast<std::uint32_t>(i))]);
  }
}

// The grid of one training run: who sits in which block, and the events of each cell.
class Grid {
 public:
  Grid(const CsrView& interactions, std::int64_t n_items, std::int32_t size,
       const BprParams& params)
      : interactions_(interactions),
        size_(size),
        params_(params),
        users_(static_cast<std::size_t>(interactions.rows())),
        items_(static_cast<std::size_t>(n_items)),
        block_of_item_(static_cast<std::size_t>(n_items)),
        event_users_(static_cast<std::size_t>(interactions.entries())),
        event_items_(static_cast<std::size_t>(interactions.entries())),
        cell_begin_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size + 1)) {
    std::iota(users_.begin(), users_.end(), 0);
    std::iota(items_.begin(), items_.end(), 0);
    shuffle(users_, {stream_key(params.seed, kDealUsers), 0});
    // Users are dealt once, so the events of a user block always fill the same range.
    std::int64_t events = 0;
    for (std::int32_t block = 0; block < size; ++block) {
      first_event_.push_back(events);
      for (const std::int32_t user : users_of(block))
        events += static_cast<std::int64_t>(interactions.row(user).size());
    }
    if (params.negatives == NegativeSampling::kPopular) weigh_items();
  }

  // Deals the items anew and sorts every event into its cell.
  void deal(std::int32_t epoch) {
    shuffle(items_, {stream_key(params_.seed, kDealItems, static_cast<std::uint64_t>(epoch)), 0});
    for (std::int32_t block = 0; block < size_; ++block)
      for (const std::int32_t item : items_of(block))
        block_of_item_[static_cast<std::size_t>(item)] = static_cast<std::uint16_t>(block);
    parallel_for(size_, params_.num_threads, [&](std::int64_t block, int) {
      sort_events(static_cast<std::int32_t>(block));
      if (!weights_.empty()) build_alias(static_cast<std::int32_t>(block));
    });
  }

  [[nodiscard]] std::span<const std::int32_t> users_of(std::int32_t block) const {
    return part(users_, block);
  }
  [[nodiscard]] std::span<const std::int32_t> items_of(std::int32_t block) const {
    return part(items_, block);
  }
  // Events [first, last) of a cell in event_users() and event_items().
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> cell(std::int32_t user_block,
                                                           std::int32_t item_block) const {
    const std::size_t at =
        static_cast<std::size_t>(user_block) * static_cast<std::size_t>(size_ + 1) +
        static_cast<std::size_t>(item_block);
    return {cell_begin_[at], cell_begin_[at + 1]};
  }
  [[nodiscard]] const std::int32_t* event_users() const { return event_users_.data(); }
  [[nodiscard]] const std::int32_t* event_items() const { return event_items_.data(); }
  [[nodiscard]] std::int32_t size() const { return size_; }

  // Alias table of a block, null where draws are uniform.
  [[nodiscard]] std::pair<const std::uint32_t*, const std::int32_t*> alias_of(
      std::int32_t block) const {
    if (weights_.empty()) return {nullptr, nullptr};
    return {threshold_.data() + begin_of(items_, block), alias_.data() + begin_of(items_, block)};
  }

 private:
  [[nodiscard]] std::size_t begin_of(const std::vector<std::int32_t>& all,
                                     std::int32_t block) const {
    return all.size() * static_cast<std::size_t>(block) / static_cast<std::size_t>(size_);
  }
  [[nodiscard]] std::span<const std::int32_t> part(const std::vector<std::int32_t>& all,
                                                   std::int32_t block) const {
    const std::size_t begin = begin_of(all, block);
    return std::span(all).subspan(begin, begin_of(all, block + 1) - begin);
  }

  // An item without events counts as one, so that any exponent gives a finite weight.
  void weigh_items() {
    std::vector<double> counts(items_.size(), 0.0);
    for (const std::int32_t item : interactions_.indices)
      counts[static_cast<std::size_t>(item)] += 1.0;
    weights_.resize(items_.size());
    std::transform(counts.begin(), counts.end(), weights_.begin(), [&](double count) {
      return std::pow(std::max(count, 1.0), static_cast<double>(params_.popularity_exponent));
    });
    threshold_.resize(items_.size());
    alias_.resize(items_.size());
  }

  void build_alias(std::int32_t block) {
    const auto items = items_of(block);
    std::vector<double> weights;
    weights.reserve(items.size());
    for (const std::int32_t item : items)
      weights.push_back(weights_[static_cast<std::size_t>(item)]);
    const std::size_t begin = begin_of(items_, block);
    build_alias_table(weights, std::span(threshold_).subspan(begin, items.size()),
                      std::span(alias_).subspan(begin, items.size()));
  }

  // Counting sort of the events of one user block by item block; users keep their order.
  void sort_events(std::int32_t block) {
    std::int64_t* begin = cell_begin_.data() + static_cast<std::ptrdiff_t>(block) * (size_ + 1);
    std::vector<std::int64_t> next(static_cast<std::size_t>(size_), 0);
    for (const std::int32_t user : users_of(block))
      for (const std::int32_t item : interactions_.row(user))
        ++next[block_of_item_[static_cast<std::size_t>(item)]];
    begin[0] = first_event_[static_cast<std::size_t>(block)];
    for (std::int32_t c = 0; c < size_; ++c) {
      begin[c + 1] = begin[c] + next[static_cast<std::size_t>(c)];
      next[static_cast<std::size_t>(c)] = begin[c];
    }
    for (const std::int32_t user : users_of(block))
      for (const std::int32_t item : interactions_.row(user)) {
        const auto at =
            static_cast<std::size_t>(next[block_of_item_[static_cast<std::size_t>(item)]]++);
        event_users_[at] = user;
        event_items_[at] = item;
      }
  }

  CsrView interactions_;
  std::int32_t size_;
  BprParams params_;
  std::vector<std::int32_t> users_;
  std::vector<std::int32_t> items_;
  std::vector<std::uint16_t> block_of_item_;
  std::vector<std::int32_t> event_users_;
  std::vector<std::int32_t> event_items_;
  std::vector<std::int64_t> cell_begin_;
  std::vector<std::int64_t> first_event_;
  std::vector<double> weights_;
  std::vector<std::uint32_t> threshold_;
  std::vector<std::int32_t> alias_;
};

// Rows padded with zeros to a multiple of kRowMultiple; the caller's own memory where it is
// already.
class PaddedRows {
 public:
  explicit PaddedRows(MatrixView<float> original)
      : original_(original),
        stride_((original.cols + kRowMultiple - 1) / kRowMultiple * kRowMultiple) {
    if (stride_ == original.cols) return;
    copy_.assign(static_cast<std::size_t>(original.rows * stride_), 0.0F);
    for (std::int64_t r = 0; r < original.rows; ++r)
      std::copy_n(original.row(r), original.cols, copy_.data() + r * stride_);
  }

  [[nodiscard]] float* data() { return copy_.empty() ? original_.data : copy_.data(); }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

  void write_back() const {
    if (copy_.empty()) return;
    for (std::int64_t r = 0; r < original_.rows; ++r)
      std::copy_n(copy_.data() + r * stride_, original_.cols, original_.row(r));
  }

 private:
  MatrixView<float> original_;
  std::int64_t stride_;
  std::vector<float> copy_;
};

// Asks the caller's check on thread 0 only, at most every 20 ms, and remembers a yes for all
// threads.
class CancelFlag {
 public:
  explicit CancelFlag(const CancelCheck& check) : check_(check) {}

  bool raised(int thread) {
    if (thread == 0 && check_ && Clock::now() >= next_check_) {
      next_check_ = Clock::now() + std::chrono::milliseconds(20);
      if (check_()) flag_.store(true, std::memory_order_relaxed);
    }
    return flag_.load(std::memory_order_relaxed);
  }

 private:
  using Clock = std::chrono::steady_clock;
  const CancelCheck& check_;
  Clock::time_point next_check_{};
  std::atomic<bool> flag_{false};
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
        grid_(interactions, factors.items.rows,
              bpr_grid_size(factors.users.rows, factors.items.rows, factors.users.cols), params),
        users_(factors.users),
        items_(factors.items),
        item_biases_(factors.item_biases),
        user_squares_(adagrad_rows(params, factors.users.rows), 0.0F),
        item_squares_(adagrad_rows(params, factors.items.rows), 0.0F),
        seen_(static_cast<std::size_t>(std::min(params.num_threads, grid_.size())),
              std::vector<std::uint8_t>(static_cast<std::size_t>(factors.items.rows), 0)),
        cancel_(cancelled) {}

  // One pass over all events; nothing if it was cancelled on the way.
  std::optional<BprEpoch> run_epoch(std::int32_t epoch) {
    grid_.deal(epoch);
    const std::int32_t size = grid_.size();
    std::vector<BprCellResult> results(static_cast<std::size_t>(size) *
                                       static_cast<std::size_t>(size));
    for (std::int32_t step = 0; step < size && !cancel_.raised(0); ++step)
      parallel_for(size, params_.num_threads, [&](std::int64_t block, int thread) {
        const auto user_block = static_cast<std::int32_t>(block);
        const std::int32_t item_block = (user_block + step) % size;
        results[static_cast<std::size_t>(user_block * size + item_block)] =
            run_cell(epoch, user_block, item_block, thread);
      });
    users_.write_back();
    items_.write_back();
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
      args.stream_key = stream_key(params_.seed ^ (std::uint64_t{kSgd} << 56),
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
    std::int64_t end = std::min(begin + kEventsPerPiece, last);
    while (end < last && users[end] == users[end - 1]) ++end;
    return end;
  }

  [[nodiscard]] BprCellArgs cell_args(std::int32_t epoch, std::int32_t item_block, int thread) {
    const auto items = grid_.items_of(item_block);
    const auto [threshold, alias] = grid_.alias_of(item_block);
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
    args.alias_threshold = threshold;
    args.alias = alias;
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
  const std::int64_t row_bytes = (factors + kRowMultiple - 1) / kRowMultiple * kRowMultiple * 4;
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
  for (std::int32_t epoch = 1; epoch <= params.epochs; ++epoch) {
    const auto done = trainer.run_epoch(epoch);
    if (!done) return epoch - 1;
    if (on_epoch && !on_epoch(*done)) return epoch;
  }
  return params.epochs;
}

}  // namespace penchant
