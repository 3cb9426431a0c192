#include "spd_inverse.hpp"

#include <atomic>
#include <utility>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

std::int64_t blocks_of(std::int64_t n, std::int64_t tile) {
  return (n + tile - 1) / tile;
}

// The block column of one pivot, packed for the kernel, and the product with the pivot's inverse.
struct Panel {
  std::vector<double> column;     // C_j, packed as right factors: [block]
  std::vector<double> product;    // T_i = C_i A_kk^-1, packed as left factors: [block]
  std::vector<double> inverse;    // A_kk^-1, packed as a right factor
  std::vector<double> workspace;  // a tile and a packed tile for each thread
};

class Sweep {
 public:
  Sweep(SymmetricTiles* a, int threads, CancelFlag* cancel)
      : a_(*a),
        size_(a->tile_size()),
        area_(static_cast<std::size_t>(size_ * size_)),
        threads_(threads),
        cancel_(*cancel) {
    const auto blocks = static_cast<std::size_t>(a_.blocks());
    panel_.column.resize(blocks * area_);
    panel_.product.resize(blocks * area_);
    panel_.inverse.resize(area_);
    panel_.workspace.resize(static_cast<std::size_t>(threads) * 2 * area_);
    for (std::int64_t i = 0; i < a_.blocks(); ++i)
      for (std::int64_t j = 0; j <= i; ++j) pairs_.emplace_back(i, j);
  }

  InverseStatus run() {
    for (std::int64_t k = 0; k < a_.blocks(); ++k) {
      double* const pivot = a_.tile(k, k);
      if (!kernels().sweep_tile(pivot, size_)) return InverseStatus::kNotDefinite;
      pack_right(pivot, -1.0, panel_.inverse.data());
      parallel_for(a_.blocks(), threads_, [&](std::int64_t i, int thread) {
        if (i != k && !cancel_.raised(thread)) make_panel(i, k, thread);
      });
      parallel_for(static_cast<std::int64_t>(pairs_.size()), threads_,
                   [&](std::int64_t at, int thread) {
                     const auto [i, j] = pairs_[static_cast<std::size_t>(at)];
                     if (i != k && j != k && !cancel_.raised(thread))
                       multiply(panel_.product.data() + offset(i), panel_.column.data() + offset(j),
                                a_.tile(i, j));
                   });
      if (cancel_.raised(0)) return InverseStatus::kCancelled;
    }
    return InverseStatus::kDone;
  }

 private:
  [[nodiscard]] std::size_t offset(std::int64_t block) const {
    return static_cast<std::size_t>(block) * area_;
  }

  void multiply(const double* left, const double* right, double* tile) const {
    const TileProductArgs args{left, right, tile, size_};
    kernels().subtract_product(&args);
  }

  // right[k][c] = sign * m[c][k]: the transpose of m as a right factor (for a symmetric m, itself).
  void pack_right(const double* m, double sign, double* out) const {
    const std::int64_t width = kernels().tile_cols;
    for (std::int64_t first = 0; first < size_; first += width)
      for (std::int64_t k = 0; k < size_; ++k)
        for (std::int64_t c = 0; c < width; ++c) *out++ = sign * m[(first + c) * size_ + k];
  }

  void pack_left(const double* m, double sign, double* out) const {
    const std::int64_t height = kernels().tile_rows;
    for (std::int64_t first = 0; first < size_; first += height)
      for (std::int64_t k = 0; k < size_; ++k)
        for (std::int64_t r = 0; r < height; ++r) *out++ = sign * m[(first + r) * size_ + k];
  }

  void transpose(const double* from, double sign, double* to) const {
    for (std::int64_t r = 0; r < size_; ++r)
      for (std::int64_t c = 0; c < size_; ++c) to[c * size_ + r] = sign * from[r * size_ + c];
  }

  // Packs C_i and T_i = C_i A_kk^-1, and puts T_i into its tile.
  void make_panel(std::int64_t i, std::int64_t k, int thread) {
    double* const square = panel_.workspace.data() + static_cast<std::size_t>(thread) * 2 * area_;
    double* const packed = square + area_;
    double* const stored = i > k ? a_.tile(i, k) : a_.tile(k, i);
    if (i > k)
      std::copy_n(stored, area_, square);
    else
      transpose(stored, 1.0, square);
    pack_right(square, 1.0, panel_.column.data() + offset(i));
    pack_left(square, 1.0, packed);
    std::fill_n(square, area_, 0.0);
    multiply(packed, panel_.inverse.data(), square);  // -T_i
    pack_left(square, -1.0, panel_.product.data() + offset(i));
    if (i > k)
      for (std::size_t at = 0; at < area_; ++at) stored[at] = -square[at];
    else
      transpose(square, -1.0, stored);
  }

  SymmetricTiles& a_;
  std::int64_t size_;
  std::size_t area_;
  int threads_;
  CancelFlag& cancel_;
  Panel panel_;
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs_;
};

}  // namespace

std::int64_t SymmetricTiles::default_tile(std::int64_t n) {
  if (n <= 480) return 2 * kTileMultiple;
  return n <= 3072 ? 4 * kTileMultiple : 8 * kTileMultiple;
}

SymmetricTiles::SymmetricTiles(std::int64_t n, std::int64_t tile)
    : n_(n),
      tile_(tile > 0 ? tile : default_tile(n)),
      blocks_(blocks_of(n, tile_)),
      tiles_(static_cast<std::size_t>(blocks_ * (blocks_ + 1) / 2 * tile_ * tile_), 0.0) {
  for (std::int64_t r = n_; r < blocks_ * tile_; ++r) row_of_tile(r, blocks_ - 1)[r % tile_] = 1.0;
}

double SymmetricTiles::bytes(std::int64_t n) {
  const std::int64_t tile = default_tile(n);
  const auto blocks = static_cast<double>(blocks_of(n, tile));
  const auto area = static_cast<double>(tile * tile);
  return sizeof(double) * area * (blocks * (blocks + 1.0) / 2.0 + 2.0 * blocks);
}

InverseStatus negative_inverse(SymmetricTiles* a, int num_threads, CancelFlag* cancel) {
  return Sweep(a, resolve_num_threads(num_threads), cancel).run();
}

}  // namespace penchant
