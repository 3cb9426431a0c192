#include "topk_block.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
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

constexpr std::int64_t kLanes = 4;  // running sums, so that an addition need not wait for the last

float largest_component(const float* values, std::int64_t size) {
  std::array<float, kLanes> largest{};
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      largest[lane] = std::max(largest[lane], std::abs(values[i + lane]));
  for (; i < size; ++i) largest[0] = std::max(largest[0], std::abs(values[i]));
  return std::max({largest[0], largest[1], largest[2], largest[3]});
}

double sum_of_squares(const float* values, std::int64_t size) {
  std::array<double, kLanes> sums{};
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += static_cast<double>(values[i + lane]) * values[i + lane];
  for (; i < size; ++i) sums[0] += static_cast<double>(values[i]) * values[i];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

constexpr std::integral_constant<std::int64_t, kLanes> kWhole{};

// What four dimensions of a vector are rounded to, and what that leaves.
struct Rounded {
  std::array<double, kLanes> error{};  // sums of squares
  std::array<std::int32_t, kLanes> sum{};

  template <typename Count>
  void add(const float* values, Count count, float scale, float divisor, std::int8_t* levels) {
    for (std::int64_t lane = 0; lane < count; ++lane) {
      const float level =
          std::min(std::max(std::nearbyint(values[lane] / divisor), -127.0F), 127.0F);
      const double rest = static_cast<double>(values[lane]) - static_cast<double>(scale) * level;
      error[lane] += rest * rest;
      sum[lane] += static_cast<std::int32_t>(level);
      levels[lane] = static_cast<std::int8_t>(level);
    }
  }
};

// The order of rows by falling keys, equal ones by row: passes of one byte each, the lowest first,
// over keys that are integers in the reverse order of the numbers.
void order_by_falling(std::span<const double> keys, std::int32_t* order) {
  struct Entry {
    std::uint64_t key;
    std::int32_t row;
  };
  constexpr int kBits = 8;
  constexpr std::size_t kBuckets = std::size_t{1} << kBits;
  std::vector<Entry> entries(keys.size());
  std::vector<Entry> sorted(keys.size());
  std::vector<std::array<std::size_t, kBuckets>> counts(sizeof(double));
  for (std::size_t row = 0; row < keys.size(); ++row) {
    const auto bits = std::bit_cast<std::uint64_t>(keys[row] + 0.0);  // there is one zero
    // Numbers below zero rise as integers while they fall; the others are flipped to do so.
    const std::uint64_t key = bits >> 63 != 0 ? bits : bits ^ (~std::uint64_t{0} >> 1);
    entries[row] = {key, static_cast<std::int32_t>(row)};
    for (std::size_t pass = 0; pass < counts.size(); ++pass)
      ++counts[pass][key >> (pass * kBits) & (kBuckets - 1)];
  }
  for (std::size_t pass = 0; pass < counts.size(); ++pass) {
    std::size_t begin = 0;
    bool same = false;  // one bucket holds all
    for (std::size_t& count : counts[pass]) {
      same = same || count == keys.size();
      begin += std::exchange(count, begin);
    }
    if (same) continue;
    for (const Entry& entry : entries)
      sorted[counts[pass][entry.key >> (pass * kBits) & (kBuckets - 1)]++] = entry;
    entries.swap(sorted);
  }
  for (std::size_t place = 0; place < entries.size(); ++place) order[place] = entries[place].row;
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
                    for (std::int64_t r = begin; r < end; ++r)
                      norms[static_cast<std::size_t>(r)] =
                          round_up(std::sqrt(sum_of_squares(vectors_.row(r), vectors_.cols)));
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
  order_by_falling(reach, row_at);
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
          // Whatever is divided by infinity is 0.
          const float divisor = scale > 0.0F ? scale : std::numeric_limits<float>::infinity();
          Rounded rounded;
          std::int64_t k = 0;
          for (; k + kLanes <= dim; k += kLanes, panel += kPanel * kLanes)
            rounded.add(vector + k, kWhole, scale, divisor, panel);
          rounded.add(vector + k, dim - k, scale, divisor, panel);
          const auto& [error, sum] = rounded;
          part<float>(layout_.scales)[place] = scale;
          part<std::int32_t>(layout_.corrections)[place] =
              -offset * (sum[0] + sum[1] + sum[2] + sum[3]);
          part<float>(layout_.errors)[place] =
              round_up(std::sqrt(error[0] + error[1] + error[2] + error[3]));
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
