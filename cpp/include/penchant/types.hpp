// Plain views shared by every kernel. They own nothing; the caller keeps the memory alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace penchant {

// Compressed sparse rows: row r holds indices[indptr[r] .. indptr[r + 1]), sorted and unique.
// Offsets are 64-bit so that more than 2^31 entries fit; ids are 32-bit.
struct CsrView {
  std::span<const std::int64_t> indptr;
  std::span<const std::int32_t> indices;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(indptr.size()) - 1; }
  [[nodiscard]] std::int64_t entries() const { return static_cast<std::int64_t>(indices.size()); }
  [[nodiscard]] std::span<const std::int32_t> row(std::int64_t r) const {
    const auto begin = static_cast<std::size_t>(indptr[static_cast<std::size_t>(r)]);
    const auto end = static_cast<std::size_t>(indptr[static_cast<std::size_t>(r) + 1]);
    return indices.subspan(begin, end - begin);
  }
};

// Asked every few milliseconds, on the thread that called the kernel; true stops it.
using CancelCheck = std::function<bool()>;

// Row-major matrix without gaps between rows.
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  [[nodiscard]] T* row(std::int64_t r) const { return data + r * cols; }
  [[nodiscard]] std::int64_t size() const { return rows * cols; }
};

}  // namespace penchant
