// Exact top-k by inner product plus bias: the one retrieval kernel of the library.
//
// A score is accumulated in float32 in the order bias, dimension 0, 1, ...; single, batch,
// candidate and pair scoring run the same code and give the same bits. Ties go to the lower row.
// Missing results are row -1, score -inf.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "penchant/large_array.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Rows that a query may or may not return; null where there is no such filter.
struct TopkFilter {
  const CsrView* exclude = nullptr;       // row q: vectors left out for query q
  const CsrView* candidates = nullptr;    // row q: the only vectors considered for query q
  const std::uint8_t* allowed = nullptr;  // one byte a vector: 0 leaves it out
  // Row of `allowed` that holds for each query; null: there is one row, for every query.
  const std::int32_t* allowed_rows = nullptr;

  [[nodiscard]] const std::uint8_t* allowed_for(std::int64_t query, std::int64_t n_vectors) const {
    return allowed_rows == nullptr ? allowed : allowed + allowed_rows[query] * n_vectors;
  }
};

// For each row of a filter's flags the positions of the vectors it allows, where they are so few
// that scoring just them beats a scan; empty without flags, and beside candidates.
using Survivors = std::vector<std::optional<std::vector<std::int32_t>>>;

class TopkIndex {
 public:
  // Copies `vectors` (n x dim, finite, n < 2^31); `biases` (n floats) may be null.
  TopkIndex(MatrixView<const float> vectors, const float* biases, int num_threads);

  // The index whose block() this is, such as one in a mapped file: read in place, so that it must
  // stay as it is, and alive, which `owner` may see to. It answers with the same bits, on the
  // instruction set it was made for. Throws std::invalid_argument where a search could read outside
  // of the block.
  explicit TopkIndex(std::span<const std::byte> block, std::shared_ptr<const void> owner = nullptr);

  // All that the index is made of, to be written to a file.
  [[nodiscard]] std::span<const std::byte> block() const { return block_; }

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t dim() const { return dim_; }

  // Memory that the index takes: the vectors, their 8-bit copies and what bounds them.
  [[nodiscard]] std::int64_t n_bytes() const;

  // Largest absolute value of any score for queries whose largest component is `largest_query`, by
  // a bound; callers refuse queries for which it is not finite.
  [[nodiscard]] double score_bound(float largest_query) const;

  // The k best vectors of every query, best first, into rows and scores (queries x k).
  void search(MatrixView<const float> queries, const TopkFilter& filter,
              MatrixView<std::int64_t> rows, MatrixView<float> scores, int num_threads) const;

  // scores[i] = score of vector vector_rows[i] for query query_rows[i].
  void score_pairs(MatrixView<const float> queries, std::span<const std::int64_t> query_rows,
                   std::span<const std::int64_t> vector_rows, std::span<float> scores,
                   int num_threads) const;

  // sums[q] = log of the sum of exp(score) over all vectors, for query q; -infinity without
  // vectors.
  void log_sum_exp(MatrixView<const float> queries, std::span<double> sums, int num_threads) const;

  // scores[i] = score of vector vector_rows[i] for one query, on this thread; `places` is scratch.
  void score_rows(const float* query, std::span<const std::int32_t> vector_rows,
                  std::vector<std::int32_t>* places, std::span<float> scores) const;

 private:
  friend class TileSearch;

  static constexpr std::size_t kHull = 7;
  static constexpr std::array<float, kHull> kHullPoints = {0.0F,  0.5F, 0.75F, 1.0F,
                                                           1.25F, 1.5F, 2.0F};

  // Vectors [begin, end) in scan order with what bounds their scores.
  struct Block {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    float max_norm = 0.0F;
    float max_abs_bias = 0.0F;
    float max_error = 0.0F;  // largest norm of (vector - quantized vector)
    // Largest x * norm + bias of the block for x = kHullPoints[i] * mean_norm_.
    std::array<float, kHull> hull{};
  };

  // Upper bound of |query| * |vector| + bias over a block. The maximum of straight lines is convex,
  // so interpolating between two points of it cannot fall below it.
  [[nodiscard]] float largest_score(const Block& block, float query_norm) const;

  // Positions of the vectors that each row of the flags allows, where they are few.
  [[nodiscard]] Survivors survivors(const TopkFilter& filter, std::int64_t n_queries,
                                    int num_threads) const;
  // Fetches the vector at a scan position; of long ones the rest streams in behind.
  void prefetch(std::int64_t place) const {
    constexpr std::int64_t kFloatsOfLine = 16;
    constexpr std::int64_t kMost = 16 * kFloatsOfLine;
    const float* const vector = vectors_.data() + place * dim_;
    for (std::int64_t d = 0; d < (dim_ < kMost ? dim_ : kMost); d += kFloatsOfLine)
      __builtin_prefetch(vector + d);
  }

  // Into how many parts the search of a tile of queries is cut.
  [[nodiscard]] std::int64_t parts_of_tile(std::int64_t pairs, std::int64_t tiles,
                                           int threads) const;

  // Finds the parts of a block that has a header.
  void view(std::span<const std::byte> block);
  void make_blocks();

  LargeArray<std::byte> memory_;  // none where the block is somebody else's
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> block_;
  std::int64_t size_ = 0;
  std::int64_t dim_ = 0;
  std::int64_t groups_ = 0;  // of four dimensions
  float mean_norm_ = 0.0F;
  double largest_norm_ = 0.0;
  double largest_bias_ = 0.0;
  // Parts of the block; see topk_block.hpp.
  std::span<const std::int32_t> row_at_;    // scan position -> row: furthest-reaching vectors first
  std::span<const std::int32_t> place_of_;  // row -> scan position
  std::span<const float> vectors_;          // in scan order, like all that follows
  std::span<const float> biases_;
  std::span<const float> norms_;
  std::span<const float> scales_;
  std::span<const float> errors_;
  std::span<const std::int32_t> corrections_;
  std::span<const std::int8_t> panels_;
  std::vector<Block> blocks_;
};

}  // namespace penchant
