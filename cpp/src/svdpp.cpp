#include "penchant/svdpp.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "grid.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "stream_purposes.hpp"
#include "svd_penalty.hpp"
#include "training.hpp"

namespace penchant {
namespace {

// Ratings in a wave, for each item that counts. Longer waves are more work between two waits for
// the other threads. But the users of a wave do not see each other's steps on the implicit rows
// they share, and together they overshoot if that are too many: by how much each would move the
// others grows with (ratings of the wave) * (sum over items of share^2), whose inverse is the
// number of equally popular items that would overlap as much.
constexpr double kRatingsPerItem = 4.0;
constexpr double kMostRatings = 131072.0;
// Roughly what a rating costs, and what a thread should have to do in a parallel loop. A wave has
// kBlocks + 2 of them.
constexpr double kWaveNanosecondsPerFactor = 1.5;
constexpr double kLeastWaveWork = 1e5;

// Blocks per side of the grid of a wave.
constexpr std::int32_t kBlocks = 4;

float rsqrt_of(std::size_t n) {
  return n == 0 ? 0.0F : static_cast<float>(1.0 / std::sqrt(static_cast<double>(n)));
}

std::int64_t wave_length(const std::vector<std::int64_t>& item_counts) {
  double sum = 0.0;
  double squares = 0.0;
  for (const std::int64_t count : item_counts) {
    sum += static_cast<double>(count);
    squares += static_cast<double>(count) * static_cast<double>(count);
  }
  const double items = squares > 0.0 ? sum * sum / squares : 1.0;
  return static_cast<std::int64_t>(std::min(kRatingsPerItem * items, kMostRatings));
}

// Some users of an epoch, in slots, and their ratings sorted into kBlocks x kBlocks cells.
class Wave {
 public:
  Wave(const Ratings& ratings, std::int64_t stride, std::int64_t length)
      : ratings_(ratings), stride_(stride), length_(length) {}

  // Takes users from the front of `order`, as many as make up a wave; returns the rest.
  std::span<const std::int32_t> take(std::span<const std::int32_t> order) {
    std::int64_t total = 0;
    std::size_t n = 0;
    first_event_.assign(1, 0);
    while (n < order.size() && total < length_) {
      total += static_cast<std::int64_t>(ratings_.matrix.row(order[n++]).size());
      first_event_.push_back(total);
    }
    users_ = order.first(n);
    // Cut where each has its share of the ratings.
    for (std::int64_t block = 0; block <= kBlocks; ++block)
      cuts_[block] =
          std::lower_bound(first_event_.begin(), first_event_.end(), total * block / kBlocks) -
          first_event_.begin();
    cuts_[kBlocks] = static_cast<std::int64_t>(n);
    const auto events = static_cast<std::size_t>(total);
    event_slots.resize(std::max(event_slots.size(), events));
    event_items.resize(event_slots.size());
    event_values.resize(event_slots.size());
    const std::size_t floats = n * static_cast<std::size_t>(stride_);
    sums.resize(std::max(sums.size(), floats));
    steps.resize(sums.size());
    decays.resize(std::max(decays.size(), n));
    return order.subspan(n);
  }

  // Sorts the ratings of a block of slots by item block.
  void sort(std::int32_t block, const std::vector<std::uint8_t>& block_of_item) {
    std::int64_t next[kBlocks + 1] = {};
    each_rating(block, [&](std::int32_t, std::int32_t item, std::size_t) {
      ++next[block_of_item[static_cast<std::size_t>(item)] + 1];
    });
    next[0] = first_event_[static_cast<std::size_t>(cuts_[block])];
    for (std::int32_t b = 0; b < kBlocks; ++b) next[b + 1] += next[b];
    std::copy_n(next, kBlocks + 1, cells_[block]);
    each_rating(block, [&](std::int32_t slot, std::int32_t item, std::size_t entry) {
      const auto at =
          static_cast<std::size_t>(next[block_of_item[static_cast<std::size_t>(item)]]++);
      event_slots[at] = slot;
      event_items[at] = item;
      event_values[at] = ratings_.values[entry];
    });
  }

  [[nodiscard]] std::span<const std::int32_t> users() const { return users_; }
  [[nodiscard]] std::span<const std::int32_t> items_of(std::int64_t slot) const {
    return ratings_.matrix.row(users_[static_cast<std::size_t>(slot)]);
  }
  // Slots [first, last) of a block.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> slots(std::int32_t block) const {
    return {cuts_[block], cuts_[block + 1]};
  }
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> cell(std::int32_t block,
                                                           std::int32_t item_block) const {
    return {cells_[block][item_block], cells_[block][item_block + 1]};
  }

  std::vector<std::int32_t> event_slots;
  std::vector<std::int32_t> event_items;
  std::vector<float> event_values;
  FloatRows sums;             // rows: |N|^-1/2 * sum of the implicit rows, as the steps change it
  FloatRows steps;            // rows: first the sum before the steps, then what each row is to add
  std::vector<float> decays;  // of the implicit rows

 private:
  template <typename Body>
  void each_rating(std::int32_t block, const Body& body) const {
    for (std::int64_t slot = cuts_[block]; slot < cuts_[block + 1]; ++slot) {
      const auto items = items_of(slot);
      const auto first = static_cast<std::size_t>(
          ratings_.matrix.indptr[static_cast<std::size_t>(users_[static_cast<std::size_t>(slot)])]);
      for (std::size_t n = 0; n < items.size(); ++n)
        body(static_cast<std::int32_t>(slot), items[n], first + n);
    }
  }

  Ratings ratings_;
  std::int64_t stride_;
  std::int64_t length_;  // ratings
  std::span<const std::int32_t> users_;
  std::vector<std::int64_t> first_event_;
  std::int64_t cuts_[kBlocks + 1] = {};
  std::int64_t cells_[kBlocks][kBlocks + 1] = {};
};

class SvdppTrainer {
 public:
  SvdppTrainer(const Ratings& ratings, const SvdppFactors& factors, const SvdppParams& params,
               const CancelCheck& cancelled)
      : params_(params),
        factors_(factors),
        counts_(count_ratings(ratings.matrix, factors.svd.items.rows)),
        implicit_counts_(static_cast<std::size_t>(factors.svd.items.rows), 0),
        n_ratings_(static_cast<double>(std::max<std::int64_t>(ratings.matrix.entries(), 1))),
        users_(factors.svd.users),
        items_(factors.svd.items),
        implicit_(factors.implicit),
        wave_(ratings, users_.stride(), wave_length(counts_.items)),
        order_(static_cast<std::size_t>(factors.svd.users.rows)),
        block_of_item_(static_cast<std::size_t>(factors.svd.items.rows)),
        cancel_(cancelled) {
    std::iota(order_.begin(), order_.end(), 0);
    for (std::int64_t u = 0; u < ratings.matrix.rows(); ++u)
      for (const std::int32_t item : ratings.matrix.row(u))
        implicit_counts_[static_cast<std::size_t>(item)] +=
            counts_.users[static_cast<std::size_t>(u)];
  }

  // One pass over all ratings; nothing if it was cancelled on the way.
  std::optional<SvdEpoch> run_epoch(std::int32_t epoch) {
    deal(static_cast<std::uint64_t>(epoch));
    set_rates(epoch);
    double squares = 0.0;
    std::span<const std::int32_t> waiting = order_;
    while (!waiting.empty() && !cancel_.raised(0)) {
      waiting = wave_.take(waiting);
      squares += run_wave();
    }
    users_.write_back(params_.svd.num_threads);
    items_.write_back(params_.svd.num_threads);
    implicit_.write_back(params_.svd.num_threads);
    if (cancel_.raised(0)) return std::nullopt;
    const double mean = squares / n_ratings_;
    return SvdEpoch{epoch, mean + penalty() / n_ratings_, std::sqrt(mean)};
  }

 private:
  void deal(std::uint64_t epoch) {
    shuffle(order_, {stream_key(params_.svd.seed, kSvdppDealUsers, epoch), 0});
    RandomStream random{stream_key(params_.svd.seed, kSvdppDealItems, epoch), 0};
    for (std::uint8_t& block : block_of_item_)
      block = static_cast<std::uint8_t>(
          below(static_cast<std::uint32_t>(next_u64(&random) >> 32), kBlocks));
  }

  void set_rates(std::int32_t epoch) {
    const SvdParams& svd = params_.svd;
    const float progress = static_cast<float>(epoch - 1) / static_cast<float>(svd.epochs);
    const float share = 1.0F - svd.learning_rate_decay * progress;
    args_ = {};
    args_.user_factors = users_.data();
    args_.item_factors = items_.data();
    args_.user_biases = factors_.svd.user_biases;
    args_.item_biases = factors_.svd.item_biases;
    args_.stride = users_.stride();
    args_.mean = svd.mean;
    args_.user_rate = share * svd.users.learning_rate;
    args_.item_rate = share * svd.items.learning_rate;
    args_.implicit_rate = share * params_.implicit.learning_rate;
    args_.user_bias_rate = share * svd.user_biases.learning_rate;
    args_.item_bias_rate = share * svd.item_biases.learning_rate;
    args_.user_regularization = svd.users.regularization;
    args_.item_regularization = svd.items.regularization;
    args_.implicit_regularization = params_.implicit.regularization;
    args_.user_bias_regularization = svd.user_biases.regularization;
    args_.item_bias_regularization = svd.item_biases.regularization;
  }

  double run_wave() {
    const int threads = params_.svd.num_threads;
    parallel_for(kBlocks, threads,
                 [&](std::int64_t block, int) { begin(static_cast<std::int32_t>(block)); });
    double squares[kBlocks][kBlocks] = {};
    args_.implicit_sums = wave_.sums.data();
    args_.slot_users = wave_.users().data();
    for (std::int32_t step = 0; step < kBlocks; ++step)
      parallel_for(kBlocks, threads, [&](std::int64_t at, int) {
        const auto block = static_cast<std::int32_t>(at);
        const std::int32_t item_block = (block + step) % kBlocks;
        squares[block][item_block] = run_cell(block, item_block);
        if (step + 1 == kBlocks) end(block);
      });
    parallel_for(kBlocks, threads,
                 [&](std::int64_t block, int) { catch_up(static_cast<std::int32_t>(block)); });
    double total = 0.0;
    for (const auto& row : squares) total = std::accumulate(row, row + kBlocks, total);
    return total;
  }

  void begin(std::int32_t block) {
    wave_.sort(block, block_of_item_);
    const auto [first, last] = wave_.slots(block);
    const std::int64_t stride = users_.stride();
    for (std::int64_t slot = first; slot < last; ++slot) {
      const auto items = wave_.items_of(slot);
      float* sum = wave_.sums.data() + slot * stride;
      kernels().gather_rows(implicit_.data(), stride, items.data(),
                            static_cast<std::int64_t>(items.size()), rsqrt_of(items.size()), sum);
      std::copy_n(sum, stride, wave_.steps.data() + slot * stride);
    }
  }

  double run_cell(std::int32_t block, std::int32_t item_block) const {
    const auto [first, last] = wave_.cell(block, item_block);
    SvdCellArgs args = args_;
    args.event_users = wave_.event_slots.data() + first;
    args.event_items = wave_.event_items.data() + first;
    args.event_values = wave_.event_values.data() + first;
    args.n_events = last - first;
    return kernels().svd_cell(&args);
  }

  // After n steps every implicit row y of the user is decay^n y + c, and the sum s (divided by
  // sqrt n) is decay^n s0 + sqrt(n) c: here is c.
  void end(std::int32_t block) {
    const auto [first, last] = wave_.slots(block);
    const std::int64_t stride = users_.stride();
    const double decay =
        1.0 - static_cast<double>(args_.implicit_rate * args_.implicit_regularization);
    for (std::int64_t slot = first; slot < last; ++slot) {
      const std::size_t n = wave_.items_of(slot).size();
      const auto power = static_cast<float>(std::pow(decay, static_cast<double>(n)));
      const float share = rsqrt_of(n);
      const float* sum = wave_.sums.data() + slot * stride;
      float* step = wave_.steps.data() + slot * stride;
      for (std::int64_t f = 0; f < stride; ++f) step[f] = share * (sum[f] - power * step[f]);
      wave_.decays[static_cast<std::size_t>(slot)] = power;
    }
  }

  void catch_up(std::int32_t item_block) {
    for (std::int32_t block = 0; block < kBlocks; ++block) {
      const auto [first, last] = wave_.cell(block, item_block);
      kernels().spread_rows(implicit_.data(), implicit_.stride(), wave_.event_slots.data() + first,
                            wave_.event_items.data() + first, last - first, wave_.decays.data(),
                            wave_.steps.data());
    }
  }

  [[nodiscard]] double penalty() {
    const auto of = [&](const float* rows, std::int64_t stride,
                        const std::vector<std::int64_t>& counts, const SgdGroup& group) {
      return row_penalty(rows, static_cast<std::int64_t>(counts.size()), stride, counts,
                         static_cast<double>(group.regularization), params_.svd.num_threads);
    };
    const SvdParams& svd = params_.svd;
    return of(users_.data(), users_.stride(), counts_.users, svd.users) +
           of(items_.data(), items_.stride(), counts_.items, svd.items) +
           of(implicit_.data(), implicit_.stride(), implicit_counts_, params_.implicit) +
           of(factors_.svd.user_biases, 1, counts_.users, svd.user_biases) +
           of(factors_.svd.item_biases, 1, counts_.items, svd.item_biases);
  }

  SvdppParams params_;
  SvdppFactors factors_;
  RatingCounts counts_;
  std::vector<std::int64_t> implicit_counts_;  // steps of each implicit row in an epoch
  double n_ratings_;
  PaddedRows users_;
  PaddedRows items_;
  PaddedRows implicit_;
  Wave wave_;
  std::vector<std::int32_t> order_;
  std::vector<std::uint8_t> block_of_item_;
  SvdCellArgs args_{};
  CancelFlag cancel_;
};

}  // namespace

std::int32_t fit_svdpp(const Ratings& ratings, const SvdppFactors& factors,
                       const SvdppParams& params, const SvdEpochCallback& on_epoch,
                       const CancelCheck& cancelled) {
  if (factors.svd.users.rows == 0 || factors.svd.items.rows == 0) return 0;
  SvdppParams fixed = params;  // asked once: the environment may change while we train
  const double length =
      static_cast<double>(wave_length(count_ratings(ratings.matrix, factors.svd.items.rows).items));
  const double work =
      kWaveNanosecondsPerFactor * length * static_cast<double>(factors.implicit.cols);
  fixed.svd.num_threads = threads_for(work / (kBlocks + 2), kLeastWaveWork,
                                      resolve_num_threads(params.svd.num_threads));
  SvdppTrainer trainer(ratings, factors, fixed, cancelled);
  for (std::int32_t epoch = 1; epoch <= params.svd.epochs; ++epoch) {
    const auto done = trainer.run_epoch(epoch);
    if (!done) return epoch - 1;
    if (on_epoch && !on_epoch(*done)) return epoch;
  }
  return params.svd.epochs;
}

void implicit_sums(const CsrView& histories, MatrixView<const float> implicit,
                   MatrixView<float> out, int num_threads) {
  parallel_chunks(histories.rows(), 64, resolve_num_threads(num_threads),
                  [&](std::int64_t begin, std::int64_t end, int) {
                    for (std::int64_t h = begin; h < end; ++h) {
                      const auto items = histories.row(h);
                      float* sum = out.row(h);
                      std::fill_n(sum, out.cols, 0.0F);
                      for (const std::int32_t item : items)
                        for (std::int64_t f = 0; f < out.cols; ++f) sum[f] += implicit.row(item)[f];
                      for (std::int64_t f = 0; f < out.cols; ++f) sum[f] *= rsqrt_of(items.size());
                    }
                  });
}

}  // namespace penchant
