#include "grid.hpp"

#include <numeric>

#include "penchant/parallel.hpp"

namespace penchant {

void shuffle(std::span<std::int32_t> values, RandomStream random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    const auto bits = static_cast<std::uint32_t>(next_u64(&random) >> 32);
    std::swap(values[i - 1], values[below(bits, static_cast<std::uint32_t>(i))]);
  }
}

Grid::Grid(const CsrView& interactions, std::span<const float> values, std::int64_t n_items,
           std::int32_t size, const Seeds& seeds, int num_threads)
    : interactions_(interactions),
      values_(values),
      size_(size),
      seeds_(seeds),
      num_threads_(num_threads),
      users_(static_cast<std::size_t>(interactions.rows())),
      items_(static_cast<std::size_t>(n_items)),
      block_of_item_(static_cast<std::size_t>(n_items)),
      event_users_(static_cast<std::size_t>(interactions.entries())),
      event_items_(static_cast<std::size_t>(interactions.entries())),
      event_values_(values.size()),
      cell_begin_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size + 1)) {
  std::iota(users_.begin(), users_.end(), 0);
  std::iota(items_.begin(), items_.end(), 0);
  shuffle(users_, {stream_key(seeds.seed, seeds.users), 0});
  // Users are dealt once, so the events of a user block always fill the same range.
  std::int64_t events = 0;
  for (std::int32_t block = 0; block < size; ++block) {
    first_event_.push_back(events);
    for (const std::int32_t user : users_of(block))
      events += static_cast<std::int64_t>(interactions.row(user).size());
  }
}

void Grid::deal(std::int32_t epoch) {
  shuffle(items_, {stream_key(seeds_.seed, seeds_.items, static_cast<std::uint64_t>(epoch)), 0});
  for (std::int32_t block = 0; block < size_; ++block)
    for (const std::int32_t item : items_of(block))
      block_of_item_[static_cast<std::size_t>(item)] = static_cast<std::uint16_t>(block);
  parallel_for(size_, num_threads_,
               [&](std::int64_t block, int) { sort_events(static_cast<std::int32_t>(block)); });
}

// Counting sort of the events of one user block by item block; users keep their order.
void Grid::sort_events(std::int32_t block) {
  std::int64_t* begin = cell_begin_.data() + static_cast<std::ptrdiff_t>(block) * (size_ + 1);
  std::vector<std::int64_t> next(static_cast<std::size_t>(size_), 0);
  for (const std::int32_t user : users_of(block))
    for (const std::int32_t item : interactions_.row(user))
      ++next[block_of_item_[static_cast<std::size_t>(item)]];
  begin[0] = first_event_[static_cast<std::size_t>(block)];
  for (std::int32_t c = 0; c < size_; ++c) {
    begin[c + 1] = begin[c] + next[static_cast<std::size_t>(c)];
    next[static_cast<std::size_t>(c)] = begin[c];
  }
  for (const std::int32_t user : users_of(block)) {
    const auto row = interactions_.row(user);
    const auto first =
        static_cast<std::size_t>(interactions_.indptr[static_cast<std::size_t>(user)]);
    for (std::size_t n = 0; n < row.size(); ++n) {
      const auto at =
          static_cast<std::size_t>(next[block_of_item_[static_cast<std::size_t>(row[n])]]++);
      event_users_[at] = user;
      event_items_[at] = row[n];
      if (!values_.empty()) event_values_[at] = values_[first + n];
    }
  }
}

}  // namespace penchant
