// Approximate top-k: a walk over a graph of near neighbours offers candidates, which the exact
// index scores.
//
// The graph is a hierarchical navigable small world (Malkov and Yashunin 2018) that was built
// elsewhere. A walk sees vectors rounded to few bits, so it is cheap in memory traffic, which is
// what it spends its time on; the answer's scores are those of `TopkIndex`, bit for bit. An answer
// depends on the graph, the query and the effort alone: not on other queries, nor on threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "penchant/large_array.hpp"
#include "penchant/topk.hpp"
#include "penchant/types.hpp"

namespace penchant {

// What numbers of a vector are rounded to in the walk.
enum class GraphDtype { kInt8, kBfloat16, kFloat32 };

// Links between n vectors; a list has its length first.
struct GraphLinks {
  std::span<const std::int16_t> levels;  // highest level of a vector; all are on level 0
  MatrixView<const std::int32_t> base;   // of level 0: n x (1 + 2 M)
  MatrixView<const std::int32_t> upper;  // of level 1, 2, ... of vector 0, then of 1: x (1 + M)
  std::int64_t entry = 0;                // where a walk begins: on the highest level

  [[nodiscard]] std::int64_t connectivity() const { return upper.cols - 1; }
};

// What is wrong with links between n vectors, empty if nothing. Without a problem no walk can leave
// the graph: lists fit, and the vectors in them exist, on the level of the list.
std::string problem_of_links(const GraphLinks& links, std::int64_t n);

// Lets level 0 lead from the entry to every vector that it can be made to: one that no path reaches
// is added to the list of a neighbour of its own, or else of a neighbour's neighbour, that has
// room. Building by inner products leaves some behind. `base` is as in `GraphLinks`, without a
// problem. Returns how many stay out of reach.
std::int64_t connect_links(MatrixView<std::int32_t> base, std::int64_t entry);

// How hard a query looks: `expansion` vectors are kept on the way, and the best `width` of them are
// scored exactly. Width 0 asks for nothing.
struct GraphEffort {
  std::int32_t width;
  std::int32_t expansion;
};

struct GraphScratch;

class GraphIndex {
 public:
  // Copies everything. `links` are without a problem; `biases` may be null; `order` is a
  // permutation of the rows: vectors lie in memory in that order, which is quick if neighbours are
  // together.
  GraphIndex(MatrixView<const float> vectors, const float* biases, const GraphLinks& links,
             std::span<const std::int64_t> order, GraphDtype dtype, int num_threads);
  ~GraphIndex();
  GraphIndex(const GraphIndex&) = delete;
  GraphIndex& operator=(const GraphIndex&) = delete;

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t dim() const { return dim_; }
  [[nodiscard]] std::int64_t connectivity() const { return connectivity_; }
  [[nodiscard]] std::int64_t entry() const;
  [[nodiscard]] std::int64_t n_bytes() const;

  // The links again, by rows: arrays of the shapes of `GraphLinks`, to be filled.
  [[nodiscard]] std::int64_t upper_lists() const { return upper_lists_; }
  void write_links(std::span<std::int16_t> levels, MatrixView<std::int32_t> base,
                   MatrixView<std::int32_t> upper) const;

  // The rows in the order in which they lie in memory.
  [[nodiscard]] std::span<const std::int32_t> order() const { return row_at_; }

  // About the k best vectors of every query that pass the filter, best first, by the scores of
  // `exact`, which is over the same vectors. One effort stands for all queries; -1 and -inf pad.
  // Candidate lists are none of its business.
  void search(const TopkIndex& exact, MatrixView<const float> queries, const TopkFilter& filter,
              std::span<const GraphEffort> efforts, MatrixView<std::int64_t> rows,
              MatrixView<float> scores, int num_threads) const;

 private:
  void copy_links(const GraphLinks& links, std::span<const std::int64_t> order, int num_threads);
  void round_vectors(MatrixView<const float> vectors, int num_threads);
  void round_int8(MatrixView<const float> vectors, int num_threads);

  void set_query(const float* query, GraphScratch* scratch) const;
  void score(std::span<const std::int32_t> slots, GraphScratch* scratch) const;
  [[nodiscard]] std::int32_t descend(GraphScratch* scratch) const;
  template <typename Pool>
  void walk(std::int32_t start, Pool* pool, GraphScratch* scratch) const;
  void prefetch_links(std::int32_t slot) const;
  // The best of the walk from `start`, as rows, in scratch->found.
  void find(std::int32_t start, GraphEffort effort, GraphScratch* scratch) const;
  void answer(const TopkIndex& exact, const float* query, std::int64_t number,
              const TopkFilter& filter, GraphScratch* scratch, std::span<std::int64_t> rows,
              std::span<float> scores) const;
  [[nodiscard]] std::unique_ptr<GraphScratch> take_scratch() const;
  void give_back(std::unique_ptr<GraphScratch> scratch) const;

  std::int64_t size_;
  std::int64_t dim_;
  std::int64_t width_;  // numbers of a rounded vector
  std::int64_t connectivity_;
  GraphDtype dtype_;
  std::int32_t entry_ = 0;  // a slot, like all that links lead to
  int top_level_ = 0;
  std::int64_t upper_lists_ = 0;
  std::vector<std::int32_t> row_at_;   // slot -> row
  std::vector<std::int32_t> slot_of_;  // row -> slot
  std::vector<std::int64_t> first_;    // by slot: where its lists in upper_ begin; one more
  LargeArray<std::int32_t> base_;      // size x 2 M, -1 ends a list
  LargeArray<std::int32_t> upper_;     // lists x M, likewise
  LargeArray<char> rows_;              // size x width_ of int8, uint16 or float
  std::vector<float> steps_;           // int8: what 1 means, by dimension
  std::vector<float> biases_;          // by slot; empty: none

  mutable std::mutex idle_mutex_;
  mutable std::vector<std::unique_ptr<GraphScratch>> idle_;  // of searches that have ended
};

}  // namespace penchant
