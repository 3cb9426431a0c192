#include "penchant/neighbor_index.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "best_k.hpp"
#include "log_sum_exp.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kQueriesPerTask = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum Mark : std::uint8_t { kTouched = 1, kExcluded = 2 };

float largest_magnitude(const float* values, std::int64_t n) {
  float largest = 0.0F;
  for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

// Runs body(task part begin, end, scratch of the thread) over [0, n).
template <typename T, typename Body>
void with_scratch(std::int64_t n, int num_threads, std::int64_t n_items, const Body& body) {
  const int threads = resolve_num_threads(num_threads);
  std::vector<std::optional<T>> scratches(static_cast<std::size_t>(threads));
  parallel_chunks(n, kQueriesPerTask, threads,
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    auto& own = scratches[static_cast<std::size_t>(thread)];
                    if (!own) own.emplace(n_items);
                    body(begin, end, &*own);
                  });
}

}  // namespace

// One query's scores. Between queries, sums and marks are zero.
struct NeighborIndex::Scratch {
  std::vector<float> sums;
  std::vector<std::uint8_t> marks;
  std::vector<std::int32_t> touched;  // room for one more than there are items
  std::int64_t n_touched = 0;
  std::vector<const float*> dense_rows;
  BestK best;
  std::int64_t k = 0;
  std::vector<Scored> found;

  explicit Scratch(std::int64_t n)
      : sums(static_cast<std::size_t>(n), 0.0F),
        marks(static_cast<std::size_t>(n), 0),
        touched(static_cast<std::size_t>(n) + 1) {}
};

NeighborIndex::NeighborIndex(const CsrView& neighbors, std::span<const float> values)
    : size_(neighbors.rows()),
      largest_(largest_magnitude(values.data(), neighbors.entries())),
      indptr_(neighbors.indptr.begin(), neighbors.indptr.end()),
      indices_(neighbors.indices.begin(), neighbors.indices.end()),
      values_(values.begin(), values.end()) {}

NeighborIndex::NeighborIndex(MatrixView<const float> matrix)
    : size_(matrix.rows), largest_(largest_magnitude(matrix.data, matrix.size())), dense_(matrix) {}

double NeighborIndex::score_bound(double history_sum) const {
  return history_sum * static_cast<double>(largest_);
}

void NeighborIndex::add_up(const Histories& queries, std::int64_t query, Scratch* scratch) const {
  const auto items = queries.items.row(query);
  const float* values =
      queries.values.data() + queries.items.indptr[static_cast<std::size_t>(query)];
  float* const sums = scratch->sums.data();
  if (dense_.data != nullptr) {
    scratch->dense_rows.clear();
    for (const std::int32_t item : items) scratch->dense_rows.push_back(dense_.row(item));
    const SumRowsArgs args{scratch->dense_rows.data(), values,
                           static_cast<std::int64_t>(items.size()), size_, sums};
    kernels().sum_rows(&args);
    return;
  }
  std::uint8_t* const marks = scratch->marks.data();
  std::int32_t* const touched = scratch->touched.data();
  std::int64_t n = 0;
  for (std::size_t h = 0; h < items.size(); ++h) {
    const float value = values[h];
    const auto row = static_cast<std::size_t>(items[h]);
    for (auto at = static_cast<std::size_t>(indptr_[row]);
         at < static_cast<std::size_t>(indptr_[row + 1]); ++at) {
      const std::int32_t item = indices_[at];
      const std::uint8_t mark = marks[item];
      touched[n] = item;
      n += mark == 0;
      marks[item] = static_cast<std::uint8_t>(mark | kTouched);
      sums[item] += value * values_[at];
    }
  }
  scratch->n_touched = n;
}

// Every item that is not left out competes: positive scores, then zeros by number, then negatives.
void NeighborIndex::offer_all(const std::uint8_t* allowed, Scratch* scratch) const {
  const auto is_allowed = [&](std::int64_t item) {
    return allowed == nullptr || allowed[item] != 0;
  };
  std::vector<Scored>& found = scratch->found;
  BestK& best = scratch->best;
  if (dense_.data != nullptr) {
    best.start(scratch->k, -kInfinity);
    for (std::int64_t item = 0; item < size_; ++item)
      if (scratch->marks[static_cast<std::size_t>(item)] == 0 && is_allowed(item))
        best.offer(scratch->sums[static_cast<std::size_t>(item)], static_cast<std::int32_t>(item));
    found = best.sorted();
    return;
  }
  const std::span touched(scratch->touched.data(), static_cast<std::size_t>(scratch->n_touched));
  best.start(scratch->k, std::numeric_limits<float>::denorm_min());
  for (const std::int32_t item : touched)
    if (is_allowed(item)) best.offer(scratch->sums[static_cast<std::size_t>(item)], item);
  found = best.sorted();
  const auto k = static_cast<std::size_t>(scratch->k);
  for (std::int64_t item = 0; item < size_ && found.size() < k; ++item) {
    const auto at = static_cast<std::size_t>(item);
    if ((scratch->marks[at] & kExcluded) == 0 && scratch->sums[at] == 0.0F && is_allowed(item))
      found.push_back({0.0F, static_cast<std::int32_t>(item)});
  }
  if (found.size() >= k) return;
  best.start(static_cast<std::int64_t>(k - found.size()), -kInfinity);
  for (const std::int32_t item : touched)
    if (scratch->sums[static_cast<std::size_t>(item)] < 0.0F && is_allowed(item))
      best.offer(scratch->sums[static_cast<std::size_t>(item)], item);
  const auto& negative = best.sorted();
  found.insert(found.end(), negative.begin(), negative.end());
}

void NeighborIndex::search_one(const Histories& queries, std::int64_t query,
                               const TopkFilter& filter, Scratch* scratch) const {
  std::span<const std::int32_t> excluded;
  if (filter.exclude != nullptr) excluded = filter.exclude->row(query);
  for (const std::int32_t item : excluded)
    scratch->marks[static_cast<std::size_t>(item)] = kExcluded;
  add_up(queries, query, scratch);
  const std::uint8_t* const allowed = filter.allowed_for(query, size_);
  if (filter.candidates == nullptr) {
    offer_all(allowed, scratch);
  } else {
    scratch->best.start(scratch->k, -kInfinity);
    for (const std::int32_t item : filter.candidates->row(query))
      if ((scratch->marks[static_cast<std::size_t>(item)] & kExcluded) == 0 &&
          (allowed == nullptr || allowed[item] != 0))
        scratch->best.offer(scratch->sums[static_cast<std::size_t>(item)], item);
    scratch->found = scratch->best.sorted();
  }
  clear(scratch);
  for (const std::int32_t item : excluded) {
    scratch->marks[static_cast<std::size_t>(item)] = 0;
    scratch->sums[static_cast<std::size_t>(item)] = 0.0F;
  }
}

void NeighborIndex::clear(Scratch* scratch) const {
  if (dense_.data != nullptr) return;  // sum_rows overwrites
  for (std::int64_t t = 0; t < scratch->n_touched; ++t) {
    const auto item = static_cast<std::size_t>(scratch->touched[static_cast<std::size_t>(t)]);
    scratch->sums[item] = 0.0F;
    scratch->marks[item] = 0;
  }
}

void NeighborIndex::search(const Histories& queries, const TopkFilter& filter,
                           MatrixView<std::int64_t> rows, MatrixView<float> scores,
                           int num_threads) const {
  with_scratch<Scratch>(queries.items.rows(), num_threads, size_,
                        [&](std::int64_t begin, std::int64_t end, Scratch* scratch) {
                          scratch->k = rows.cols;
                          for (std::int64_t query = begin; query < end; ++query) {
                            search_one(queries, query, filter, scratch);
                            write_padded(scratch->found, static_cast<std::size_t>(rows.cols),
                                         rows.row(query), scores.row(query));
                          }
                        });
}

void NeighborIndex::score_pairs(const Histories& queries, std::span<const std::int64_t> query_rows,
                                std::span<const std::int64_t> item_rows, std::span<float> scores,
                                int num_threads) const {
  // Pairs of one query together: its scores are added up once.
  std::vector<std::int64_t> order(query_rows.size());
  std::iota(order.begin(), order.end(), 0);
  if (!std::is_sorted(query_rows.begin(), query_rows.end()))
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return query_rows[static_cast<std::size_t>(a)] < query_rows[static_cast<std::size_t>(b)];
    });
  const auto query_at = [&](std::size_t i) {
    return query_rows[static_cast<std::size_t>(order[i])];
  };
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < order.size(); ++i)
    if (i == 0 || query_at(i) != query_at(i - 1)) starts.push_back(i);
  const auto groups = static_cast<std::int64_t>(starts.size());
  starts.push_back(order.size());
  with_scratch<Scratch>(
      groups, num_threads, size_, [&](std::int64_t begin, std::int64_t end, Scratch* scratch) {
        for (auto group = static_cast<std::size_t>(begin); group < static_cast<std::size_t>(end);
             ++group) {
          add_up(queries, query_at(starts[group]), scratch);
          for (std::size_t i = starts[group]; i < starts[group + 1]; ++i) {
            const auto pair = static_cast<std::size_t>(order[i]);
            scores[pair] = scratch->sums[static_cast<std::size_t>(item_rows[pair])];
          }
          clear(scratch);
        }
      });
}

// Sum of a sparse row over the items that are not left out.
double NeighborIndex::sum_left(std::size_t row, const std::vector<std::uint8_t>& left_out) const {
  double sum = 0.0;
  for (auto at = static_cast<std::size_t>(indptr_[row]);
       at < static_cast<std::size_t>(indptr_[row + 1]); ++at)
    if (left_out[static_cast<std::size_t>(indices_[at])] == 0)
      sum += static_cast<double>(values_[at]);
  return sum;
}

// Sums of the rows of a dense matrix over the items that are allowed.
std::vector<double> NeighborIndex::row_sums(const std::uint8_t* allowed, int num_threads) const {
  std::vector<double> sums(static_cast<std::size_t>(size_));
  parallel_chunks(
      size_, kQueriesPerTask, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row)
          for (std::int64_t item = 0; item < size_; ++item)
            if (allowed == nullptr || allowed[item] != 0)
              sums[static_cast<std::size_t>(row)] += static_cast<double>(dense_.row(row)[item]);
      });
  return sums;
}

// A sum of scores is one of what each item of the history adds. Where S is dense, that is the sum
// of its row less what is left out, which float64 holds to enough digits even where nearly all is.
void NeighborIndex::score_sums(const Histories& queries, const CsrView* exclude,
                               const std::uint8_t* allowed, std::span<double> sums,
                               int num_threads) const {
  const bool dense = dense_.data != nullptr;
  std::vector<double> whole;
  if (dense) whole = row_sums(allowed, num_threads);
  const auto is_allowed = [&](std::int32_t item) {
    return allowed == nullptr || allowed[item] != 0;
  };
  using Marks = std::vector<std::uint8_t>;
  with_scratch<Marks>(
      queries.items.rows(), num_threads, size_,
      [&](std::int64_t begin, std::int64_t end, Marks* left_out) {
        for (std::int32_t item = 0; item < size_; ++item)
          (*left_out)[static_cast<std::size_t>(item)] = is_allowed(item) ? 0 : 1;
        for (std::int64_t query = begin; query < end; ++query) {
          std::span<const std::int32_t> excluded;
          if (exclude != nullptr) excluded = exclude->row(query);
          for (const std::int32_t item : excluded) (*left_out)[static_cast<std::size_t>(item)] = 1;
          auto at = static_cast<std::size_t>(queries.items.indptr[static_cast<std::size_t>(query)]);
          double sum = 0.0;
          for (const std::int32_t own : queries.items.row(query)) {
            const auto row = static_cast<std::size_t>(own);
            double rest = dense ? whole[row] : sum_left(row, *left_out);
            if (dense)
              for (const std::int32_t item : excluded)
                if (is_allowed(item)) rest -= static_cast<double>(dense_.row(own)[item]);
            sum += static_cast<double>(queries.values[at++]) * rest;
          }
          sums[static_cast<std::size_t>(query)] = sum;
          for (const std::int32_t item : excluded)
            (*left_out)[static_cast<std::size_t>(item)] = is_allowed(item) ? 0 : 1;
        }
      });
}

void NeighborIndex::log_sum_exp(const Histories& queries, std::span<double> sums,
                                int num_threads) const {
  with_scratch<Scratch>(
      queries.items.rows(), num_threads, size_,
      [&](std::int64_t begin, std::int64_t end, Scratch* scratch) {
        std::vector<float> values;
        for (std::int64_t query = begin; query < end; ++query) {
          add_up(queries, query, scratch);
          std::span<const float> scores(scratch->sums);
          LogSumExp sum;
          if (dense_.data == nullptr) {
            values.clear();
            for (std::int64_t t = 0; t < scratch->n_touched; ++t)
              values.push_back(scratch->sums[static_cast<std::size_t>(
                  scratch->touched[static_cast<std::size_t>(t)])]);
            scores = values;
            sum.add(0.0, static_cast<double>(size_ - scratch->n_touched));
          }
          for (std::size_t at = 0; at < scores.size(); at += kExpBlock) {
            const auto part =
                scores.subspan(at, std::min<std::size_t>(kExpBlock, scores.size() - at));
            sum.add(kernels().exp_sum(part.data(), static_cast<std::int64_t>(part.size())));
          }
          sums[static_cast<std::size_t>(query)] = sum.value();
          clear(scratch);
        }
      });
}

void NeighborIndex::neighbors(std::span<const std::int64_t> items, MatrixView<std::int64_t> rows,
                              MatrixView<float> scores, int num_threads) const {
  parallel_chunks(
      static_cast<std::int64_t>(items.size()), kQueriesPerTask, num_threads,
      [&](std::int64_t begin, std::int64_t end, int) {
        BestK best;
        for (std::int64_t query = begin; query < end; ++query) {
          const std::int64_t own = items[static_cast<std::size_t>(query)];
          best.start(rows.cols, -kInfinity);
          if (dense_.data != nullptr) {
            for (std::int64_t item = 0; item < size_; ++item)
              if (item != own) best.offer(dense_.row(own)[item], static_cast<std::int32_t>(item));
          } else {
            for (auto at = static_cast<std::size_t>(indptr_[static_cast<std::size_t>(own)]);
                 at < static_cast<std::size_t>(indptr_[static_cast<std::size_t>(own) + 1]); ++at)
              if (indices_[at] != own) best.offer(values_[at], indices_[at]);
          }
          best.write(rows.row(query), scores.row(query));
        }
      });
}

}  // namespace penchant
