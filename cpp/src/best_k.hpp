// The k best of a stream of scored items: best score first, ties to the lower item.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace penchant {

struct Scored {
  float score;
  std::int32_t item;
};

inline bool better(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.item < b.item);
}

// Items may come in any order: the result depends on the set alone.
class BestK {
 public:
  // Forgets everything; scores below `floor` will be turned away.
  void start(std::int64_t k, float floor) {
    k_ = static_cast<std::size_t>(k);
    full_ = std::max<std::size_t>(2 * k_, 64);
    threshold_ = floor;
    kept_.clear();
  }

  void offer(float score, std::int32_t item) {
    if (!(score >= threshold_)) return;  // NaN too
    kept_.push_back({score, item});
    if (kept_.size() >= full_) {
      cut();
      threshold_ = kept_.back().score;
    }
  }

  [[nodiscard]] std::vector<Scored>& sorted_by_item() {
    cut();
    std::sort(kept_.begin(), kept_.end(),
              [](const Scored& a, const Scored& b) { return a.item < b.item; });
    return kept_;
  }

  [[nodiscard]] std::vector<Scored>& sorted() {
    cut();
    std::sort(kept_.begin(), kept_.end(), better);
    return kept_;
  }

 private:
  // Leaves the k best, the worst of them last.
  void cut() {
    if (k_ == 0) kept_.clear();
    if (kept_.size() <= k_) return;
    const auto end = kept_.begin() + static_cast<std::ptrdiff_t>(k_);
    std::nth_element(kept_.begin(), end - 1, kept_.end(), better);
    kept_.erase(end, kept_.end());
  }

  std::size_t k_ = 0;
  std::size_t full_ = 0;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Scored> kept_;
};

}  // namespace penchant
