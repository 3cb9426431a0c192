#include "penchant/graph_index.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "best_k.hpp"
#include "graph_pool.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "topk_tile.hpp"

namespace penchant {

// What a search on one thread writes to. Kept for the next one, so that a single query allocates
// nothing.
struct GraphScratch {
  std::vector<std::uint64_t> seen;    // a bit a slot; all zero between walks
  std::vector<std::int32_t> visited;  // slots whose bit is set
  std::vector<std::int16_t> codes;    // of the query
  std::vector<float> query;
  float unit = 1.0F;  // what 1 in a product of codes means
  std::vector<float> scores;
  SortedPool narrow;
  HeapPool wide;
  std::vector<std::int32_t> found;
  std::vector<std::int32_t> places;
  BestK best;
};

namespace {

constexpr std::int64_t kLine = 64;
constexpr std::int64_t kChunk = 16;          // queries of a task
constexpr std::int64_t kSortFrom = 128;      // queries: fewer share too little
constexpr std::int32_t kWidestSorted = 512;  // larger pools are heaps
constexpr float kNone = -std::numeric_limits<float>::infinity();

std::int64_t bytes_of(GraphDtype dtype) {
  return dtype == GraphDtype::kInt8 ? 1 : dtype == GraphDtype::kBfloat16 ? 2 : 4;
}

// The upper half of a float32, rounded to even.
std::uint16_t upper_half(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace

GraphIndex::GraphIndex(MatrixView<const float> vectors, const float* biases,
                       const GraphLinks& links, std::span<const std::int64_t> order,
                       GraphDtype dtype, int num_threads)
    : size_(vectors.rows),
      dim_(vectors.cols),
      width_((vectors.cols + kGraphMultiple - 1) / kGraphMultiple * kGraphMultiple),
      connectivity_(links.connectivity()),
      dtype_(dtype) {
  copy_links(links, order, num_threads);
  round_vectors(vectors, num_threads);
  if (biases == nullptr) return;
  biases_.reserve(order.size());
  for (const std::int32_t row : row_at_) biases_.push_back(biases[row]);
}

GraphIndex::~GraphIndex() = default;

std::int64_t GraphIndex::entry() const {
  return row_at_[static_cast<std::size_t>(entry_)];
}

std::int64_t GraphIndex::n_bytes() const {
  const auto per_vector = static_cast<std::int64_t>(
      2 * sizeof(std::int32_t) + sizeof(std::int64_t) + (biases_.empty() ? 0 : sizeof(float)));
  return base_.n_bytes() + upper_.n_bytes() + rows_.n_bytes() + size_ * per_vector;
}

void GraphIndex::copy_links(const GraphLinks& links, std::span<const std::int64_t> order,
                            int num_threads) {
  row_at_.assign(order.begin(), order.end());
  slot_of_.resize(order.size());
  first_.assign(order.size() + 1, 0);
  std::vector<std::int64_t> first_of_row(order.size() + 1, 0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto row = static_cast<std::size_t>(order[i]);
    slot_of_[row] = static_cast<std::int32_t>(i);
    first_[i + 1] = first_[i] + links.levels[row];
    first_of_row[i + 1] = first_of_row[i] + links.levels[i];
  }
  entry_ = slot_of_[static_cast<std::size_t>(links.entry)];
  top_level_ = links.levels[static_cast<std::size_t>(links.entry)];
  upper_lists_ = first_.back();
  base_ = LargeArray<std::int32_t>(size_ * 2 * connectivity_);
  upper_ = LargeArray<std::int32_t>(upper_lists_ * connectivity_);
  const auto copy = [&](const std::int32_t* list, std::int64_t room, std::int32_t* to) {
    std::fill_n(to, room, -1);
    for (std::int32_t i = 0; i < list[0]; ++i)
      to[i] = slot_of_[static_cast<std::size_t>(list[i + 1])];
  };
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (auto slot = static_cast<std::size_t>(begin); slot < static_cast<std::size_t>(end);
         ++slot) {
      const auto row = row_at_[slot];
      const auto at = static_cast<std::int64_t>(slot);
      copy(links.base.row(row), 2 * connectivity_, base_.data() + at * 2 * connectivity_);
      for (std::int64_t i = 0; i < first_[slot + 1] - first_[slot]; ++i)
        copy(links.upper.row(first_of_row[static_cast<std::size_t>(row)] + i), connectivity_,
             upper_.data() + (first_[slot] + i) * connectivity_);
    }
  });
}

void GraphIndex::write_links(std::span<std::int16_t> levels, MatrixView<std::int32_t> base,
                             MatrixView<std::int32_t> upper) const {
  const auto copy = [&](const std::int32_t* list, std::int64_t room, std::int32_t* to) {
    std::fill_n(to, room + 1, 0);
    while (to[0] < room && list[to[0]] >= 0) {
      const std::int32_t slot = list[to[0]];
      to[++to[0]] = row_at_[static_cast<std::size_t>(slot)];
    }
  };
  std::int64_t list = 0;
  for (std::size_t row = 0; row < levels.size(); ++row) {
    const auto slot = static_cast<std::size_t>(slot_of_[row]);
    levels[row] = static_cast<std::int16_t>(first_[slot + 1] - first_[slot]);
    copy(base_.data() + 2 * connectivity_ * slot_of_[row], 2 * connectivity_,
         base.row(static_cast<std::int64_t>(row)));
    for (std::int64_t i = first_[slot]; i < first_[slot + 1]; ++i)
      copy(upper_.data() + i * connectivity_, connectivity_, upper.row(list++));
  }
}

void GraphIndex::round_vectors(MatrixView<const float> vectors, int num_threads) {
  rows_ = LargeArray<char>(size_ * width_ * bytes_of(dtype_));
  if (dtype_ == GraphDtype::kInt8) return round_int8(vectors, num_threads);
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t slot = begin; slot < end; ++slot) {
      const float* vector = vectors.row(row_at_[static_cast<std::size_t>(slot)]);
      if (dtype_ == GraphDtype::kFloat32) {
        std::copy_n(vector, dim_, reinterpret_cast<float*>(rows_.data()) + slot * width_);
      } else {
        auto* halves = reinterpret_cast<std::uint16_t*>(rows_.data()) + slot * width_;
        std::transform(vector, vector + dim_, halves, upper_half);
      }
    }
  });
}

// Every dimension is rounded to 8 bits on a scale of its own, by which queries are multiplied:
// where some dimensions are much larger than others, as in trained factors, the small ones count
// too.
void GraphIndex::round_int8(MatrixView<const float> vectors, int num_threads) {
  steps_.assign(static_cast<std::size_t>(dim_), 0.0F);
  for (std::int64_t row = 0; row < size_; ++row)
    for (std::int64_t d = 0; d < dim_; ++d) {
      float& step = steps_[static_cast<std::size_t>(d)];
      step = std::max(step, std::abs(vectors.row(row)[d]));
    }
  for (float& step : steps_) step /= 127.0F;
  auto* codes = reinterpret_cast<std::int8_t*>(rows_.data());
  parallel_chunks(size_, 4096, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t slot = begin; slot < end; ++slot) {
      const float* vector = vectors.row(row_at_[static_cast<std::size_t>(slot)]);
      for (std::int64_t d = 0; d < dim_; ++d) {
        const float step = steps_[static_cast<std::size_t>(d)];
        const float level =
            step > 0.0F ? std::clamp(std::nearbyint(vector[d] / step), -127.0F, 127.0F) : 0.0F;
        codes[slot * width_ + d] = static_cast<std::int8_t>(level);
      }
    }
  });
}

// ---- one query ----------------------------------------------------------------------------------

void GraphIndex::set_query(const float* query, GraphScratch* scratch) const {
  const auto width = static_cast<std::size_t>(width_);
  scratch->scores.resize(static_cast<std::size_t>(2 * connectivity_ + 4));
  scratch->unit = 1.0F;
  if (dtype_ != GraphDtype::kInt8) {
    scratch->query.assign(width, 0.0F);
    std::copy_n(query, dim_, scratch->query.data());
    return;
  }
  // As large as sums of 32 bits allow, so that rounding the query costs next to nothing.
  const double most =
      std::min(32767.0, std::floor(static_cast<double>(std::numeric_limits<std::int32_t>::max()) /
                                   (127.0 * static_cast<double>(width_))));
  double largest = 0.0;
  for (std::size_t d = 0; d < steps_.size(); ++d)
    largest = std::max(largest, std::abs(static_cast<double>(query[d]) * steps_[d]));
  scratch->codes.assign(width, 0);
  if (largest == 0.0) return;
  for (std::size_t d = 0; d < steps_.size(); ++d)
    scratch->codes[d] = static_cast<std::int16_t>(
        std::nearbyint(static_cast<double>(query[d]) * steps_[d] * (most / largest)));
  if (!biases_.empty()) scratch->unit = static_cast<float>(largest / most);
}

void GraphIndex::score(std::span<const std::int32_t> slots, GraphScratch* scratch) const {
  const auto n = static_cast<std::int64_t>(slots.size());
  float* scores = scratch->scores.data();
  if (dtype_ == GraphDtype::kFloat32) {
    const RowDotsArgs args{scratch->query.data(),
                           reinterpret_cast<const float*>(rows_.data()),
                           width_,
                           slots.data(),
                           n,
                           scores};
    kernels().row_dots(&args);
  } else {
    const bool whole = dtype_ == GraphDtype::kInt8;
    const void* query = whole ? static_cast<const void*>(scratch->codes.data())
                              : static_cast<const void*>(scratch->query.data());
    const GraphDotsArgs args{query, rows_.data(), width_, slots.data(), n, scores};
    whole ? kernels().graph_dots_int8(&args) : kernels().graph_dots_bfloat16(&args);
  }
  if (biases_.empty()) return;
  for (std::size_t i = 0; i < slots.size(); ++i)
    scores[i] = scores[i] * scratch->unit + biases_[static_cast<std::size_t>(slots[i])];
}

// The nearest vector that greedy steps reach on every level but the lowest.
std::int32_t GraphIndex::descend(GraphScratch* scratch) const {
  std::int32_t here = entry_;
  score({&here, 1}, scratch);
  float best = scratch->scores[0];
  for (int level = top_level_; level > 0; --level) {
    for (bool moved = true; moved;) {
      moved = false;
      const std::int64_t list = first_[static_cast<std::size_t>(here)] + level - 1;
      const std::int32_t* links = upper_.data() + list * connectivity_;
      const std::int32_t* end = std::find(links, links + connectivity_, -1);
      const std::int64_t row_bytes = width_ * bytes_of(dtype_);
      for (const std::int32_t* link = links; link != end; ++link)
        for (std::int64_t b = 0; b < row_bytes; b += kLine)
          __builtin_prefetch(rows_.data() + *link * row_bytes + b);
      score({links, end}, scratch);
      for (const std::int32_t* link = links; link != end; ++link) {
        const float found = scratch->scores[static_cast<std::size_t>(link - links)];
        if (found <= best) continue;
        best = found;
        here = *link;
        moved = true;
      }
    }
  }
  return here;
}

void GraphIndex::prefetch_links(std::int32_t slot) const {
  const std::int32_t* links = base_.data() + 2 * connectivity_ * slot;
  for (std::int64_t i = 0; i < 2 * connectivity_; i += kLine / 4) __builtin_prefetch(links + i);
}

template <typename Pool>
void GraphIndex::walk(std::int32_t start, Pool* pool, GraphScratch* scratch) const {
  std::vector<std::uint64_t>& seen = scratch->seen;
  std::vector<std::int32_t>& visited = scratch->visited;
  const std::int64_t row_bytes = width_ * bytes_of(dtype_);
  const std::int64_t links_of_one = 2 * connectivity_;
  std::size_t n_visited = 1;
  visited.resize(std::max(visited.size(), static_cast<std::size_t>(links_of_one) + 1));
  visited[0] = start;
  seen[static_cast<std::size_t>(start) / 64] |= std::uint64_t{1} << (start % 64);
  score({&start, 1}, scratch);
  pool->add(scratch->scores[0], start);
  for (std::int32_t slot = pool->next(); slot >= 0; slot = pool->next()) {
    if (visited.size() < n_visited + static_cast<std::size_t>(links_of_one))
      visited.resize(2 * visited.size() + static_cast<std::size_t>(links_of_one));
    const std::int32_t* links = base_.data() + slot * links_of_one;
    std::size_t end = n_visited;
    for (std::int64_t i = 0; i < links_of_one && links[i] >= 0; ++i) {
      const std::int32_t link = links[i];
      std::uint64_t& word = seen[static_cast<std::size_t>(link) / 64];
      visited[end] = link;
      end += (word >> (link % 64) & 1U) == 0 ? 1U : 0U;
      word |= std::uint64_t{1} << (link % 64);
      for (std::int64_t b = 0; b < row_bytes; b += kLine)
        __builtin_prefetch(rows_.data() + link * row_bytes + b);
    }
    const std::span<const std::int32_t> fresh(visited.data() + n_visited, end - n_visited);
    n_visited = end;
    if (fresh.empty()) continue;
    score(fresh, scratch);
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      if (!(scratch->scores[i] > pool->threshold())) continue;
      pool->add(scratch->scores[i], fresh[i]);
      prefetch_links(fresh[i]);  // likely to be followed, some steps from now
    }
  }
  for (std::size_t i = 0; i < n_visited; ++i) seen[static_cast<std::size_t>(visited[i]) / 64] = 0;
}

void GraphIndex::find(std::int32_t start, GraphEffort effort, GraphScratch* scratch) const {
  const std::int32_t expansion =
      std::min(std::max(effort.expansion, effort.width), static_cast<std::int32_t>(size_));
  const auto run = [&](auto* pool) {
    pool->reset(expansion);
    walk(start, pool, scratch);
    pool->write(effort.width, &scratch->found);
  };
  expansion <= kWidestSorted ? run(&scratch->narrow) : run(&scratch->wide);
  for (std::int32_t& slot : scratch->found) slot = row_at_[static_cast<std::size_t>(slot)];
}

void GraphIndex::answer(const TopkIndex& exact, const float* query, std::int64_t number,
                        const TopkFilter& filter, GraphScratch* scratch,
                        std::span<std::int64_t> rows, std::span<float> scores) const {
  std::vector<std::int32_t>& found = scratch->found;
  if (filter.exclude != nullptr || filter.allowed != nullptr) {
    std::span<const std::int32_t> left_out;
    if (filter.exclude != nullptr) left_out = filter.exclude->row(number);
    std::erase_if(found, [&](std::int32_t row) {
      return (filter.allowed != nullptr && filter.allowed[row] == 0) ||
             std::binary_search(left_out.begin(), left_out.end(), row);
    });
  }
  scratch->scores.resize(std::max(scratch->scores.size(), found.size()));
  exact.score_rows(query, found, &scratch->places, scratch->scores);
  scratch->best.start(static_cast<std::int64_t>(rows.size()),
                      -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < found.size(); ++i) scratch->best.offer(scratch->scores[i], found[i]);
  scratch->best.write(rows.data(), scores.data());
}

// ---- many queries -------------------------------------------------------------------------------

std::unique_ptr<GraphScratch> GraphIndex::take_scratch() const {
  std::unique_ptr<GraphScratch> scratch;
  {
    const std::lock_guard lock(idle_mutex_);
    if (!idle_.empty()) {
      scratch = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (scratch == nullptr) scratch = std::make_unique<GraphScratch>();
  scratch->seen.resize(static_cast<std::size_t>(size_ / 64 + 1), 0);
  return scratch;
}

void GraphIndex::give_back(std::unique_ptr<GraphScratch> scratch) const {
  constexpr std::size_t kKept = 64;
  const std::lock_guard lock(idle_mutex_);
  if (idle_.size() < kKept) idle_.push_back(std::move(scratch));
}

void GraphIndex::search(const TopkIndex& exact, MatrixView<const float> queries,
                        const TopkFilter& filter, std::span<const GraphEffort> efforts,
                        MatrixView<std::int64_t> rows, MatrixView<float> scores,
                        int num_threads) const {
  const std::int64_t tasks = (queries.rows + kChunk - 1) / kChunk;
  const auto workers =
      static_cast<int>(std::min<std::int64_t>(resolve_num_threads(num_threads), tasks));
  std::vector<std::unique_ptr<GraphScratch>> scratches;
  for (int w = 0; w < workers; ++w) scratches.push_back(take_scratch());
  const auto for_each = [&](const auto& body) {
    parallel_chunks(queries.rows, kChunk, workers,
                    [&](std::int64_t begin, std::int64_t end, int thread) {
                      for (std::int64_t i = begin; i < end; ++i)
                        body(i, scratches[static_cast<std::size_t>(thread)].get());
                    });
  };
  const auto answer_one = [&](std::int64_t q, std::int32_t start, GraphScratch* scratch) {
    const auto at = static_cast<std::size_t>(q);
    const GraphEffort effort = efforts[efforts.size() == 1 ? 0 : at];
    scratch->found.clear();
    set_query(queries.row(q), scratch);
    if (effort.width > 0) find(start >= 0 ? start : descend(scratch), effort, scratch);
    const auto k = static_cast<std::size_t>(rows.cols);
    answer(exact, queries.row(q), q, filter, scratch, {rows.row(q), k}, {scores.row(q), k});
  };
  if (queries.rows < kSortFrom) {
    for_each([&](std::int64_t q, GraphScratch* scratch) { answer_one(q, -1, scratch); });
  } else {
    // Queries that start near each other walk the same part of the graph: one after the other, they
    // find it in the cache.
    std::vector<std::int32_t> starts(static_cast<std::size_t>(queries.rows));
    for_each([&](std::int64_t q, GraphScratch* scratch) {
      set_query(queries.row(q), scratch);
      starts[static_cast<std::size_t>(q)] = descend(scratch);
    });
    std::vector<std::int64_t> order(starts.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return starts[static_cast<std::size_t>(a)] < starts[static_cast<std::size_t>(b)];
    });
    for_each([&](std::int64_t i, GraphScratch* scratch) {
      const std::int64_t q = order[static_cast<std::size_t>(i)];
      answer_one(q, starts[static_cast<std::size_t>(q)], scratch);
    });
  }
  for (auto& scratch : scratches) give_back(std::move(scratch));
}

}  // namespace penchant
