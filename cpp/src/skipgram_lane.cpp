#include "skipgram_lane.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace penchant::skipgram {
namespace {

constexpr double kPieceFlops = 5e7;
constexpr std::uint32_t kExtraDraws = 64;  // beyond one a word: a short chunk needs a choice too
constexpr std::uint64_t kShuffle = 1;      // random stream of a seed; see also skipgram.cpp

std::uint32_t high_bits(RandomStream* random) {
  return static_cast<std::uint32_t>(next_u64(random) >> 32);
}

}  // namespace

Corpus::Corpus(const SequencesView& sequences, std::int64_t chunk_words, std::uint64_t seed)
    : items_(sequences.items), chunk_words_(chunk_words), seed_(seed) {
  for (std::int64_t s = 0; s < sequences.rows(); ++s)
    for (std::int64_t at = sequences.indptr[static_cast<std::size_t>(s)];
         at < sequences.indptr[static_cast<std::size_t>(s) + 1]; at += chunk_words)
      begin_.push_back(at);
  order_.resize(begin_.size());
  begin_.push_back(sequences.entries());
  std::iota(order_.begin(), order_.end(), 0U);
}

void Corpus::shuffle(std::int32_t epoch) {
  RandomStream random{stream_key(seed_, kShuffle, static_cast<std::uint64_t>(epoch)), 0};
  for (std::size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1], order_[below(high_bits(&random), static_cast<std::uint32_t>(i))]);
  chunk_begin_.assign(1, 0);
  std::int64_t words_in_chunk = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    words_in_chunk += static_cast<std::int64_t>(words(order_[i]).size());
    if (words_in_chunk < chunk_words_ && i + 1 < order_.size()) continue;
    chunk_begin_.push_back(static_cast<std::uint32_t>(i + 1));
    words_in_chunk = 0;
  }
}

Sampling::Sampling(const SequencesView& sequences, std::int64_t n_items,
                   const SkipgramParams& params)
    : keep(static_cast<std::size_t>(n_items), 0xffffffffU),
      threshold(static_cast<std::size_t>(n_items)),
      alias(static_cast<std::size_t>(n_items)) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(n_items), 0);
  for (const std::int32_t item : sequences.items) ++counts[static_cast<std::size_t>(item)];
  const auto events = static_cast<double>(sequences.entries());
  const auto vocabulary = static_cast<double>(
      counts.size() - static_cast<std::size_t>(std::ranges::count(counts, std::int64_t{0})));
  // Items no more frequent than the average one stay whole: where there are but a few, word2vec's
  // rule would thin out every one of them, and with them nearly all pairs.
  const double limit = std::max(params.sample * events, events / vocabulary);
  std::vector<double> weights(counts.size(), 0.0);
  double largest = -INFINITY;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const auto count = static_cast<double>(counts[i]);
    // The share of occurrences that word2vec.c keeps; the paper has sqrt(limit / count) alone.
    const double share = std::sqrt(limit / count) + limit / count;
    if (params.sample > 0.0 && share < 1.0) keep[i] = static_cast<std::uint32_t>(share * 0x1p32);
    weights[i] = params.ns_exponent * std::log(count);
    largest = std::max(largest, weights[i]);
  }
  for (std::size_t i = 0; i < counts.size(); ++i)  // in logarithms, so that none overflows
    weights[i] = counts[i] == 0 ? 0.0 : std::exp(weights[i] - largest);
  build_alias_table(weights, threshold, alias);
}

std::int32_t CopiedRows::slot(std::int32_t item, std::vector<std::int32_t>* slot_of) {
  std::int32_t& slot = (*slot_of)[static_cast<std::size_t>(item)];
  if (slot < 0) {
    slot = static_cast<std::int32_t>(items.size());
    items.push_back(item);
    uses.push_back(0);
  }
  ++uses[static_cast<std::size_t>(slot)];
  return slot;
}

void CopiedRows::copy_in(MatrixView<float> from, std::int64_t stride) {
  rows.resize(std::max(rows.size(), items.size() * static_cast<std::size_t>(stride)));
  float* to = rows.data();
  constexpr std::size_t kAhead = 8;
  for (std::size_t s = 0; s < items.size(); ++s, to += stride) {
    if (s + kAhead < items.size()) {
      const float* next = from.row(items[s + kAhead]);
      for (std::int64_t f = 0; f < std::min<std::int64_t>(from.cols, 128); f += 16)
        __builtin_prefetch(next + f);
    }
    std::copy_n(from.row(items[s]), from.cols, to);
    std::fill(to + from.cols, to + stride, 0.0F);
  }
}

void CopiedRows::finish(std::vector<std::int32_t>* slot_of) {
  slice_begin.fill(0);
  for (const std::int32_t item : items) {
    (*slot_of)[static_cast<std::size_t>(item)] = -1;
    ++slice_begin[slice_of(item) + 1];
  }
  std::partial_sum(slice_begin.begin(), slice_begin.end(), slice_begin.begin());
  std::array<std::size_t, kSlices + 1> next = slice_begin;
  by_slice.resize(items.size());
  for (std::size_t s = 0; s < items.size(); ++s)
    by_slice[next[slice_of(items[s])]++] = static_cast<std::int32_t>(s);
}

void Lane::take_words(const Corpus& corpus, std::int64_t chunk, const Sampling& sampling,
                      const SkipgramParams& params, RandomStream* random, SlotMaps* maps) {
  input_slots_.clear();
  output_slots_.clear();
  windows_.clear();
  ends_.clear();
  const auto window = static_cast<std::uint32_t>(params.window);
  for (const std::uint32_t segment : corpus.chunk(chunk)) {
    const auto words = corpus.words(segment);
    if (words.size() < 2) continue;
    for (const std::int32_t word : words) {
      const std::uint64_t bits = next_u64(random);
      if (static_cast<std::uint32_t>(bits) > sampling.keep[static_cast<std::size_t>(word)])
        continue;
      input_slots_.push_back(input.slot(word, &maps->input));
      output_slots_.push_back(output.slot(word, &maps->output));
      const std::uint32_t less =
          params.shrink_windows ? below(static_cast<std::uint32_t>(bits >> 32), window) : 0;
      windows_.push_back(static_cast<std::int32_t>(window - less));
    }
    ends_.push_back(static_cast<std::int64_t>(input_slots_.size()));
  }
  n_words = static_cast<std::int64_t>(input_slots_.size());
}

// The negatives of all windows come from a pool that is drawn anew for the chunk: fewer rows to
// copy, and each window still meets a fair draw from the noise.
void Lane::draw_negatives(const Sampling& sampling, const SkipgramParams& params,
                          RandomStream* random, SlotMaps* maps) {
  const auto negative = static_cast<std::size_t>(params.negative);
  pool_.clear();
  const auto size = static_cast<std::uint32_t>(n_words) + kExtraDraws;
  for (std::uint32_t i = 0; i < size; ++i)
    pool_.push_back(output.slot(sampling.draw(random), &maps->output));
  negatives_.resize(input_slots_.size() * negative);
  for (std::int32_t& slot : negatives_) slot = pool_[below(high_bits(random), size)];
}

void Lane::run(const Corpus& corpus, std::int64_t chunk, const Sampling& sampling,
               const SkipgramVectors& vectors, const SkipgramParams& params, float alpha,
               std::uint64_t key, SlotMaps* maps, const CancelCheck& cancelled) {
  RandomStream random{key, 0};
  for (CopiedRows* side : {&input, &output}) {
    side->items.clear();
    side->uses.clear();
  }
  take_words(corpus, chunk, sampling, params, &random, maps);
  draw_negatives(sampling, params, &random, maps);
  const std::int64_t stride = padded_columns(vectors.input.cols);
  input.copy_in(vectors.input, stride);
  output.copy_in(vectors.output, stride);
  train(stride, params, alpha, cancelled);
  input.finish(&maps->input);
  output.finish(&maps->output);
}

void Lane::train(std::int64_t stride, const SkipgramParams& params, float alpha,
                 const CancelCheck& cancelled) {
  SkipgramArgs args{};
  args.input = input.rows.data();
  args.output = output.rows.data();
  scratch_.resize(2 * static_cast<std::size_t>(stride));
  args.scratch = scratch_.data();
  args.stride = stride;
  args.input_slots = input_slots_.data();
  args.output_slots = output_slots_.data();
  args.windows = windows_.data();
  args.negatives = negatives_.data();
  args.n_positions = n_words;
  args.ends = ends_.data();
  args.n_sequences = static_cast<std::int64_t>(ends_.size());
  args.negative = params.negative;
  args.skip_gram = params.skip_gram;
  args.alpha = alpha;
  // In pieces of some milliseconds, so that a cancel is heard soon.
  const double contexts = params.skip_gram ? 2.0 * params.window : 1.0;
  const double flops = 6.0 * contexts * static_cast<double>((args.negative + 1) * stride);
  const auto piece = static_cast<std::int64_t>(std::clamp(kPieceFlops / flops, 1.0, 1e6));
  result = {};
  for (std::int64_t first = 0; first < n_words && !cancelled(); first += piece) {
    args.first_position = first;
    args.last_position = std::min(first + piece, n_words);
    SkipgramResult part{};
    kernels().skipgram_chunk(&args, &part);
    result.loss += part.loss;
    result.examples += part.examples;
  }
}

}  // namespace penchant::skipgram
