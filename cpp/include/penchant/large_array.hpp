// Large tables that are read at random.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace penchant {

// Memory that begins on a cache line, and on large pages where the system has them: random reads
// touch more pages than the processor keeps addresses of. For numbers only.
template <typename T>
class LargeArray {
 public:
  LargeArray() = default;
  // Zeros.
  explicit LargeArray(std::int64_t size) : size_(size) {
    constexpr std::int64_t kLine = 64;
    constexpr std::int64_t kLargePage = std::int64_t{2} << 20;
    if (size == 0) return;
    const std::int64_t unit = n_bytes() >= kLargePage ? kLargePage : kLine;
    const auto room = static_cast<std::size_t>((n_bytes() + unit - 1) / unit * unit);
    memory_.reset(std::aligned_alloc(static_cast<std::size_t>(unit), room));
    if (memory_ == nullptr) throw std::bad_alloc();
#ifdef __linux__
    if (unit == kLargePage) madvise(memory_.get(), room, MADV_HUGEPAGE);  // a hint, no more
#endif
    std::memset(memory_.get(), 0, room);
  }

  [[nodiscard]] T* data() { return static_cast<T*>(memory_.get()); }
  [[nodiscard]] const T* data() const { return static_cast<const T*>(memory_.get()); }
  [[nodiscard]] std::int64_t n_bytes() const {
    return size_ * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::int64_t size_ = 0;
  std::unique_ptr<void, Free> memory_;
};

}  // namespace penchant
