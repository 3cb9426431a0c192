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

class Sweep {
 public:
  Sweep(SymmetricTiles* a, int threads, CancelFlag* cancel)
      : a_(*a),
        size_(a->tile_size()),
        area_(static_cast<std::size_t>(size_ * size_)),
        threads_(threads),
        cancel_(*cancel) {
    const auto blocks = static_cast<std::size_t>(a_.blocks());
    left_.resize(blocks * area_);
    right_.resize(blocks * area_);
    root_.resize(area_);
    packed_root_.resize(area_);
    workspace_.resize(static_cast<std::size_t>(threads) * 2 * area_);
    for (std::int64_t i = 0; i < a_.blocks(); ++i)
      for (std::int64_t j = 0; j <= i; ++j) pairs_.emplace_back(i, j);
  }

  InverseStatus run() {
    for (std::int64_t k = 0; k < a_.blocks(); ++k) {
      if (!kernels().factor_tile(a_.tile(k, k), root_.data(), size_))
        return InverseStatus::kNotDefinite;
      pack_right(root_.data(), packed_root_.data());
      parallel_for(a_.blocks(), threads_, [&](std::int64_t i, int thread) {
        if (!cancel_.raised(thread)) make_panel(i, k, thread);
      });
      parallel_for(static_cast<std::int64_t>(pairs_.size()), threads_,
                   [&](std::int64_t at, int thread) {
                     const auto [i, j] = pairs_[static_cast<std::size_t>(at)];
                     if (!cancel_.raised(thread))
                       subtract(left_.data() + offset(i), right_.data() + offset(j), a_.tile(i, j));
                   });
      if (cancel_.raised(0)) return InverseStatus::kCancelled;
    }
    return InverseStatus::kDone;
  }

 private:
  [[nodiscard]] std::size_t offset(std::int64_t block) const {
    return static_cast<std::size_t>(block) * area_;
  }

  void subtract(const double* left, const double* right, double* tile) const {
    const TileProductArgs args{left, right, tile, size_};
    kernels().subtract_product(&args);
  }

  // Packs the transpose of m as a right factor: right[k][c] = m[c][k].
  void pack_right(const double* m, double* out) const {
    const std::int64_t width = kernels().tile_cols;
    for (std::int64_t first = 0; first < size_; first += width)
      for (std::int64_t k = 0; k < size_; ++k)
        for (std::int64_t c = 0; c < width; ++c) *out++ = m[(first + c) * size_ + k];
  }

  void pack_left(const double* m, double* out) const {
    const std::int64_t height = kernels().tile_rows;
    for (std::int64_t first = 0; first < size_; first += height)
      for (std::int64_t k = 0; k < size_; ++k)
        for (std::int64_t r = 0; r < height; ++r) *out++ = m[(first + r) * size_ + k];
  }

  void transpose(const double* from, double* to) const {
    for (std::int64_t r = 0; r < size_; ++r)
      for (std::int64_t c = 0; c < size_; ++c) to[c * size_ + r] = from[r * size_ + c];
  }

  // Makes V_i, packed as both factors, and clears what it is made of.
  void make_panel(std::int64_t i, std::int64_t k, int thread) {
    double* const square = workspace_.data() + static_cast<std::size_t>(thread) * 2 * area_;
    double* const packed = square + area_;
    double* const source = i > k ? a_.tile(i, k) : a_.tile(k, i);
    if (i == k) {
      transpose(root_.data(), square);
    } else {
      if (i > k)
        pack_left(source, packed);
      else {
        transpose(source, square);
        pack_left(square, packed);
      }
      std::fill_n(square, area_, 0.0);
      subtract(packed, packed_root_.data(), square);
      for (std::size_t at = 0; at < area_; ++at) square[at] = -square[at];
    }
    std::fill_n(source, area_, 0.0);
    pack_left(square, left_.data() + offset(i));
    pack_right(square, right_.data() + offset(i));
  }

  SymmetricTiles& a_;
  std::int64_t size_;
  std::size_t area_;
  int threads_;
  CancelFlag& cancel_;
  std::vector<double> left_;         // V, packed as left factors: [block]
  std::vector<double> right_;        // V, packed as right factors: [block]
  std::vector<double> root_;         // L_kk^-1
  std::vector<double> packed_root_;  // its transpose as a right factor
  std::vector<double> workspace_;    // a tile and a packed tile for each thread
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
