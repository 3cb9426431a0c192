#include "penchant/skipgram.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "skipgram_lane.hpp"
#include "training.hpp"

namespace penchant {
namespace {

using skipgram::CopiedRows;
using skipgram::Corpus;
using skipgram::kSlices;
using skipgram::Lane;
using skipgram::Sampling;
using skipgram::SlotMaps;

constexpr std::uint64_t kChunkStream = 2;

// Share of what is left to the optimum that one use of a row takes, over the first learning rate.
// Chosen on validation parts: smaller values let frequent rows overshoot.
constexpr double kProgressPerUse = 2.0;

// Adds the changes that the lanes of a round made to their copies of one matrix.
class Merger {
 public:
  explicit Merger(std::int64_t n_items)
      : n_lanes_(static_cast<std::size_t>(n_items), 0),
        uses_(static_cast<std::size_t>(n_items), 0),
        weight_(static_cast<std::size_t>(n_items), 0.0F),
        base_(static_cast<std::size_t>(n_items), nullptr) {}

  // Slices can be merged at the same time. The lanes come in order, so that sums have one order.
  void merge_slice(const std::vector<CopiedRows*>& lanes, std::size_t slice, MatrixView<float> into,
                   std::int64_t stride, double rate) {
    count(lanes, slice);
    for (CopiedRows* lane : lanes)
      for (const std::int32_t slot : lane->slice(slice)) apply(*lane, slot, into, stride, rate);
    for (const CopiedRows* lane : lanes)
      for (const std::int32_t slot : lane->slice(slice)) forget(*lane, slot);
  }

 private:
  void count(const std::vector<CopiedRows*>& lanes, std::size_t s) {
    for (const CopiedRows* lane : lanes)
      for (const std::int32_t slot : lane->slice(s)) {
        const auto item = static_cast<std::size_t>(lane->items[static_cast<std::size_t>(slot)]);
        ++n_lanes_[item];
        uses_[item] += lane->uses[static_cast<std::size_t>(slot)];
      }
  }

  void apply(CopiedRows& lane, std::int32_t slot, MatrixView<float> into, std::int64_t stride,
             double rate) {
    const auto item = static_cast<std::size_t>(lane.items[static_cast<std::size_t>(slot)]);
    float* row = into.row(static_cast<std::int64_t>(item));
    float* local = lane.rows.data() + slot * stride;
    if (n_lanes_[item] == 1) {
      std::copy_n(local, into.cols, row);
      return;
    }
    if (base_[item] == nullptr) weight_[item] = weight_of(item, rate);
    const float weight = weight_[item];
    if (base_[item] == nullptr) {  // the first lane's copy keeps the row as it was
      for (std::int64_t f = 0; f < into.cols; ++f) {
        const float old = row[f];
        row[f] = old + weight * (local[f] - old);
        local[f] = old;
      }
      base_[item] = local;
      return;
    }
    const float* old = base_[item];
    for (std::int64_t f = 0; f < into.cols; ++f) row[f] += weight * (local[f] - old[f]);
  }

  // Lanes that all move a row the same way would, added up, overshoot what one after another they
  // would do. If an update takes the share `rate` of what is left to the optimum, n of them in
  // sequence take 1 - exp(-rate n), and a lane with n / lanes of them has taken 1 - exp(-rate n /
  // lanes). For rare rows that makes the weight 1 (a sum), for very frequent ones 1 / lanes (a
  // mean).
  [[nodiscard]] float weight_of(std::size_t item, double rate) const {
    const auto lanes = static_cast<double>(n_lanes_[item]);
    const double all = rate * static_cast<double>(uses_[item]);
    if (all < 1e-6) return 1.0F;
    return static_cast<float>(std::expm1(-all) / (lanes * std::expm1(-all / lanes)));
  }

  void forget(const CopiedRows& lane, std::int32_t slot) {
    const auto item = static_cast<std::size_t>(lane.items[static_cast<std::size_t>(slot)]);
    n_lanes_[item] = 0;
    uses_[item] = 0;
    base_[item] = nullptr;
  }

  std::vector<std::uint8_t> n_lanes_;
  std::vector<std::int32_t> uses_;
  std::vector<float> weight_;
  std::vector<const float*> base_;
};

class Trainer {
 public:
  Trainer(const SequencesView& sequences, const SkipgramVectors& vectors,
          const SkipgramParams& params, const CancelCheck& cancelled)
      : vectors_(vectors),
        params_(params),
        plan_(skipgram_plan(vectors.input.cols, vectors.input.rows, params.window)),
        corpus_(sequences, plan_.chunk_words, params.seed),
        sampling_(sequences, vectors.input.rows, params),
        lanes_(static_cast<std::size_t>(plan_.chunks_per_round)),
        maps_(static_cast<std::size_t>(std::min(params.num_threads, plan_.chunks_per_round))),
        input_merger_(vectors.input.rows),
        output_merger_(vectors.output.rows),
        cancel_(cancelled),
        loss_((params.negative + 1) * std::log(2.0)) {  // the output vectors are zero
    const auto n_items = static_cast<std::size_t>(vectors.input.rows);
    for (SlotMaps& maps : maps_) {
      maps.input.assign(n_items, -1);
      maps.output.assign(n_items, -1);
    }
  }

  // One pass over the sequences; nothing if it was cancelled on the way.
  std::optional<SkipgramEpoch> run_epoch(std::int32_t epoch) {
    corpus_.shuffle(epoch);
    SkipgramEpoch summary;
    summary.epoch = epoch;
    for (std::int64_t first = 0; first < corpus_.n_chunks(); first += plan_.chunks_per_round) {
      const std::int64_t last = std::min(first + plan_.chunks_per_round, corpus_.n_chunks());
      train_round(epoch, first, last);
      if (cancel_.raised(0)) return std::nullopt;
      merge_round(first, last, &summary);
    }
    // An epoch whose pairs subsampling left out has learnt nothing: the loss is what it was.
    if (summary.examples > 0) loss_ = summary.loss / static_cast<double>(summary.examples);
    summary.loss = loss_;
    return summary;
  }

 private:
  void train_round(std::int32_t epoch, std::int64_t first, std::int64_t last) {
    parallel_for(last - first, params_.num_threads, [&](std::int64_t place, int thread) {
      const std::int64_t chunk = first + place;
      const std::uint64_t key =
          stream_key(params_.seed, kChunkStream, static_cast<std::uint64_t>(epoch),
                     static_cast<std::uint64_t>(chunk));
      lanes_[static_cast<std::size_t>(place)].run(
          corpus_, chunk, sampling_, vectors_, params_, alpha_at(epoch, chunk), key,
          &maps_[static_cast<std::size_t>(thread)], [&] { return cancel_.raised(thread); });
    });
  }

  void merge_round(std::int64_t first, std::int64_t last, SkipgramEpoch* summary) {
    std::vector<CopiedRows*> input;
    std::vector<CopiedRows*> output;
    for (std::int64_t place = 0; place < last - first; ++place) {
      Lane& lane = lanes_[static_cast<std::size_t>(place)];
      input.push_back(&lane.input);
      output.push_back(&lane.output);
      summary->loss += lane.result.loss;
      summary->examples += lane.result.examples;
      summary->words += lane.n_words;
    }
    const std::int64_t stride = padded_columns(vectors_.input.cols);
    const double rate = kProgressPerUse * static_cast<double>(params_.alpha);
    parallel_for(2 * kSlices, params_.num_threads, [&](std::int64_t task, int) {
      const auto slice = static_cast<std::size_t>(task) % kSlices;
      if (task < static_cast<std::int64_t>(kSlices))
        input_merger_.merge_slice(input, slice, vectors_.input, stride, rate);
      else
        output_merger_.merge_slice(output, slice, vectors_.output, stride, rate);
    });
  }

  // Falls linearly over all chunks of all epochs.
  [[nodiscard]] float alpha_at(std::int32_t epoch, std::int64_t chunk) const {
    const double in_epoch = static_cast<double>(chunk) / static_cast<double>(corpus_.n_chunks());
    const double progress = (epoch - 1 + in_epoch) / params_.epochs;
    return params_.alpha - (params_.alpha - params_.min_alpha) * static_cast<float>(progress);
  }

  SkipgramVectors vectors_;
  SkipgramParams params_;
  SkipgramPlan plan_;
  Corpus corpus_;
  Sampling sampling_;
  std::vector<Lane> lanes_;
  std::vector<SlotMaps> maps_;  // one a thread
  Merger input_merger_;
  Merger output_merger_;
  CancelFlag cancel_;
  double loss_ = 0.0;  // of the last epoch
};

}  // namespace

SkipgramPlan skipgram_plan(std::int64_t vector_size, std::int64_t n_items, std::int32_t window) {
  constexpr std::int64_t kChunkBytes = 1 << 20;  // of copied rows: a second-level cache
  constexpr std::int64_t kMostWords = 1024;
  constexpr std::int64_t kFewestWords = 256;  // longer sequences are cut: not too short
  constexpr std::int64_t kMostChunks = 8;
  // Of windows that hold an average item in one round: where chunks side by side all move the same
  // rows far, their sum overshoots. Twice as many diverge on MovieLens 100k (1,682 items, 106 in a
  // sequence).
  constexpr std::int64_t kWindowsPerItem = 10;
  // A word brings its own two rows and the draw of one negative.
  const std::int64_t fit =
      std::clamp(kChunkBytes / (3 * 4 * padded_columns(vector_size)), kFewestWords, kMostWords);
  const std::int64_t round = kWindowsPerItem * n_items / std::max(window, 1);
  const std::int64_t words = std::clamp(round / kMostChunks, kFewestWords, fit);
  const std::int64_t chunks = std::clamp<std::int64_t>(round / words, 1, kMostChunks);
  return {words, static_cast<std::int32_t>(chunks)};
}

std::int32_t fit_skipgram(const SequencesView& sequences, const SkipgramVectors& vectors,
                          const SkipgramParams& params, const SkipgramEpochCallback& on_epoch,
                          const CancelCheck& cancelled) {
  if (sequences.entries() == 0 || vectors.input.rows == 0) return 0;
  SkipgramParams fixed = params;  // asked once: the environment may change while we train
  fixed.num_threads = resolve_num_threads(params.num_threads);
  Trainer trainer(sequences, vectors, fixed, cancelled);
  return run_epochs(trainer, params.epochs, on_epoch);
}

void fold_in_histories(const SequencesView& histories, MatrixView<const float> vectors,
                       double decay, MatrixView<float> out, int num_threads) {
  constexpr double kNegligible = 1e-9;  // of the weight of the last event
  parallel_chunks(
      histories.rows(), 256, num_threads, [&](std::int64_t first, std::int64_t last, int) {
        std::vector<double> sum(static_cast<std::size_t>(vectors.cols));
        for (std::int64_t h = first; h < last; ++h) {
          std::fill(sum.begin(), sum.end(), 0.0);
          double weight = 1.0;
          double total = 0.0;
          const std::int64_t begin = histories.indptr[static_cast<std::size_t>(h)];
          for (std::int64_t at = histories.indptr[static_cast<std::size_t>(h) + 1]; at-- > begin;) {
            const float* row = vectors.row(histories.items[static_cast<std::size_t>(at)]);
            for (std::size_t f = 0; f < sum.size(); ++f)
              sum[f] += weight * static_cast<double>(row[f]);
            total += weight;
            weight *= decay;
            if (weight < kNegligible) break;
          }
          for (std::size_t f = 0; f < sum.size(); ++f)
            out.row(h)[f] = total > 0.0 ? static_cast<float>(sum[f] / total) : 0.0F;
        }
      });
}

}  // namespace penchant
