// Run-time choice of the instruction set. Kernels are compiled once per ISA into tables of function
// pointers that take raw pointers and plain structs only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penchant {

// Rows of every matrix that a kernel sees are padded with zeros to a multiple of this many floats,
// the widest vector of any ISA.
inline constexpr std::int64_t kRowMultiple = 16;

// Limits that the kernels' stack arrays are made for; bindings refuse more.
inline constexpr std::int64_t kMaxFactors = 2048;
inline constexpr std::int32_t kMaxCandidates = 256;
// Beyond it the 32-bit sums of the 8-bit pass could overflow.
inline constexpr std::int64_t kMaxDimension = 65536;

// A run of training events of one grid cell; see bpr.hpp. Events of one user are contiguous.
struct BprCellArgs {
  float* user_factors;
  float* item_factors;
  float* item_biases;   // null: no biases
  float* user_squares;  // sums of squared gradients, one a row, for AdaGrad; null: plain SGD
  float* item_squares;
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

// The 8-bit pass of top-k over some panels of 16 vectors; see topk.cpp.
struct ScanArgs {
  const std::int8_t* panels;  // [panel][group][16][4]
  const float* scales;        // one an item
  const float* biases;        // one an item
  const std::int32_t*
      corrections;  // one an item: minus the query offset times the sum of its dimensions
  std::int64_t n_panels;
  std::int64_t groups;                 // dimensions / 4, rounded up
  const std::int32_t* const* queries;  // four unsigned 8-bit dimensions a word
  const float* query_scales;
  const float* thresholds;  // approximate scores below are dropped
  int n_queries;
  std::int32_t* const* hits;  // out: items (from 0 at the first panel), room for all
  std::int32_t* n_hits;       // in and out
};

// Ratings of one grid cell; see svd.hpp and svdpp.hpp. Those of one user are contiguous.
struct SvdCellArgs {
  float* user_factors;
  float* item_factors;
  float* implicit_sums;            // one row a slot; null: SVD
  const std::int32_t* slot_users;  // null: slots are users
  float* user_biases;              // both null: no biases
  float* item_biases;
  std::int64_t stride;              // floats from row to row, a multiple of kRowMultiple
  const std::int32_t* event_users;  // slots
  const std::int32_t* event_items;
  const float* event_values;
  std::int64_t n_events;
  float mean;
  float user_rate;
  float item_rate;
  float implicit_rate;
  float user_bias_rate;
  float item_bias_rate;
  float user_regularization;
  float item_regularization;
  float implicit_regularization;
  float user_bias_regularization;
  float item_bias_regularization;
};

struct Kernels {
  const char* name;
  void (*bpr_cell)(const BprCellArgs* args, BprCellResult* result);
  int query_levels;  // queries of scan_panels are quantized to [-query_levels, query_levels], plus
                     // query_levels + 1
  void (*scan_panels)(const ScanArgs* args);
  // scores[i] = biases[rows[i]] + queries[i] . vectors[rows[i]], in the one order that defines a
  // score.
  void (*score_pairs)(const float* const* queries, const float* vectors, const float* biases,
                      std::int64_t dim, const std::int32_t* rows, std::int64_t n_pairs,
                      float* scores);
  // Sum of the squared errors, each before its step.
  double (*svd_cell)(const SvdCellArgs* args);
  // out = scale * (sum of rows[items]).
  void (*gather_rows)(const float* rows, std::int64_t stride, const std::int32_t* items,
                      std::int64_t n_items, float scale, float* out);
  // rows[item] = decays[user] * rows[item] + steps[user] for each event, in order.
  void (*spread_rows)(float* rows, std::int64_t stride, const std::int32_t* event_users,
                      const std::int32_t* event_items, std::int64_t n_events, const float* decays,
                      const float* steps);
};

// The kernels in use: the best ISA of this CPU, or the one that PENCHANT_ISA names. Throws
// std::runtime_error when PENCHANT_ISA names one that this CPU or build lacks.
const Kernels& kernels();

// Names of the instruction sets that this build has and this CPU can run, best first.
std::vector<std::string> available_isas();

}  // namespace penchant
