#include "topk_block.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "topk_tile.hpp"

namespace penchant {
namespace {

constexpr std::array<char, 8> kMagic = {'P', 'N', 'C', 'H', 'T', 'O', 'P', 'K'};
constexpr std::uint32_t kFormat = 1;
constexpr std::int64_t kPanel = 16;
constexpr std::int64_t kLine = 64;
constexpr std::int64_t kChunk = 4096;

template <typename T>
std::int64_t room(std::int64_t count) {
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
  return (bytes + kLine - 1) / kLine * kLine;
}

// FNV-1a.
std::uint64_t checksum(const TopkHeader& header) {
  std::array<unsigned char, offsetof(TopkHeader, checksum)> bytes;
  std::memcpy(bytes.data(), &header, bytes.size());
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}

float largest_component(const float* values, std::int64_t size) {
  float largest = 0.0F;
  for (std::int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

class Builder {
 public:
  Builder(MatrixView<const float> vectors, const float* biases, std::span<std::byte> block,
          int num_threads)
      : vectors_(vectors),
        biases_(biases),
        block_(block),
        num_threads_(num_threads),
        layout_(vectors.rows, vectors.cols) {}

  void build() {
    const std::vector<float> norms = norms_of_rows();
    const double sum = std::accumulate(norms.begin(), norms.end(), 0.0);
    // Neither zero nor infinite, so that a query's norm can be measured in it.
    const float mean =
        std::clamp(round_up(sum / static_cast<double>(std::max(norms.size(), std::size_t{1}))),
                   std::numeric_limits<float>::min(), std::numeric_limits<float>::max());
    sort_by_reach(norms, mean);
    quantize();
    TopkHeader header{kMagic,
                      kFormat,
                      static_cast<std::uint32_t>(levels()),
                      vectors_.rows,
                      vectors_.cols,
                      layout_.n_bytes,
                      mean,
                      0,
                      0,
                      {}};
    header.checksum = checksum(header);
    std::memcpy(block_.data(), &header, sizeof header);
  }

 private:
  static int levels() { return kernels().query_levels; }

  template <typename T>
  [[nodiscard]] T* part(std::int64_t offset) const {
    return reinterpret_cast<T*>(block_.data() + offset);
  }

  [[nodiscard]] std::vector<float> norms_of_rows() const;
  void sort_by_reach(const std::vector<float>& norms, float mean_norm) const;
  void quantize() const;

  MatrixView<const float> vectors_;
  const float* biases_;
  std::span<std::byte> block_;
  int num_threads_;
  TopkLayout layout_;
};

std::vector<float> Builder::norms_of_rows() const {
  std::vector<float> norms(static_cast<std::size_t>(vectors_.rows));
  parallel_chunks(vectors_.rows, kChunk, num_threads_,
                  [&](std::int64_t begin, std::int64_t end, int) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      double sum = 0.0;
                      for (std::int64_t k = 0; k < vectors_.cols; ++k)
                        sum += static_cast<double>(vectors_.row(r)[k]) * vectors_.row(r)[k];
                      norms[static_cast<std::size_t>(r)] = round_up(std::sqrt(sum));
                    }
                  });
  return norms;
}

// A vector reaches |query| * |vector| + bias at most. Scanning far-reaching ones first raises the
// threshold early, and a block that cannot reach it is skipped (Teflioudi et al., SIGMOD 2015). The
// order must not depend on the query, so a query as long as the mean vector stands for all.
void Builder::sort_by_reach(const std::vector<float>& norms, float mean_norm) const {
  const std::int64_t size = vectors_.rows;
  std::vector<double> reach(norms.size());  // of squared norms, which float32 may not hold
  for (std::size_t r = 0; r < norms.size(); ++r)
    reach[r] = static_cast<double>(mean_norm) * static_cast<double>(norms[r]) +
               (biases_ != nullptr ? static_cast<double>(biases_[r]) : 0.0);
  auto* const row_at = part<std::int32_t>(layout_.row_at);
  std::iota(row_at, row_at + size, 0);
  std::stable_sort(row_at, row_at + size, [&](std::int32_t a, std::int32_t b) {
    return reach[static_cast<std::size_t>(a)] > reach[static_cast<std::size_t>(b)];
  });
  parallel_chunks(size, kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t place = begin; place < end; ++place) {
      const std::int32_t row = row_at[place];
      part<std::int32_t>(layout_.place_of)[row] = static_cast<std::int32_t>(place);
      part<float>(layout_.norms)[place] = norms[static_cast<std::size_t>(row)];
      if (biases_ != nullptr) part<float>(layout_.biases)[place] = biases_[row];
      std::copy_n(vectors_.row(row), vectors_.cols,
                  part<float>(layout_.vectors) + place * vectors_.cols);
    }
  });
}

// Each vector is rounded to 8 bits on a scale of its own.
void Builder::quantize() const {
  const std::int64_t dim = vectors_.cols;
  const std::int64_t line = layout_.groups * kPanel * 4;
  const int offset = levels() + 1;
  parallel_chunks(
      vectors_.rows, kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t place = begin; place < end; ++place) {
          const float* vector = part<float>(layout_.vectors) + place * dim;
          const float scale = largest_component(vector, dim) / 127.0F;
          std::int8_t* panel =
              part<std::int8_t>(layout_.panels) + place / kPanel * line + place % kPanel * 4;
          double error = 0.0;
          std::int32_t sum = 0;
          for (std::int64_t k = 0; k < dim; ++k) {
            const float level = scale > 0.0F
                                    ? std::clamp(std::nearbyint(vector[k] / scale), -127.0F, 127.0F)
                                    : 0.0F;
            const double rest = static_cast<double>(vector[k]) - static_cast<double>(scale) * level;
            error += rest * rest;
            sum += static_cast<std::int32_t>(level);
            panel[k / 4 * kPanel * 4 + k % 4] = static_cast<std::int8_t>(level);
          }
          part<float>(layout_.scales)[place] = scale;
          part<std::int32_t>(layout_.corrections)[place] = -offset * sum;
          part<float>(layout_.errors)[place] = round_up(std::sqrt(error));
        }
      });
}

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument("this is no block of a top-k index: " + why);
}

}  // namespace

TopkLayout::TopkLayout(std::int64_t size, std::int64_t dim)
    : padded((size + kPanel - 1) / kPanel * kPanel),
      groups((dim + 3) / 4),
      row_at(static_cast<std::int64_t>(sizeof(TopkHeader))),
      place_of(row_at + room<std::int32_t>(size)),
      biases(place_of + room<std::int32_t>(size)),
      norms(biases + room<float>(padded)),
      scales(norms + room<float>(size)),
      errors(scales + room<float>(padded)),
      corrections(errors + room<float>(padded)),
      vectors(corrections + room<std::int32_t>(padded)),
      panels(vectors + room<float>(size * dim)),
      n_bytes(panels + room<std::int8_t>(padded * groups * 4)) {}

void fill_topk_block(MatrixView<const float> vectors, const float* biases,
                     std::span<std::byte> block, int num_threads) {
  Builder(vectors, biases, block, num_threads).build();
}

void check_topk_block(std::span<const std::byte> block) {
  TopkHeader header;
  if (block.size() < sizeof header) refuse("it has " + std::to_string(block.size()) + " bytes");
  if (reinterpret_cast<std::uintptr_t>(block.data()) % kLine != 0)
    refuse("it does not begin on a cache line of " + std::to_string(kLine) + " bytes");
  std::memcpy(&header, block.data(), sizeof header);
  if (header.magic != kMagic) refuse("it begins with something else");
  if (header.format != kFormat) refuse("it is of another format or another machine");
  if (header.checksum != checksum(header)) refuse("its header is damaged");
  const int levels = kernels().query_levels;
  if (header.query_levels != static_cast<std::uint32_t>(levels))
    refuse("it is for another instruction set");
  if (header.size < 0 || header.size > std::numeric_limits<std::int32_t>::max() || header.dim < 0 ||
      header.dim > kMaxDimension || !std::isnormal(header.mean_norm) || header.mean_norm < 0.0F)
    refuse("its header makes no sense");
  const TopkLayout layout(header.size, header.dim);
  if (header.n_bytes != layout.n_bytes ||
      static_cast<std::uint64_t>(layout.n_bytes) != block.size())
    refuse("it has " + std::to_string(block.size()) + " bytes instead of " +
           std::to_string(layout.n_bytes));
  const auto* row_at = reinterpret_cast<const std::int32_t*>(block.data() + layout.row_at);
  const auto* place_of = reinterpret_cast<const std::int32_t*>(block.data() + layout.place_of);
  for (std::int64_t place = 0; place < header.size; ++place)
    if (row_at[place] < 0 || row_at[place] >= header.size || place_of[row_at[place]] != place)
      refuse("its order of vectors is none");
}

}  // namespace penchant
