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
    if (size == 0) return;
    const auto bytes = static_cast<std::size_t>(n_bytes());
#ifdef __linux__
    if (bytes >= kLargePage) {
      // Fresh pages are zeros already, and whoever writes to one first, on any thread, clears it.
      const std::size_t room = bytes + kLargePage;
      void* const pages =
          mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (pages == MAP_FAILED) throw std::bad_alloc();
      const std::size_t begin = reinterpret_cast<std::uintptr_t>(pages) % kLargePage;
      char* const first = static_cast<char*>(pages) + (begin == 0 ? 0 : kLargePage - begin);
      madvise(first, bytes, MADV_HUGEPAGE);  // a hint, no more
      memory_ = {first, Free{pages, room}};
      return;
    }
#endif
    const std::size_t room = (bytes + kLine - 1) / kLine * kLine;
    void* const memory = std::aligned_alloc(kLine, room);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, room);
    memory_ = {memory, Free{}};
  }

  [[nodiscard]] T* data() { return static_cast<T*>(memory_.get()); }
  [[nodiscard]] const T* data() const { return static_cast<const T*>(memory_.get()); }
  [[nodiscard]] std::int64_t n_bytes() const {
    return size_ * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kLargePage = std::size_t{2} << 20;

  struct Free {
    void* pages = nullptr;  // mapped, where the memory is not of the heap
    std::size_t room = 0;
    void operator()(void* memory) const {
#ifdef __linux__
      if (pages != nullptr) {
        munmap(pages, room);
        return;
      }
#endif
      std::free(memory);
    }
  };
  std::int64_t size_ = 0;
  std::unique_ptr<void, Free> memory_;
};

}  // namespace penchant
