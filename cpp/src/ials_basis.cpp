#include "ials_basis.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "symmetric_eigen.hpp"

namespace penchant {
namespace {

// Rows packed at a time, and rows between additions to the double-precision sums.
constexpr std::int64_t kRowsPacked = 2048;
constexpr std::int64_t kRowsPerPass = 512;
// Depth of a product whose panel stays in the first-level caches.
constexpr std::int64_t kDepth = 256;

std::int64_t panels_of(std::int64_t stride) {
  return (stride + kPanelColumns - 1) / kPanelColumns;
}

// out = a * panel (see PanelArgs), in steps of the depth that the caches hold.
void multiply_deep(PanelArgs args) {
  const std::int64_t depth = args.depth;
  for (std::int64_t k = 0; k < depth; k += kDepth) {
    args.depth = std::min(kDepth, depth - k);
    args.add = k > 0;
    kernels().multiply_panel(&args);
    args.a += args.depth * args.depth_step;
    args.panel += args.depth * args.panel_step;
  }
}

// One panel of columns of some rows, row r times the root of weights[r]; columns beyond the stride
// are zero.
void pack(MatrixView<const float> rows, std::int64_t panel, const float* weights, float* to) {
  const std::int64_t begin = panel * kPanelColumns;
  const std::int64_t width = std::min(kPanelColumns, rows.cols - begin);
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    const float* from = rows.row(r) + begin;
    float* out = to + r * kPanelColumns;
    const float weight = weights == nullptr ? 1.0F : std::sqrt(weights[r]);
    for (std::int64_t c = 0; c < width; ++c) out[c] = weight * from[c];
    std::fill(out + width, out + kPanelColumns, 0.0F);
  }
}

// Adds the product of two packed panels to tile (i, j) of the Gram matrix: single precision within
// a pass, double across passes.
void add_tile(const float* left, const float* right, std::int64_t count, std::int64_t i,
              std::int64_t j, MatrixView<double> gram) {
  float product[kPanelColumns * kPanelColumns];
  const std::int64_t rows = std::min(kPanelColumns, gram.rows - i * kPanelColumns);
  const std::int64_t cols = std::min(kPanelColumns, gram.cols - j * kPanelColumns);
  for (std::int64_t first = 0; first < count; first += kRowsPerPass) {
    const std::int64_t offset = first * kPanelColumns;
    multiply_deep({left + offset, 1, kPanelColumns, right + offset, kPanelColumns,
                   std::min(kRowsPerPass, count - first), kPanelColumns, product, kPanelColumns,
                   false});
    for (std::int64_t r = 0; r < rows; ++r) {
      double* to = gram.row(i * kPanelColumns + r) + j * kPanelColumns;
      for (std::int64_t c = 0; c < cols; ++c)
        to[c] += static_cast<double>(product[r * kPanelColumns + c]);
    }
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
  std::vector<double> values(static_cast<std::size_t>(stride * stride), 0.0);
  const MatrixView<double> gram{values.data(), stride, stride};
  const std::int64_t panels = panels_of(stride);
  std::vector<std::pair<std::int64_t, std::int64_t>> tiles;
  for (std::int64_t i = 0; i < panels; ++i)
    for (std::int64_t j = i; j < panels; ++j) tiles.emplace_back(i, j);
  const std::int64_t most = std::min(n, kRowsPacked);
  std::vector<float> packed(static_cast<std::size_t>(panels * most * kPanelColumns));
  const auto panel = [&](std::int64_t p) { return packed.data() + p * most * kPanelColumns; };
  for (std::int64_t first = 0; first < n; first += most) {
    const MatrixView<const float> part{rows + first * stride, std::min(most, n - first), stride};
    parallel_for(panels, num_threads, [&](std::int64_t p, int) {
      pack(part, p, weights == nullptr ? nullptr : weights + first, panel(p));
    });
    parallel_for(static_cast<std::int64_t>(tiles.size()), num_threads, [&](std::int64_t task, int) {
      const auto [i, j] = tiles[static_cast<std::size_t>(task)];
      add_tile(panel(i), panel(j), part.rows, i, j, gram);
    });
  }
  for (std::int64_t r = 0; r < stride; ++r)  // the tiles left the lower part of the matrix out
    for (std::int64_t c = 0; c < r; ++c) gram.row(r)[c] = gram.row(c)[r];
  return values;
}

IalsBasis::IalsBasis(const std::vector<double>& gram, std::int64_t dim, std::int64_t stride,
                     int num_threads, CancelFlag* cancel)
    : stride_(stride),
      padded_(panels_of(stride) * kPanelColumns),
      spectrum_(static_cast<std::size_t>(stride), 0.0F) {
  const Eigen::Map<const Eigen::MatrixXd> all(gram.data(), stride, stride);
  const SymmetricEigen eigen = symmetric_eigen(all.topLeftCorner(dim, dim), num_threads, cancel);
  if (cancel != nullptr && cancel->raised(0)) return;
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
    multiply_deep({scratch, stride_, 1, panels.data() + column * stride_, kPanelColumns, stride_,
                   whole, out + column, padded_, false});
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
