// What deterministic parallel SGD on a users x items matrix is made of: the grid of blocks, padded
// rows and the cancel flag.
//
// Users and items are dealt into a G x G grid. In step d, user block u works on item block (u + d)
// mod G, so no two blocks of a step share a row: they run in parallel without locks and in any
// order with the same result. G depends on the data alone, so the bits do not depend on the number
// of threads.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "penchant/random.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Fisher-Yates.
void shuffle(std::span<std::int32_t> values, RandomStream random);

// The grid of one training run: who sits in which block, and the events of each cell.
class Grid {
 public:
  // Keys of the random streams that deal users, once, and items, once an epoch.
  struct Seeds {
    std::uint64_t seed;
    std::uint64_t users;
    std::uint64_t items;
  };

  // `values`, one for each entry of `interactions`, may be empty.
  Grid(const CsrView& interactions, std::span<const float> values, std::int64_t n_items,
       std::int32_t size, const Seeds& seeds, int num_threads);

  // Deals the items anew and sorts every event into its cell.
  void deal(std::int32_t epoch);

  [[nodiscard]] std::span<const std::int32_t> users_of(std::int32_t block) const {
    return part(users_, block);
  }
  [[nodiscard]] std::span<const std::int32_t> items_of(std::int32_t block) const {
    return part(items_, block);
  }
  // Place of a block's first item when the blocks are laid one after the other.
  [[nodiscard]] std::size_t first_item_of(std::int32_t block) const {
    return begin_of(items_, block);
  }
  // Events [first, last) of a cell in event_users() and event_items(). Those of a user are
  // contiguous, items ascending.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> cell(std::int32_t user_block,
                                                           std::int32_t item_block) const {
    const std::size_t at =
        static_cast<std::size_t>(user_block) * static_cast<std::size_t>(size_ + 1) +
        static_cast<std::size_t>(item_block);
    return {cell_begin_[at], cell_begin_[at + 1]};
  }
  [[nodiscard]] const std::int32_t* event_users() const { return event_users_.data(); }
  [[nodiscard]] const std::int32_t* event_items() const { return event_items_.data(); }
  [[nodiscard]] const float* event_values() const { return event_values_.data(); }
  [[nodiscard]] std::int32_t size() const { return size_; }

 private:
  [[nodiscard]] std::size_t begin_of(const std::vector<std::int32_t>& all,
                                     std::int32_t block) const {
    return all.size() * static_cast<std::size_t>(block) / static_cast<std::size_t>(size_);
  }
  [[nodiscard]] std::span<const std::int32_t> part(const std::vector<std::int32_t>& all,
                                                   std::int32_t block) const {
    const std::size_t begin = begin_of(all, block);
    return std::span(all).subspan(begin, begin_of(all, block + 1) - begin);
  }
  void sort_events(std::int32_t block);

  CsrView interactions_;
  std::span<const float> values_;
  std::int32_t size_;
  Seeds seeds_;
  int num_threads_;
  std::vector<std::int32_t> users_;
  std::vector<std::int32_t> items_;
  std::vector<std::uint16_t> block_of_item_;
  std::vector<std::int32_t> event_users_;
  std::vector<std::int32_t> event_items_;
  std::vector<float> event_values_;
  std::vector<std::int64_t> cell_begin_;
  std::vector<std::int64_t> first_event_;
};

}  // namespace penchant
