// The pieces of one chunk of skip-gram training: which sequences it has, and the rows it copies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "penchant/alias_table.hpp"
#include "penchant/random.hpp"
#include "penchant/simd.hpp"
#include "penchant/skipgram.hpp"
#include "training.hpp"

namespace penchant::skipgram {

// Items are dealt into so many slices for merging, neighbours together.
inline constexpr std::size_t kSlices = 16;
inline std::size_t slice_of(std::int32_t item) {
  return (static_cast<std::size_t>(item) >> 6) % kSlices;
}

// The sequences as segments of at most `longest` words, visited in a new order every epoch.
class Corpus {
 public:
  Corpus(const SequencesView& sequences, std::int64_t chunk_words, std::uint64_t seed);

  // Orders the segments anew and cuts the order into chunks.
  void shuffle(std::int32_t epoch);

  [[nodiscard]] std::int64_t n_chunks() const {
    return static_cast<std::int64_t>(chunk_begin_.size()) - 1;
  }
  [[nodiscard]] std::span<const std::uint32_t> chunk(std::int64_t c) const {
    const auto at = static_cast<std::size_t>(c);
    return std::span(order_).subspan(chunk_begin_[at], chunk_begin_[at + 1] - chunk_begin_[at]);
  }
  [[nodiscard]] std::span<const std::int32_t> words(std::uint32_t segment) const {
    const auto begin = static_cast<std::size_t>(begin_[segment]);
    return items_.subspan(begin, static_cast<std::size_t>(begin_[segment + 1]) - begin);
  }

 private:
  std::span<const std::int32_t> items_;
  std::int64_t chunk_words_;
  std::uint64_t seed_;
  std::vector<std::int64_t> begin_;         // of every segment, and the end of the last
  std::vector<std::uint32_t> order_;        // of this epoch
  std::vector<std::uint32_t> chunk_begin_;  // in order_
};

// What is drawn at random: how often items are kept, and the noise that negatives come from.
struct Sampling {
  std::vector<std::uint32_t> keep;       // an occurrence stays if 32 random bits are at most this
  std::vector<std::uint32_t> threshold;  // alias table of the noise
  std::vector<std::int32_t> alias;

  Sampling(const SequencesView& sequences, std::int64_t n_items, const SkipgramParams& params);

  [[nodiscard]] std::int32_t draw(RandomStream* random) const {
    const std::uint64_t bits = next_u64(random);
    const std::uint32_t slot =
        below(static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(alias.size()));
    return static_cast<std::uint32_t>(bits) < threshold[slot] ? static_cast<std::int32_t>(slot)
                                                              : alias[slot];
  }
};

// Rows of one matrix that a chunk copied: slot s is row `items[s]`.
struct CopiedRows {
  std::vector<std::int32_t> items;
  std::vector<std::int32_t> uses;  // how often the chunk met the row
  FloatRows rows;
  std::vector<std::int32_t> by_slice;  // the slots, those of slice 0 first
  std::array<std::size_t, kSlices + 1> slice_begin{};

  std::int32_t slot(std::int32_t item, std::vector<std::int32_t>* slot_of);
  void copy_in(MatrixView<float> from, std::int64_t stride);
  // Sorts the slots by slice and forgets them in `slot_of`.
  void finish(std::vector<std::int32_t>* slot_of);
  [[nodiscard]] std::span<const std::int32_t> slice(std::size_t s) const {
    return std::span(by_slice).subspan(slice_begin[s], slice_begin[s + 1] - slice_begin[s]);
  }
};

// Slot of every item of the two matrices, or -1: one a thread, empty between chunks.
struct SlotMaps {
  std::vector<std::int32_t> input;
  std::vector<std::int32_t> output;
};

// One place of a round: trains a chunk on copied rows.
class Lane {
 public:
  // Copies the rows of chunk `chunk`, trains them; `key` is the chunk's own random stream. Where it
  // was cancelled the copies are to be thrown away.
  void run(const Corpus& corpus, std::int64_t chunk, const Sampling& sampling,
           const SkipgramVectors& vectors, const SkipgramParams& params, float alpha,
           std::uint64_t key, SlotMaps* maps, const CancelCheck& cancelled);

  CopiedRows input;
  CopiedRows output;
  SkipgramResult result{};
  std::int64_t n_words = 0;  // that subsampling left

 private:
  void train(std::int64_t stride, const SkipgramParams& params, float alpha,
             const CancelCheck& cancelled);
  void take_words(const Corpus& corpus, std::int64_t chunk, const Sampling& sampling,
                  const SkipgramParams& params, RandomStream* random, SlotMaps* maps);
  void draw_negatives(const Sampling& sampling, const SkipgramParams& params, RandomStream* random,
                      SlotMaps* maps);

  std::vector<std::int32_t> input_slots_;
  std::vector<std::int32_t> output_slots_;
  std::vector<std::int32_t> windows_;
  std::vector<std::int32_t> negatives_;
  std::vector<std::int32_t> pool_;
  std::vector<std::int64_t> ends_;
  FloatRows scratch_;
};

}  // namespace penchant::skipgram
