#include "ials_basis.hpp"

#include <algorithm>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "symmetric_eigen.hpp"

namespace penchant {
namespace {

// Rows between additions to the double-precision sums.
constexpr std::int64_t kRowsPerPass = 512;

std::int64_t panels_of(std::int64_t stride) {
  return (stride + kPanelColumns - 1) / kPanelColumns;
}

// Rows [first, first + count) of one panel of columns; columns beyond the stride are zero.
void pack(MatrixView<const float> rows, std::int64_t panel, std::int64_t first, std::int64_t count,
          const float* weights, float* to) {
  const std::int64_t begin = panel * kPanelColumns;
  const std::int64_t width = std::min(kPanelColumns, rows.cols - begin);
  for (std::int64_t r = 0; r < count; ++r) {
    const float* from = rows.row(first + r) + begin;
    float* out = to + r * kPanelColumns;
    const float weight = weights == nullptr ? 1.0F : weights[first + r];
    for (std::int64_t c = 0; c < width; ++c) out[c] = weight * from[c];
    std::fill(out + width, out + kPanelColumns, 0.0F);
  }
}

struct GramScratch {
  std::vector<float> left = std::vector<float>(kRowsPerPass * kPanelColumns);
  std::vector<float> right = left;
  std::vector<float> product = std::vector<float>(kPanelColumns * kPanelColumns);
  std::vector<double> sum = std::vector<double>(kPanelColumns * kPanelColumns);
};

// One tile of the Gram matrix over all rows: single precision within a pass, double across passes.
void gram_tile(MatrixView<const float> rows, const float* weights, std::int64_t i, std::int64_t j,
               GramScratch& scratch) {
  std::fill(scratch.sum.begin(), scratch.sum.end(), 0.0);
  const bool whole = (j + 1) * kPanelColumns <= rows.cols;  // so i, which is not beyond j, is too
  for (std::int64_t first = 0; first < rows.rows; first += kRowsPerPass) {
    const std::int64_t count = std::min(kRowsPerPass, rows.rows - first);
    const float* left = rows.row(first) + i * kPanelColumns;
    const float* right = rows.row(first) + j * kPanelColumns;
    std::int64_t left_step = rows.cols;
    std::int64_t right_step = rows.cols;
    if (weights != nullptr || !whole) {
      pack(rows, i, first, count, weights, scratch.left.data());
      left = scratch.left.data();
      left_step = kPanelColumns;
    }
    if (!whole) {
      pack(rows, j, first, count, nullptr, scratch.right.data());
      right = scratch.right.data();
      right_step = kPanelColumns;
    }
    const PanelArgs args{left,         1,     left_step,     right,
                         right_step,   count, kPanelColumns, scratch.product.data(),
                         kPanelColumns};
    kernels().multiply_panel(&args);
    for (std::size_t at = 0; at < scratch.sum.size(); ++at)
      scratch.sum[at] += static_cast<double>(scratch.product[at]);
  }
}

// Columns of `matrix` (stride x stride, row-major) in panels of kPanelColumns.
std::vector<float> pack_panels(const Eigen::MatrixXd& matrix, std::int64_t stride) {
  const std::int64_t panels = panels_of(stride);
  std::vector<float> packed(static_cast<std::size_t>(panels * kPanelColumns * stride), 0.0F);
  for (std::int64_t c = 0; c < matrix.cols(); ++c) {
    float* panel = packed.data() + c / kPanelColumns * kPanelColumns * stride;
    for (std::int64_t r = 0; r < matrix.rows(); ++r)
      panel[r * kPanelColumns + c % kPanelColumns] = static_cast<float>(matrix(r, c));
  }
  return packed;
}

}  // namespace

std::vector<double> gram_matrix(const float* rows, std::int64_t n, std::int64_t stride,
                                const float* weights, int num_threads) {
  std::vector<double> gram(static_cast<std::size_t>(stride * stride), 0.0);
  const std::int64_t panels = panels_of(stride);
  std::vector<std::pair<std::int64_t, std::int64_t>> tiles;
  for (std::int64_t i = 0; i < panels; ++i)
    for (std::int64_t j = i; j < panels; ++j) tiles.emplace_back(i, j);
  std::vector<GramScratch> scratch(static_cast<std::size_t>(num_threads));
  parallel_for(static_cast<std::int64_t>(tiles.size()), num_threads,
               [&](std::int64_t task, int thread) {
                 const auto [i, j] = tiles[static_cast<std::size_t>(task)];
                 GramScratch& own = scratch[static_cast<std::size_t>(thread)];
                 gram_tile({rows, n, stride}, weights, i, j, own);
                 for (std::int64_t r = 0; r < kPanelColumns; ++r)
                   for (std::int64_t c = 0; c < kPanelColumns; ++c) {
                     const std::int64_t row = i * kPanelColumns + r;
                     const std::int64_t col = j * kPanelColumns + c;
                     if (row >= stride || col >= stride || (i == j && col < row)) continue;
                     const double value = own.sum[static_cast<std::size_t>(r * kPanelColumns + c)];
                     gram[static_cast<std::size_t>(row * stride + col)] = value;
                     gram[static_cast<std::size_t>(col * stride + row)] = value;
                   }
               });
  return gram;
}

IalsBasis::IalsBasis(const std::vector<double>& gram, std::int64_t dim, std::int64_t stride,
                     int num_threads)
    : stride_(stride),
      padded_(panels_of(stride) * kPanelColumns),
      spectrum_(static_cast<std::size_t>(stride), 0.0F) {
  const Eigen::Map<const Eigen::MatrixXd> all(gram.data(), stride, stride);
  const SymmetricEigen eigen = symmetric_eigen(all.topLeftCorner(dim, dim), num_threads);
  // Largest first: factors come in the order of their weight.
  const Eigen::MatrixXd vectors = eigen.vectors.rowwise().reverse();
  for (std::int64_t k = 0; k < dim; ++k)
    spectrum_[static_cast<std::size_t>(k)] =
        static_cast<float>(std::max(eigen.values[dim - 1 - k], 0.0));
  largest_ = dim > 0 ? spectrum_.front() : 0.0F;
  to_basis_ = pack_panels(vectors, stride);
  from_basis_ = pack_panels(vectors.transpose(), stride);
}

std::int64_t IalsBasis::scratch_size() const {
  return kRowsAtOnce * (stride_ + padded_);
}

void IalsBasis::multiply(const std::vector<float>& panels, float* const* rows, std::int64_t count,
                         float* scratch) const {
  const std::int64_t whole = (count + 3) / 4 * 4;
  float* out = scratch + kRowsAtOnce * stride_;
  for (std::int64_t r = 0; r < count; ++r) std::copy_n(rows[r], stride_, scratch + r * stride_);
  std::fill(scratch + count * stride_, scratch + whole * stride_, 0.0F);
  for (std::int64_t column = 0; column < padded_; column += kPanelColumns) {
    const PanelArgs args{scratch,       stride_, 1,     panels.data() + column * stride_,
                         kPanelColumns, stride_, whole, out + column,
                         padded_};
    kernels().multiply_panel(&args);
  }
  for (std::int64_t r = 0; r < count; ++r) std::copy_n(out + r * padded_, stride_, rows[r]);
}

void IalsBasis::multiply_all(const std::vector<float>& panels, float* rows, std::int64_t n,
                             int num_threads) const {
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(num_threads));
  parallel_chunks(n, kRowsAtOnce, num_threads,
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    auto& own = scratch[static_cast<std::size_t>(thread)];
                    own.resize(static_cast<std::size_t>(scratch_size()));
                    float* chunk[kRowsAtOnce];
                    for (std::int64_t r = begin; r < end; ++r)
                      chunk[r - begin] = rows + r * stride_;
                    multiply(panels, chunk, end - begin, own.data());
                  });
}

}  // namespace penchant
