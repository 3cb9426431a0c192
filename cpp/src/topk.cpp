#include "penchant/topk.hpp"

#include <algorithm>
#include <limits>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kBlockPanels = 32;

struct Hit {
  float score;
  std::int64_t row;
};

bool better(const Hit& a, const Hit& b) { return a.score > b.score || (a.score == b.score && a.row < b.row); }

// The k best hits so far, worst first.
class Heap {
 public:
  explicit Heap(std::int64_t k) : k_(static_cast<std::size_t>(k)) { hits_.reserve(k_); }

  void offer(Hit hit) {
    if (hits_.size() < k_) {
      hits_.push_back(hit);
      std::push_heap(hits_.begin(), hits_.end(), better);
    } else if (k_ > 0 && better(hit, hits_.front())) {
      std::pop_heap(hits_.begin(), hits_.end(), better);
      hits_.back() = hit;
      std::push_heap(hits_.begin(), hits_.end(), better);
    }
  }

  void write(std::int64_t* rows, float* scores) {
    std::sort_heap(hits_.begin(), hits_.end(), better);
    for (std::size_t i = 0; i < k_; ++i) {
      rows[i] = i < hits_.size() ? hits_[i].row : -1;
      scores[i] = i < hits_.size() ? hits_[i].score : -std::numeric_limits<float>::infinity();
    }
  }

 private:
  std::size_t k_;
  std::vector<Hit> hits_;
};

}  // namespace

TopkIndex::TopkIndex(MatrixView<const float> vectors, const float* biases, int num_threads)
    : size_(vectors.rows), dim_(vectors.cols) {
  const std::int64_t panels = (size_ + kPanel - 1) / kPanel;
  panels_.assign(static_cast<std::size_t>(panels * kPanel * dim_), 0.0F);
  biases_.assign(static_cast<std::size_t>(panels * kPanel), 0.0F);
  if (biases != nullptr) std::copy_n(biases, size_, biases_.begin());
  parallel_chunks(size_, 1024, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t k = 0; k < dim_; ++k)
        panels_[static_cast<std::size_t>((r / kPanel * dim_ + k) * kPanel + r % kPanel)] = vectors.row(r)[k];
  });
}

void TopkIndex::search(MatrixView<const float> queries, const TopkFilter& filter, MatrixView<std::int64_t> rows,
                       MatrixView<float> scores, int num_threads) const {
  const std::int64_t n_panels = (size_ + kPanel - 1) / kPanel;
  parallel_chunks(queries.rows, 4, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<float> block(static_cast<std::size_t>(4 * kBlockPanels * kPanel));
    std::vector<Heap> heaps(static_cast<std::size_t>(end - begin), Heap(rows.cols));
    std::vector<const float*> pointers;
    for (std::int64_t q = begin; q < end; ++q) pointers.push_back(queries.row(q));
    for (std::int64_t p = 0; p < n_panels; p += kBlockPanels) {
      const std::int64_t count = std::min(kBlockPanels, n_panels - p);
      kernels().score_panels(pointers.data(), end - begin, panels_.data() + p * kPanel * dim_, count,
                             biases_.data() + p * kPanel, dim_, block.data());
      for (std::int64_t q = begin; q < end; ++q) {
        const auto excluded = filter.exclude != nullptr ? filter.exclude->row(q) : std::span<const std::int32_t>{};
        const auto only = filter.candidates != nullptr ? filter.candidates->row(q) : std::span<const std::int32_t>{};
        for (std::int64_t i = 0; i < count * kPanel && p * kPanel + i < size_; ++i) {
          const std::int64_t row = p * kPanel + i;
          if (std::binary_search(excluded.begin(), excluded.end(), row)) continue;
          if (filter.candidates != nullptr && !std::binary_search(only.begin(), only.end(), row)) continue;
          heaps[static_cast<std::size_t>(q - begin)].offer(
              {block[static_cast<std::size_t>((q - begin) * count * kPanel + i)], row});
        }
      }
    }
    for (std::int64_t q = begin; q < end; ++q)
      heaps[static_cast<std::size_t>(q - begin)].write(rows.row(q), scores.row(q));
  });
}

void TopkIndex::score_pairs(MatrixView<const float> queries, std::span<const std::int64_t> query_rows,
                            std::span<const std::int64_t> vector_rows, std::span<float> scores,
                            int num_threads) const {
  parallel_chunks(static_cast<std::int64_t>(query_rows.size()), 4096, num_threads,
                  [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const float* query = queries.row(query_rows[at]);
      const std::int64_t panel = vector_rows[at] / kPanel;
      float block[kPanel];
      kernels().score_panels(&query, 1, panels_.data() + panel * kPanel * dim_, 1,
                             biases_.data() + panel * kPanel, dim_, block);
      scores[at] = block[vector_rows[at] % kPanel];
    }
  });
}

}  // namespace penchant
