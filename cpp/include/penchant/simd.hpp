// Run-time choice of the instruction set. Kernels are compiled once per ISA into tables of function
// pointers that take raw pointers and plain structs only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penchant {

// Rows of every matrix that a kernel sees are padded with zeros to a multiple of this many floats, the
// widest vector of any ISA.
inline constexpr std::int64_t kRowMultiple = 16;

// A run of training events of one grid cell; see bpr.hpp. Events of one user are contiguous.
struct BprCellArgs {
  float* user_factors;
  float* item_factors;
  float* item_biases;  // null: no biases
  std::int64_t stride;  // floats from row to row, a multiple of kRowMultiple
  const std::int32_t* event_users;
  const std::int32_t* event_items;
  std::int64_t n_events;
  const std::int32_t* block_items;  // the negatives to draw from
  std::uint32_t n_block_items;
  const std::uint32_t* alias_threshold;  // null: uniform draws
  const std::int32_t* alias;
  std::uint8_t* seen;  // one byte an item, all zero before and after
  float learning_rate;
  float user_regularization;
  float positive_regularization;
  float negative_regularization;
  float bias_regularization;
  std::int32_t n_candidates;  // 1: take the first unseen draw
  std::uint64_t stream_key;
};

struct BprCellResult {
  double loss;
  std::int64_t correct;
  std::int64_t updates;
};

struct Kernels {
  const char* name;
  void (*bpr_cell)(const BprCellArgs* args, BprCellResult* result);
  // Scores of `n_queries` queries against panels of 16 vectors; see topk.cpp.
  void (*score_panels)(const float* const* queries, std::int64_t n_queries, const float* panels,
                       std::int64_t n_panels, const float* biases, std::int64_t dim, float* scores);
};

// The kernels in use: the best ISA of this CPU, or the one that PENCHANT_ISA names. Throws
// std::runtime_error when PENCHANT_ISA names one that this CPU or build lacks.
const Kernels& kernels();

// Names of the instruction sets that this build has and this CPU can run, best first.
std::vector<std::string> available_isas();

}  // namespace penchant
