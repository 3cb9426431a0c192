// word2vec over item sequences: skip-gram and CBOW with negative sampling (Mikolov et al., NIPS
// 2013; over shopping sequences "prod2vec", Grbovic et al., KDD 2015), by deterministic parallel
// SGD.
//
// An epoch visits the sequences in a new random order, cut into chunks of a fixed number of words.
// A round trains some chunks side by side, each on its own copy of the rows it needs, taken from
// the common vectors as they stood before the round; then the changes are merged row by row, in the
// order of the chunks. Sizes of chunks and rounds depend on the data alone, so the bits do not
// depend on the number of threads. The copied rows of a chunk fit the second-level cache, which is
// where much of the speed comes from; the rest comes from sharing negatives (Ji et al.,
// "Parallelizing word2vec in shared and distributed memory", 2016): all contexts of a window meet
// the same few output rows, which makes it small matrix products instead of dot products.
#pragma once

#include <cstdint>
#include <functional>

#include "penchant/types.hpp"

namespace penchant {

// Sequence s holds items[indptr[s] .. indptr[s + 1]), in order; an item may occur often.
struct SequencesView {
  std::span<const std::int64_t> indptr;
  std::span<const std::int32_t> items;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(indptr.size()) - 1; }
  [[nodiscard]] std::int64_t entries() const { return static_cast<std::int64_t>(items.size()); }
};

struct SkipgramParams {
  std::int32_t epochs = 5;
  std::int32_t window = 5;
  bool shrink_windows = true;  // a window of uniform size in [1, window] at every word
  std::int32_t negative = 5;   // negatives per window
  double ns_exponent = 0.75;   // they are drawn in proportion to count^ns_exponent
  double sample = 1e-3;        // the share of all events above which items are thinned out, if
                               // they are also more frequent than the average one; 0: keep all
  bool skip_gram = true;       // else CBOW
  float alpha = 0.025F;        // falls linearly to min_alpha over all epochs
  float min_alpha = 0.0001F;
  std::uint64_t seed = 0;
  int num_threads = 0;
};

// What one epoch did.
struct SkipgramEpoch {
  std::int32_t epoch = 0;     // from 1
  double loss = 0.0;          // mean over the examples of -log sigmoid of the positive's score and
                              // of minus each negative's score; without examples as before
  std::int64_t words = 0;     // that subsampling left
  std::int64_t examples = 0;  // (context, word) pairs, or windows where CBOW
};

// Trained in place: one row an item each. `output` holds the weights of the predicted item.
struct SkipgramVectors {
  MatrixView<float> input;
  MatrixView<float> output;
};

// Called after each epoch, on the calling thread; false stops the training.
using SkipgramEpochCallback = std::function<bool(const SkipgramEpoch&)>;

// How an epoch is cut. It must not depend on the number of threads. Few items make rounds short: a
// round may not use a row too often.
struct SkipgramPlan {
  std::int64_t chunk_words = 0;  // a chunk takes whole sequences until it has this many words;
                                 // longer sequences are cut there
  std::int32_t chunks_per_round = 0;
};
SkipgramPlan skipgram_plan(std::int64_t vector_size, std::int64_t n_items, std::int32_t window);

// Trains on sequences of items in [0, vectors.input.rows); returns the number of whole epochs run.
std::int32_t fit_skipgram(const SequencesView& sequences, const SkipgramVectors& vectors,
                          const SkipgramParams& params, const SkipgramEpochCallback& on_epoch,
                          const CancelCheck& cancelled);

// out[h] = weighted mean of the vectors of history h, oldest first: `decay` to the power of the
// number of events since. 1 is the plain mean, 0 the last event alone. An empty history gives
// zeros.
void fold_in_histories(const SequencesView& histories, MatrixView<const float> vectors,
                       double decay, MatrixView<float> out, int num_threads);

}  // namespace penchant
