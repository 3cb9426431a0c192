// Pieces that every training loop needs: rows padded for the kernels, and the cancel flag.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Threads for parallel loops of `nanoseconds` of work each: no more than have `least` to do.
// Waiting for each other costs microseconds on a quiet machine and milliseconds on a busy one.
inline int threads_for(double nanoseconds, double least, int num_threads) {
  return std::clamp(static_cast<int>(std::min(nanoseconds / least, 4096.0)), 1, num_threads);
}

// Memory that starts where a cache line does: a vector load that straddles two lines costs double.
// Large pieces ask for huge pages: random rows of tens of megabytes miss the translation buffers.
template <typename T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  static constexpr std::align_val_t kHugePage{std::size_t{2} << 20};
  static constexpr std::align_val_t alignment(std::size_t n) {
    return n * sizeof(T) < 2 * static_cast<std::size_t>(kHugePage) ? kLine : kHugePage;
  }

  LineAllocator() = default;
  template <typename U>
  explicit LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t n) {
    void* const memory = ::operator new(n * sizeof(T), alignment(n));
#if defined(__linux__)
    if (alignment(n) == kHugePage) madvise(memory, n * sizeof(T), MADV_HUGEPAGE);
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* p, std::size_t n) { ::operator delete(p, alignment(n)); }
  bool operator==(const LineAllocator&) const { return true; }
};
using FloatRows = std::vector<float, LineAllocator<float>>;

// Rows padded with zeros to a multiple of kRowMultiple; the caller's own memory where it is
// already.
class PaddedRows {
 public:
  explicit PaddedRows(MatrixView<float> original)
      : original_(original), stride_(padded_columns(original.cols)) {
    if (stride_ == original.cols) return;
    copy_.resize(static_cast<std::size_t>(original.rows * stride_), 0.0F);
    for (std::int64_t r = 0; r < original.rows; ++r)
      std::copy_n(original.row(r), original.cols, copy_.data() + r * stride_);
  }

  [[nodiscard]] float* data() { return copy_.empty() ? original_.data : copy_.data(); }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

  void write_back(int num_threads) const {
    if (copy_.empty()) return;
    parallel_chunks(original_.rows, 4096, num_threads,
                    [&](std::int64_t first, std::int64_t last, int) {
                      for (std::int64_t r = first; r < last; ++r)
                        std::copy_n(copy_.data() + r * stride_, original_.cols, original_.row(r));
                    });
  }

 private:
  MatrixView<float> original_;
  std::int64_t stride_;
  FloatRows copy_;
};

// Runs epochs until one is cancelled or the caller says stop; returns the number of whole ones.
template <typename Trainer, typename OnEpoch>
std::int32_t run_epochs(Trainer& trainer, std::int32_t epochs, const OnEpoch& on_epoch) {
  for (std::int32_t epoch = 1; epoch <= epochs; ++epoch) {
    const auto done = trainer.run_epoch(epoch);
    if (!done) return epoch - 1;
    if (on_epoch && !on_epoch(*done)) return epoch;
  }
  return epochs;
}

// Asks the caller's check on thread 0 only, at most every 20 ms, and remembers a yes for all
// threads.
class CancelFlag {
 public:
  explicit CancelFlag(const CancelCheck& check) : check_(check) {}

  bool raised(int thread) {
    if (thread == 0 && check_ && Clock::now() >= next_check_) {
      next_check_ = Clock::now() + std::chrono::milliseconds(20);
      if (check_()) flag_.store(true, std::memory_order_relaxed);
    }
    return flag_.load(std::memory_order_relaxed);
  }

 private:
  using Clock = std::chrono::steady_clock;
  const CancelCheck& check_;
  Clock::time_point next_check_{};
  std::atomic<bool> flag_{false};
};

}  // namespace penchant
