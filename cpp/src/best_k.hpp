// The k best of a stream of scored items: best score first, ties to the lower item.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace penchant {

struct Scored {
  float score;
  std::int32_t item;
};

// Writes k rows and scores; -1 and -infinity pad.
inline void write_padded(const std::vector<Scored>& best, std::size_t k, std::int64_t* rows,
                         float* scores) {
  for (std::size_t i = 0; i < k; ++i) {
    const Scored hit =
        i < best.size() ? best[i] : Scored{-std::numeric_limits<float>::infinity(), -1};
    rows[i] = hit.item;
    scores[i] = hit.score;
  }
}

// Items may come in any order: the result depends on the set alone.
class BestK {
 public:
  // Forgets everything; scores below `floor` will be turned away.
  void start(std::int64_t k, float floor) {
    k_ = static_cast<std::size_t>(k);
    full_ = std::max<std::size_t>(2 * k_, 64);
    floor_ = floor;
    threshold_ = floor;
    count_ = 0;
    room_ = std::min(keys_.size(), full_);
  }

  // Scores below it (and NaN) are turned away: callers may do so before they call.
  [[nodiscard]] float threshold() const { return threshold_; }

  void offer(float score, std::int32_t item) {
    if (!(score >= threshold_)) return;
    if (count_ == room_) make_room();
    keys_[count_++] = key(score, item);
  }

  // Raises the threshold, where so many came since it was raised last that a selection is worth it.
  void settle() {
    if (count_ >= (threshold_ > floor_ ? k_ + k_ / 4 + 1 : k_)) raise();
  }

  // Writes k rows and scores, best first; -1 and -infinity pad.
  void write(std::int64_t* rows, float* scores) { write_padded(sorted(), k_, rows, scores); }

  // Offers what the other one holds.
  void merge(const BestK& other) {
    for (std::size_t i = 0; i < other.count_; ++i) {
      const Scored hit = scored(other.keys_[i]);
      offer(hit.score, hit.item);
    }
  }

  [[nodiscard]] const std::vector<Scored>& sorted_by_item() {
    cut();
    std::sort(keys_.begin(), last(), [](std::uint64_t a, std::uint64_t b) {
      return static_cast<std::uint32_t>(a) > static_cast<std::uint32_t>(b);
    });
    return decode();
  }

  [[nodiscard]] const std::vector<Scored>& sorted() {
    cut();
    std::sort(keys_.begin(), last(), std::greater<>());
    return decode();
  }

 private:
  // One integer that is larger the better: the bits of a positive float rise with it, those of a
  // negative one fall; then what is left to the largest item number.
  static std::uint64_t key(float score, std::int32_t item) {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 is 0
    const std::uint32_t rising = (bits & kSign) != 0 ? ~bits : bits | kSign;
    return static_cast<std::uint64_t>(rising) << 32 | ~static_cast<std::uint32_t>(item);
  }

  static Scored scored(std::uint64_t key) {
    const auto rising = static_cast<std::uint32_t>(key >> 32);
    const std::uint32_t bits = (rising & kSign) != 0 ? rising & ~kSign : ~rising;
    return {std::bit_cast<float>(bits),
            static_cast<std::int32_t>(~static_cast<std::uint32_t>(key))};
  }

  const std::vector<Scored>& decode() {
    found_.resize(count_);
    std::transform(keys_.begin(), last(), found_.begin(), scored);
    return found_;
  }

  void make_room() {
    if (room_ == full_) {
      raise();
    } else {  // a k that is far beyond what there is should not cost its memory
      room_ = std::min(full_, std::max<std::size_t>(2 * room_, 64));
      keys_.resize(room_);
    }
  }

  void raise() {
    cut();
    if (count_ > 0) threshold_ = scored(keys_[count_ - 1]).score;
  }

  // Leaves the k best, the worst of them last.
  void cut() {
    if (count_ < k_) return;
    if (k_ > 0)
      std::nth_element(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), last(),
                       std::greater<>());
    count_ = k_;
  }

  [[nodiscard]] std::vector<std::uint64_t>::iterator last() {
    return keys_.begin() + static_cast<std::ptrdiff_t>(count_);
  }

  static constexpr std::uint32_t kSign = 0x80000000U;
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  std::size_t k_ = 0;
  std::size_t full_ = 0;
  std::size_t count_ = 0;
  std::size_t room_ = 0;  // of keys_, full_ at most
  float floor_ = -kInfinity;
  float threshold_ = -kInfinity;
  std::vector<std::uint64_t> keys_;  // of which count_ are in use
  std::vector<Scored> found_;
};

}  // namespace penchant
