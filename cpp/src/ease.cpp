#include "penchant/ease.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "best_k.hpp"
#include "penchant/parallel.hpp"
#include "sparse_rows.hpp"
#include "spd_inverse.hpp"
#include "training.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kItemsPerTask = 8;

// The scaled matrix X, seen from both sides.
struct Scaled {
  CsrView rows;
  const float* values;               // null: all 1
  std::vector<double> user_weights;  // squares of the users' scales
  std::vector<double> item_scales;
  std::vector<std::int64_t> item_begin;
  std::vector<std::int32_t> item_users;  // ascending for each item
  std::vector<float> item_values;        // empty: all 1

  [[nodiscard]] std::int64_t items() const { return static_cast<std::int64_t>(item_scales.size()); }
};

void transpose(Scaled* x) {
  const std::size_t n_items = x->item_scales.size();
  x->item_begin.assign(n_items + 1, 0);
  for (const std::int32_t item : x->rows.indices)
    ++x->item_begin[static_cast<std::size_t>(item) + 1];
  std::partial_sum(x->item_begin.begin(), x->item_begin.end(), x->item_begin.begin());
  std::vector<std::int64_t> next(x->item_begin.begin(), x->item_begin.end() - 1);
  x->item_users.resize(x->rows.indices.size());
  if (x->values != nullptr) x->item_values.resize(x->rows.indices.size());
  for (std::int64_t u = 0; u < x->rows.rows(); ++u) {
    std::int64_t entry = x->rows.indptr[static_cast<std::size_t>(u)];
    for (const std::int32_t item : x->rows.row(u)) {
      const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(item)]++);
      x->item_users[at] = static_cast<std::int32_t>(u);
      if (x->values != nullptr) x->item_values[at] = x->values[entry];
      ++entry;
    }
  }
}

// X_ui = v_ui / (items of u)^a / (users of i)^b.
Scaled scaled(const CsrView& interactions, const float* values, std::int64_t n_items,
              const EaseParams& params) {
  Scaled x;
  x.rows = interactions;
  x.values = values;
  x.user_weights.assign(static_cast<std::size_t>(interactions.rows()), 1.0);
  x.item_scales.assign(static_cast<std::size_t>(n_items), 1.0);
  transpose(&x);
  const auto power = [](std::int64_t count, double exponent) {
    return count > 0 ? std::pow(static_cast<double>(count), exponent) : 1.0;
  };
  for (std::size_t u = 0; u < x.user_weights.size(); ++u)
    x.user_weights[u] =
        power(interactions.indptr[u + 1] - interactions.indptr[u], -2.0 * params.user_exponent);
  for (std::size_t i = 0; i < x.item_scales.size(); ++i)
    x.item_scales[i] = power(x.item_begin[i + 1] - x.item_begin[i], -params.item_exponent);
  return x;
}

// Row `item` of the Gram matrix up to column `end`, in double precision, users in ascending order.
void gram_row(const Scaled& x, std::int64_t item, std::int64_t end, double* sums) {
  std::fill_n(sums, end, 0.0);
  const auto row = static_cast<std::size_t>(item);
  for (std::int64_t e = x.item_begin[row]; e < x.item_begin[row + 1]; ++e) {
    const auto at = static_cast<std::size_t>(e);
    const std::int32_t user = x.item_users[at];
    double share = x.user_weights[static_cast<std::size_t>(user)];
    const auto others = x.rows.row(user);
    if (x.values == nullptr) {
      for (const std::int32_t other : others) {
        if (other >= end) break;
        sums[other] += share;
      }
      continue;
    }
    share *= static_cast<double>(x.item_values[at]);
    const float* values = x.values + x.rows.indptr[static_cast<std::size_t>(user)];
    for (std::size_t p = 0; p < others.size() && others[p] < end; ++p)
      sums[others[p]] += share * static_cast<double>(values[p]);
  }
  for (std::int64_t c = 0; c < end; ++c)
    sums[c] *= x.item_scales[row] * x.item_scales[static_cast<std::size_t>(c)];
}

class Ease {
 public:
  Ease(const CsrView& interactions, const float* values, std::int64_t n_items,
       const EaseParams& params, const std::function<bool()>& cancelled)
      : params_(params),
        threads_(resolve_num_threads(params.num_threads)),
        cancel_(cancelled),
        x_(scaled(interactions, values, n_items, params)),
        tiles_(n_items) {}

  EaseStatus solve() {
    make_gram();
    if (cancel_.raised(0)) return EaseStatus::kCancelled;
    regularize();
    const InverseStatus status = negative_inverse(&tiles_, threads_, &cancel_);
    if (status == InverseStatus::kCancelled) return EaseStatus::kCancelled;
    if (status == InverseStatus::kNotDefinite) return EaseStatus::kNotDefinite;
    columns_.resize(static_cast<std::size_t>(items()));
    for (std::int64_t j = 0; j < items(); ++j)
      columns_[static_cast<std::size_t>(j)] =
          -1.0 / tiles_.diagonal(j) / x_.item_scales[static_cast<std::size_t>(j)];
    return EaseStatus::kDone;
  }

  [[nodiscard]] std::int64_t items() const { return tiles_.size(); }
  [[nodiscard]] std::int64_t blocks() const { return tiles_.blocks(); }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] bool cancelled(int thread) { return cancel_.raised(thread); }

  // Items [first, last) of block i.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> range(std::int64_t i) const {
    const std::int64_t size = tiles_.tile_size();
    return {i * size, std::min((i + 1) * size, items())};
  }

  // The rows of B of block i.
  void write_rows(std::int64_t i, float* out) const {
    const std::int64_t size = tiles_.tile_size();
    const auto [first, last] = range(i);
    for (std::int64_t j = 0; j < blocks(); ++j) {
      const double* tile = j <= i ? tiles_.tile(i, j) : tiles_.tile(j, i);
      const auto [begin, end] = range(j);
      for (std::int64_t r = first; r < last; ++r)
        for (std::int64_t c = begin; c < end; ++c) {
          // Of a tile on the diagonal the lower half counts: P is symmetric to the bit.
          const bool lower = j < i || (j == i && c <= r);
          const double p =
              lower ? tile[(r - first) * size + c - begin] : tile[(c - begin) * size + r - first];
          out[(r - first) * items() + c] = r == c ? 0.0F : weight(r, c, p);
        }
    }
  }

 private:
  // B_rc from -P_rc. X is divided by the item scale again on the way out.
  [[nodiscard]] float weight(std::int64_t r, std::int64_t c, double p) const {
    return static_cast<float>(p * x_.item_scales[static_cast<std::size_t>(r)] *
                              columns_[static_cast<std::size_t>(c)]);
  }

  void make_gram() {
    const std::int64_t size = tiles_.tile_size();
    std::vector<std::vector<double>> sums(static_cast<std::size_t>(threads_));
    parallel_chunks(items(), kItemsPerTask, threads_,
                    [&](std::int64_t begin, std::int64_t end, int thread) {
                      auto& own = sums[static_cast<std::size_t>(thread)];
                      own.resize(static_cast<std::size_t>(items()));
                      for (std::int64_t item = begin; item < end; ++item) {
                        if (cancel_.raised(thread)) return;
                        // A tile on the diagonal is kept whole.
                        const std::int64_t block = item / size;
                        const std::int64_t columns = std::min((block + 1) * size, items());
                        gram_row(x_, item, columns, own.data());
                        for (std::int64_t j = 0; j <= block; ++j)
                          std::copy_n(own.data() + j * size, std::min(size, columns - j * size),
                                      tiles_.row_of_tile(item, j));
                      }
                    });
  }

  // Scales the Gram matrix so that its trace is that of the plain counts, whatever the exponents:
  // `regularization` then means about the same for all of them. The inverse's scale cancels in B.
  void regularize() {
    double trace = 0.0;
    for (std::int64_t i = 0; i < items(); ++i) trace += tiles_.diagonal(i);
    const double unit = trace / static_cast<double>(std::max<std::int64_t>(x_.rows.entries(), 1));
    const double odds = params_.dropout / (1.0 - params_.dropout);
    const std::int64_t size = tiles_.tile_size();
    for (std::int64_t i = 0; i < items(); ++i) {
      double* const diagonal = tiles_.row_of_tile(i, i / size) + i % size;
      *diagonal += params_.regularization * unit + odds * *diagonal;
    }
  }

  EaseParams params_;
  int threads_;
  CancelFlag cancel_;
  Scaled x_;
  SymmetricTiles tiles_;
  std::vector<double> columns_;  // -1 / (-P_jj) / scale_j
};

// What one thread needs to pick the neighbours of a block of items.
struct Selection {
  std::vector<float> rows;
  BestK best;
  std::vector<Scored> kept;
};

// The k entries of a row with the largest magnitude, by column; zeros are left out.
void keep_largest(const float* row, std::int64_t n, std::int64_t k, Selection* own) {
  own->best.start(k, std::numeric_limits<float>::denorm_min());
  for (std::int64_t c = 0; c < n; ++c)
    own->best.offer(std::abs(row[c]), static_cast<std::int32_t>(c));
  own->kept = own->best.sorted_by_item();
  for (Scored& entry : own->kept) entry.score = row[entry.item];
}

}  // namespace

double ease_bytes(std::int64_t n_items, std::int32_t neighbors, int num_threads) {
  const auto n = static_cast<double>(n_items);
  const double threads = resolve_num_threads(num_threads);
  const double work = SymmetricTiles::bytes(n_items) + threads * n * sizeof(double);
  if (neighbors == 0) return work + n * n * sizeof(float);
  const double rows =
      threads * n * static_cast<double>(SymmetricTiles::default_tile(n_items)) * sizeof(float);
  return work + rows + n * std::min<double>(neighbors, n) * (sizeof(float) + sizeof(std::int32_t));
}

EaseStatus fit_ease(const CsrView& interactions, const float* values, const EaseParams& params,
                    MatrixView<float> weights, const std::function<bool()>& cancelled) {
  Ease ease(interactions, values, weights.rows, params, cancelled);
  const EaseStatus status = ease.solve();
  if (status != EaseStatus::kDone) return status;
  parallel_for(ease.blocks(), ease.threads(),
               [&](std::int64_t i, int) { ease.write_rows(i, weights.row(ease.range(i).first)); });
  return status;
}

EaseStatus fit_ease(const CsrView& interactions, const float* values, std::int64_t n_items,
                    const EaseParams& params, SparseMatrix* weights,
                    const std::function<bool()>& cancelled) {
  Ease ease(interactions, values, n_items, params, cancelled);
  const EaseStatus status = ease.solve();
  if (status != EaseStatus::kDone) return status;
  const std::int64_t k = std::min<std::int64_t>(params.neighbors, n_items - 1);
  SparseRows found(std::vector<std::int64_t>(static_cast<std::size_t>(n_items), k));
  std::vector<Selection> selections(static_cast<std::size_t>(ease.threads()));
  parallel_for(ease.blocks(), ease.threads(), [&](std::int64_t i, int thread) {
    if (ease.cancelled(thread)) return;
    Selection& own = selections[static_cast<std::size_t>(thread)];
    const auto [first, last] = ease.range(i);
    own.rows.resize(static_cast<std::size_t>((last - first) * n_items));
    ease.write_rows(i, own.rows.data());
    for (std::int64_t r = first; r < last; ++r) {
      keep_largest(own.rows.data() + (r - first) * n_items, n_items, k, &own);
      found.put(r, own.kept);
    }
  });
  if (ease.cancelled(0)) return EaseStatus::kCancelled;
  *weights = found.finish();
  return status;
}

}  // namespace penchant
