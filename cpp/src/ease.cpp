#include "penchant/ease.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "best_k.hpp"
#include "penchant/parallel.hpp"
#include "scaled_matrix.hpp"
#include "sparse_rows.hpp"
#include "spd_inverse.hpp"
#include "spectrum.hpp"
#include "training.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kItemsPerTask = 8;

// Row `item` of the Gram matrix up to column `end`, in double precision, users in ascending order.
void gram_row(const ScaledMatrix& x, std::int64_t item, std::int64_t end, double* sums) {
  std::fill_n(sums, end, 0.0);
  const auto row = static_cast<std::size_t>(item);
  for (std::int64_t e = x.by_item.indptr[row]; e < x.by_item.indptr[row + 1]; ++e) {
    const auto at = static_cast<std::size_t>(e);
    const std::int32_t user = x.by_item.indices[at];
    const double scale = x.user_scales[static_cast<std::size_t>(user)];
    double share = scale * scale;
    const auto others = x.rows.row(user);
    if (x.values == nullptr) {
      for (const std::int32_t other : others) {
        if (other >= end) break;
        sums[other] += share;
      }
      continue;
    }
    share *= static_cast<double>(x.by_item.values[at]);
    const float* values = x.values + x.rows.indptr[static_cast<std::size_t>(user)];
    for (std::size_t p = 0; p < others.size() && others[p] < end; ++p)
      sums[others[p]] += share * static_cast<double>(values[p]);
  }
  for (std::int64_t c = 0; c < end; ++c)
    sums[c] *= x.item_scales[row] * x.item_scales[static_cast<std::size_t>(c)];
}

using Factors = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class Ease {
 public:
  Ease(const CsrView& interactions, const float* values, std::int64_t n_items,
       const EaseParams& params, const CancelCheck& cancelled)
      : params_(params),
        threads_(resolve_num_threads(params.num_threads)),
        cancel_(cancelled),
        x_(interactions, values, n_items, params.user_exponent, params.item_exponent),
        share_(params.rank > 0 ? params.rank_share : 0.0),
        size_(SymmetricTiles::default_tile(n_items)),
        columns_(x_.item_scales) {}

  EaseStatus solve() {
    for (std::int64_t i = 0; i < items(); ++i) {
      const auto users = static_cast<double>(std::max<std::int64_t>(x_.users_of(i), 1));
      double& column = columns_[static_cast<std::size_t>(i)];
      column = 1.0 / (column * std::pow(users, params_.popularity_discount));
    }
    if (share_ > 0.0) find_spectrum();
    if (share_ < 1.0) {
      tiles_.emplace(items());
      make_gram();
      if (cancel_.raised(0)) return EaseStatus::kCancelled;
      regularize();
      if (negative_inverse(&*tiles_, threads_, &cancel_) == InverseStatus::kNotDefinite)
        return EaseStatus::kNotDefinite;
      pivots_.resize(columns_.size());
      for (std::int64_t j = 0; j < items(); ++j)
        pivots_[static_cast<std::size_t>(j)] = (share_ - 1.0) / tiles_->diagonal(j);
    }
    return cancel_.raised(0) ? EaseStatus::kCancelled : EaseStatus::kDone;
  }

  [[nodiscard]] std::int64_t items() const { return x_.items(); }
  [[nodiscard]] std::int64_t blocks() const { return (items() + size_ - 1) / size_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] bool cancelled(int thread) { return cancel_.raised(thread); }
  // Items [first, last) of block i.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> range(std::int64_t i) const {
    return {i * size_, std::min((i + 1) * size_, items())};
  }

  // The rows of the weights of block i.
  void write_rows(std::int64_t i, float* out) const {
    const auto [first, last] = range(i);
    Factors part(last - first, size_);
    for (std::int64_t j = 0; j < blocks(); ++j) {
      const auto [begin, end] = range(j);
      part.setZero();
      if (share_ > 0.0)
        part.leftCols(end - begin).noalias() = left_.middleRows(first, last - first) *
                                               right_.middleRows(begin, end - begin).transpose();
      if (share_ < 1.0) add_inverse(i, j, &part);
      for (std::int64_t r = first; r < last; ++r)
        for (std::int64_t c = begin; c < end; ++c) {
          const double scale =
              x_.item_scales[static_cast<std::size_t>(r)] * columns_[static_cast<std::size_t>(c)];
          out[(r - first) * items() + c] =
              r == c ? 0.0F : static_cast<float>(scale * part(r - first, c - begin));
        }
    }
  }

 private:
  // Adds (1 - share) B to a part of the weights. Of a tile on the diagonal the lower half counts: P
  // is symmetric to the bit.
  void add_inverse(std::int64_t i, std::int64_t j, Factors* part) const {
    const double* tile = j <= i ? tiles_->tile(i, j) : tiles_->tile(j, i);
    const auto [first, last] = range(i);
    const auto [begin, end] = range(j);
    for (std::int64_t r = 0; r < last - first; ++r)
      for (std::int64_t c = 0; c < end - begin; ++c) {
        const bool lower = j < i || (j == i && c <= r);
        const double minus_p = lower ? tile[r * size_ + c] : tile[c * size_ + r];
        (*part)(r, c) += minus_p * pivots_[static_cast<std::size_t>(begin + c)];
      }
  }

  // Low-rank weights: share * V diag((s / s_1)^power) V^T.
  void find_spectrum() {
    const Spectrum spectrum = largest_singular(x_, params_.rank, threads_, &cancel_);
    left_ = Eigen::Map<const Factors>(spectrum.vectors.data(), spectrum.rank > 0 ? items() : 0,
                                      spectrum.rank);
    right_ = left_;
    for (std::int64_t k = 0; k < spectrum.rank; ++k) {
      const double relative = spectrum.singular_values[static_cast<std::size_t>(k)] /
                              std::max(spectrum.singular_values[0], 1e-300);
      left_.col(k) *= share_ * std::pow(relative, params_.rank_power);
    }
  }

  void make_gram() {
    std::vector<std::vector<double>> sums(static_cast<std::size_t>(threads_));
    parallel_chunks(items(), kItemsPerTask, threads_,
                    [&](std::int64_t begin, std::int64_t end, int thread) {
                      auto& own = sums[static_cast<std::size_t>(thread)];
                      own.resize(static_cast<std::size_t>(items()));
                      for (std::int64_t item = begin; item < end; ++item) {
                        if (cancel_.raised(thread)) return;
                        // A tile on the diagonal is kept whole.
                        const std::int64_t block = item / size_;
                        const std::int64_t columns = range(block).second;
                        gram_row(x_, item, columns, own.data());
                        for (std::int64_t j = 0; j <= block; ++j)
                          std::copy_n(own.data() + j * size_, std::min(size_, columns - j * size_),
                                      tiles_->row_of_tile(item, j));
                      }
                    });
  }

  // The penalty is scaled as the Gram matrix is: by its trace over that of the plain counts.
  // `regularization` then means about the same for all exponents. The scale cancels in B.
  void regularize() {
    double trace = 0.0;
    for (std::int64_t i = 0; i < items(); ++i) trace += tiles_->diagonal(i);
    const double unit = trace / static_cast<double>(std::max<std::int64_t>(x_.rows.entries(), 1));
    const double odds = params_.dropout / (1.0 - params_.dropout);
    for (std::int64_t i = 0; i < items(); ++i) {
      double* const diagonal = tiles_->row_of_tile(i, i / size_) + i % size_;
      *diagonal += params_.regularization * unit + odds * *diagonal;
    }
  }

  EaseParams params_;
  int threads_;
  CancelFlag cancel_;
  ScaledMatrix x_;
  double share_;  // of the low-rank weights
  std::int64_t size_;
  std::optional<SymmetricTiles> tiles_;
  std::vector<double> columns_;  // what the weights to an item are multiplied by
  std::vector<double> pivots_;   // -(1 - share) / (-P_jj)
  Factors left_;
  Factors right_;
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

double ease_bytes(std::int64_t n_users, std::int64_t n_items, std::int32_t neighbors,
                  std::int32_t rank, int num_threads) {
  const auto n = static_cast<double>(n_items);
  const double threads = resolve_num_threads(num_threads);
  double work = SymmetricTiles::bytes(n_items) + threads * n * sizeof(double);
  work += spectrum_bytes(n_users, n_items, rank) + 2.0 * n * rank * sizeof(double);
  if (neighbors == 0) return work + n * n * sizeof(float);
  const double rows =
      threads * n * static_cast<double>(SymmetricTiles::default_tile(n_items)) * sizeof(float);
  return work + rows + n * std::min<double>(neighbors, n) * (sizeof(float) + sizeof(std::int32_t));
}

EaseStatus fit_ease(const CsrView& interactions, const float* values, const EaseParams& params,
                    MatrixView<float> weights, const CancelCheck& cancelled) {
  Ease ease(interactions, values, weights.rows, params, cancelled);
  const EaseStatus status = ease.solve();
  if (status != EaseStatus::kDone) return status;
  parallel_for(ease.blocks(), ease.threads(),
               [&](std::int64_t i, int) { ease.write_rows(i, weights.row(ease.range(i).first)); });
  return status;
}

EaseStatus fit_ease(const CsrView& interactions, const float* values, std::int64_t n_items,
                    const EaseParams& params, SparseMatrix* weights, const CancelCheck& cancelled) {
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
