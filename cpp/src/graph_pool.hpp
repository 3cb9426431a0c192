// The best vectors that a walk over a graph has met; internal to graph_index.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace penchant {

struct GraphHit {
  float score;
  std::int32_t slot;  // negative, as ~slot: its links have been followed
};

// Sorted, best first: quick while it is small.
class SortedPool {
 public:
  void reset(std::int32_t capacity) {
    capacity_ = static_cast<std::size_t>(capacity);
    hits_.resize(capacity_ + 1);
    size_ = next_ = 0;
  }
  // A vector must have a higher score to enter.
  [[nodiscard]] float threshold() const {
    return size_ < capacity_ ? -std::numeric_limits<float>::infinity() : hits_[size_ - 1].score;
  }
  void add(float score, std::int32_t slot) {
    GraphHit* begin = hits_.data();
    GraphHit* place =
        std::upper_bound(begin, begin + size_, score,
                         [](float mine, const GraphHit& hit) { return mine > hit.score; });
    // The last one falls out at the end of a full pool.
    size_ = std::min(size_ + 1, capacity_);
    std::copy_backward(place, begin + size_ - 1, begin + size_);
    *place = {score, slot};
    next_ = std::min(next_, static_cast<std::size_t>(place - begin));
  }
  // The best one whose links have not been followed; -1 if there is none.
  std::int32_t next() {
    while (next_ < size_ && hits_[next_].slot < 0) ++next_;
    if (next_ == size_) return -1;
    const std::int32_t slot = hits_[next_].slot;
    hits_[next_++].slot = ~slot;
    return slot;
  }
  // The slots of the best `count`, in no order.
  void write(std::int32_t count, std::vector<std::int32_t>* slots) {
    slots->clear();
    const std::size_t end = std::min(size_, static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < end; ++i)
      slots->push_back(hits_[i].slot < 0 ? ~hits_[i].slot : hits_[i].slot);
  }

 private:
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t next_ = 0;  // all before it have been followed
  std::vector<GraphHit> hits_;
};

// Two heaps: for wide searches.
class HeapPool {
 public:
  void reset(std::int32_t capacity) {
    capacity_ = static_cast<std::size_t>(capacity);
    best_.clear();
    ahead_.clear();
  }
  [[nodiscard]] float threshold() const {
    return best_.size() < capacity_ ? -std::numeric_limits<float>::infinity() : best_.front().score;
  }
  void add(float score, std::int32_t slot) {
    if (best_.size() == capacity_) {
      std::pop_heap(best_.begin(), best_.end(), before);
      best_.pop_back();
    }
    best_.push_back({score, slot});
    std::push_heap(best_.begin(), best_.end(), before);
    ahead_.push_back({score, slot});
    std::push_heap(ahead_.begin(), ahead_.end(), after);
  }
  std::int32_t next() {
    if (ahead_.empty() || (best_.size() == capacity_ && ahead_.front().score < threshold()))
      return -1;
    std::pop_heap(ahead_.begin(), ahead_.end(), after);
    const std::int32_t slot = ahead_.back().slot;
    ahead_.pop_back();
    return slot;
  }
  void write(std::int32_t count, std::vector<std::int32_t>* slots) {
    const auto end = best_.begin() + static_cast<std::ptrdiff_t>(
                                         std::min(best_.size(), static_cast<std::size_t>(count)));
    if (end != best_.end()) std::nth_element(best_.begin(), end, best_.end(), before);
    slots->clear();
    for (auto hit = best_.begin(); hit != end; ++hit) slots->push_back(hit->slot);
  }

 private:
  // Total orders, so that equal scores do not leave anything open.
  static bool before(const GraphHit& a, const GraphHit& b) {
    return a.score > b.score || (a.score == b.score && a.slot < b.slot);
  }
  static bool after(const GraphHit& a, const GraphHit& b) { return before(b, a); }

  std::size_t capacity_ = 0;
  std::vector<GraphHit> best_;   // the worst in front
  std::vector<GraphHit> ahead_;  // links not followed yet, the best in front
};

}  // namespace penchant
