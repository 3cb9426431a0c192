// Run-time choice of the instruction set. Kernels are compiled once per ISA into tables of function
// pointers that take raw pointers and plain structs only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "penchant/ials_rows.hpp"

namespace penchant {

// Rows of every matrix that a kernel sees are padded with zeros to a multiple of this many floats,
// the widest vector of any ISA.
inline constexpr std::int64_t kRowMultiple = 16;
constexpr std::int64_t padded_columns(std::int64_t columns) {
  return (columns + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}

// Limits that the kernels' stack arrays are made for; bindings refuse more.
inline constexpr std::int64_t kMaxFactors = 2048;
inline constexpr std::int32_t kMaxCandidates = 256;
inline constexpr std::int32_t kSkipgramMaxNegatives = 256;
// Beyond it the 32-bit sums of the 8-bit pass could overflow.
inline constexpr std::int64_t kMaxDimension = 65536;

// Tiles of the symmetric inverse are a multiple of this: of the panels of every ISA.
inline constexpr std::int64_t kTileMultiple = 24;

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

// Steps of BPR on one row, for positives in turn, that share candidates for their negatives.
struct BprRowStepsArgs {
  float* row;
  const float* items;   // rows of `dim` floats follow each other without a gap
  const float* biases;  // one an item
  std::int64_t dim;
  const std::int32_t* candidates;
  std::int32_t n_candidates;  // 1 to kMaxCandidates
  const std::int32_t* positives;
  std::int64_t n_positives;
  float learning_rate;
  float regularization;
  bool adagrad;
  float* gathered;  // squared gradients so far; in and out
};

// The 8-bit pass of top-k over some panels of 16 vectors; see topk_tile.hpp.
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

// The scores of so many vectors at most are in memory at once while their exponentials are summed.
inline constexpr std::int64_t kExpBlock = 512;
// Scratch of exp_sums, in floats, for a block of so many vectors (a multiple of 32): the block,
// transposed, and the scores of a group of queries.
constexpr std::int64_t exp_sums_scratch(std::int64_t dim, std::int64_t block) {
  return block * dim + kExpBlock * 8;
}

// The sum of the exponentials of some scores is sum * exp(largest).
struct ExpSum {
  float largest;
  float sum;
};

// Sums of exponentials of the scores of a block of vectors, for each of some queries. The scores
// are those of score_pairs, bit for bit.
struct ExpSumsArgs {
  const float* vectors;
  const float* biases;
  std::int64_t dim;
  std::int64_t n_vectors;  // 1 to kExpBlock
  const float* queries;    // rows of `dim` floats
  std::int64_t n_queries;
  float* scratch;
  ExpSum* sums;  // out: one a query
};

// A skip-gram step takes so many contexts, and so many outputs, at once: their gradients are taken
// before any of them changes.
inline constexpr int kSkipgramContexts = 16;
inline constexpr int kSkipgramOutputs = 8;

// A chunk of sequences in the rows copied for it; see skipgram.hpp.
struct SkipgramArgs {
  float* input;
  float* output;
  float* scratch;                   // two rows
  std::int64_t stride;              // floats from row to row, a multiple of kRowMultiple
  const std::int32_t* input_slots;  // row of the word at every position
  const std::int32_t* output_slots;
  const std::int32_t* windows;    // reach to either side at every position
  const std::int32_t* negatives;  // `negative` output rows at every position
  std::int64_t n_positions;
  std::int64_t first_position;  // the windows of [first_position, last_position) are trained
  std::int64_t last_position;
  const std::int64_t* ends;  // position after the last of every sequence
  std::int64_t n_sequences;
  std::int32_t negative;
  bool skip_gram;
  float alpha;
};

struct SkipgramResult {
  double loss;
  std::int64_t examples;
};

// dots[i] = query . rows[which[i]], where rows of `dim` floats follow each other without a gap.
struct RowDotsArgs {
  const float* query;
  const float* rows;
  std::int64_t dim;
  const std::int32_t* which;
  std::int64_t n;
  float* dots;
};

// dots[i] = query . rows[which[i]], rounded vectors of a graph; see graph_index.hpp. Numbers of
// int8 come with a query of int16 that is small enough for sums of 32 bits, bfloat16 with one of
// float.
struct GraphDotsArgs {
  const void* query;
  const void* rows;
  std::int64_t width;  // numbers of a row, zeros at its end: a multiple of kGraphMultiple
  const std::int32_t* which;
  std::int64_t n;
  float* dots;  // out: room for n rounded up to a multiple of 4
};
inline constexpr std::int64_t kGraphMultiple = 32;

// sums[c] = sum over r of values[r] * rows[r][c], added in the order of the rows.
struct SumRowsArgs {
  const float* const* rows;
  const float* values;
  std::int64_t n_rows;
  std::int64_t width;
  float* sums;
};

// tile -= left * right, all three size x size. The factors are packed: panels of tile_rows rows of
// `left` ([panel][depth][row]) and of tile_cols columns of `right` ([panel][depth][column]).
struct TileProductArgs {
  const double* left;
  const double* right;
  double* tile;       // row-major
  std::int64_t size;  // a multiple of kTileMultiple
};

// Ratings of one grid cell; see svd.hpp and svdpp.hpp. Those of one user are contiguous.
struct SvdCellArgs {
  float* user_factors;
  float* item_factors;
  float* implicit_sums;            // one row a slot; null: SVD
  const std::int32_t* slot_users;  // null: slots are users
  float* user_biases;              // both null: no biases
  float* item_biases;
  // Item rows are this times what is stored, so that their decay costs nothing; null: decay at
  // once.
  float* item_scales;
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
  void (*bpr_row_steps)(const BprRowStepsArgs* args);
  void (*bpr_cell)(const BprCellArgs* args, BprCellResult* result);
  // Largest of `n` finite values, and the sum of exp(value - largest).
  ExpSum (*exp_sum)(const float* values, std::int64_t n);
  void (*exp_sums)(const ExpSumsArgs* args);
  void (*graph_dots_bfloat16)(const GraphDotsArgs* args);
  void (*graph_dots_int8)(const GraphDotsArgs* args);
  // Rows of implicit ALS; the size functions say how many floats of scratch a row of n entries
  // takes.
  void (*ials_block)(const IalsRowArgs* args, IalsRowResult* result);
  std::int64_t (*ials_block_scratch)(std::int64_t n, std::int64_t stride, std::int64_t block);
  void (*ials_dual)(const IalsRowArgs* args, IalsRowResult* result);
  std::int64_t (*ials_dual_scratch)(std::int64_t n, std::int64_t stride);
  void (*ials_gradients)(const IalsRowArgs* args, IalsRowResult* result);
  std::int64_t (*ials_gradients_scratch)(std::int64_t n, std::int64_t stride);
  void (*multiply_panel)(const PanelArgs* args);
  int query_levels;  // queries of scan_panels are quantized to [-query_levels, query_levels], plus
                     // query_levels + 1
  void (*rotate_columns)(const RotationArgs* args);
  void (*row_dots)(const RowDotsArgs* args);
  void (*scan_panels)(const ScanArgs* args);
  // scores[i] = biases[rows[i]] + queries[i] . vectors[rows[i]], in the one order that defines a
  // score.
  void (*score_pairs)(const float* const* queries, const float* vectors, const float* biases,
                      std::int64_t dim, const std::int32_t* rows, std::int64_t n_pairs,
                      float* scores);
  void (*skipgram_chunk)(const SkipgramArgs* args, SkipgramResult* result);
  void (*sum_rows)(const SumRowsArgs* args);
  int tile_rows;
  int tile_cols;
  void (*subtract_product)(const TileProductArgs* args);
  // inverse = L^-1 of the symmetric positive definite tile = L L^T, of which the upper half is read
  // and destroyed; false if it is not definite.
  bool (*factor_tile)(double* tile, double* inverse, std::int64_t size);
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
