// The memory of a top-k index: one block of bytes that can be written to a file and mapped again.
//
//   header | row_at | place_of | biases | norms | scales | errors | corrections | vectors | panels
//
// Each part begins on a cache line. All are in scan order but place_of; those that the 8-bit pass
// reads are padded to whole panels.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "penchant/types.hpp"

namespace penchant {

struct TopkHeader {
  std::array<char, 8> magic;
  std::uint32_t format;        // also tells the order of bytes
  std::uint32_t query_levels;  // of the instruction set that `corrections` are for
  std::int64_t size;
  std::int64_t dim;
  std::int64_t n_bytes;  // of the whole block
  float mean_norm;
  std::uint32_t unused;
  std::uint64_t checksum;  // of the header up to here
  std::array<char, 8> padding;
};
static_assert(sizeof(TopkHeader) == 64);

// Where the parts begin, in bytes from the first of the block.
struct TopkLayout {
  TopkLayout(std::int64_t size, std::int64_t dim);

  std::int64_t padded;  // vectors, rounded up to whole panels
  std::int64_t groups;  // of four dimensions
  std::int64_t row_at;
  std::int64_t place_of;
  std::int64_t biases;
  std::int64_t norms;
  std::int64_t scales;
  std::int64_t errors;
  std::int64_t corrections;
  std::int64_t vectors;
  std::int64_t panels;
  std::int64_t n_bytes;
};

// Puts vectors and biases (may be null) into a block of zeros.
void fill_topk_block(MatrixView<const float> vectors, const float* biases,
                     std::span<std::byte> block, int num_threads);

// Throws std::invalid_argument where a search of the block could read outside of it.
void check_topk_block(std::span<const std::byte> block);

}  // namespace penchant
