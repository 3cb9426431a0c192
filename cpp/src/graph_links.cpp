#include <algorithm>

#include "penchant/graph_index.hpp"

namespace penchant {
namespace {

std::string shape(std::int64_t rows, std::int64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

// What is wrong with a list of a level, if anything.
const char* problem_of_list(const std::int32_t* list, std::int64_t columns, int level,
                            std::span<const std::int16_t> levels) {
  if (list[0] < 0 || list[0] >= columns) return "a list that is too long";
  const auto n = static_cast<std::int32_t>(levels.size());
  for (const std::int32_t row : std::span(list + 1, static_cast<std::size_t>(list[0]))) {
    if (row < 0 || row >= n) return "links to rows outside the graph";
    if (levels[static_cast<std::size_t>(row)] < level)
      return "links to rows that are not on their level";
  }
  return nullptr;
}

std::span<const std::int32_t> neighbors(MatrixView<std::int32_t> base, std::int64_t row) {
  return {base.row(row) + 1, static_cast<std::size_t>(base.row(row)[0])};
}

// Vectors that a walk from the entry can come to.
class Reach {
 public:
  explicit Reach(MatrixView<std::int32_t> base)
      : base_(base), reached_(static_cast<std::size_t>(base.rows), false) {}

  [[nodiscard]] bool holds(std::int64_t row) const {
    return reached_[static_cast<std::size_t>(row)];
  }
  [[nodiscard]] std::int64_t count() const { return count_; }
  // Adds a vector that was not reached, and all that it leads to.
  void add(std::int64_t row) {
    enter(row);
    while (!ahead_.empty()) {
      const std::int64_t here = ahead_.back();
      ahead_.pop_back();
      for (const std::int32_t next : neighbors(base_, here))
        if (!holds(next)) enter(next);
    }
  }

 private:
  void enter(std::int64_t row) {
    reached_[static_cast<std::size_t>(row)] = true;
    ahead_.push_back(row);
    ++count_;
  }

  MatrixView<std::int32_t> base_;
  std::vector<bool> reached_;
  std::vector<std::int64_t> ahead_;
  std::int64_t count_ = 0;
};

// A vector in reach and near `row` whose list has room, or -1.
std::int64_t host_near(MatrixView<std::int32_t> base, std::int64_t row, const Reach& reach) {
  const auto fits = [&](std::int64_t host) {
    return reach.holds(host) && base.row(host)[0] + 1 < base.cols;
  };
  for (const std::int32_t near : neighbors(base, row))
    if (fits(near)) return near;
  for (const std::int32_t near : neighbors(base, row))
    for (const std::int32_t next : neighbors(base, near))
      if (fits(next)) return next;
  return -1;
}

}  // namespace

std::int64_t connect_links(MatrixView<std::int32_t> base, std::int64_t entry) {
  Reach reach(base);
  reach.add(entry);
  for (bool more = reach.count() < base.rows; more;) {
    more = false;
    for (std::int64_t row = 0; row < base.rows; ++row) {
      if (reach.holds(row)) continue;
      const std::int64_t host = host_near(base, row, reach);
      if (host < 0) continue;
      std::int32_t* list = base.row(host);
      list[++list[0]] = static_cast<std::int32_t>(row);
      reach.add(row);
      more = true;
    }
  }
  return base.rows - reach.count();
}

std::string problem_of_links(const GraphLinks& links, std::int64_t n) {
  const auto& [levels, base, upper, entry] = links;
  if (n == 0 || static_cast<std::int64_t>(levels.size()) != n)
    return "the graph has " + std::to_string(levels.size()) + " vectors, expected " +
           std::to_string(n);
  if (upper.cols < 2 || base.rows != n || base.cols != 2 * upper.cols - 1)
    return "the graph's level 0 has shape " + shape(base.rows, base.cols) + ", not " +
           shape(n, 2 * upper.cols - 1);
  std::int64_t total = 0;
  for (const std::int16_t level : levels) {
    if (level < 0) return "the graph has a vector on a negative level";
    total += level;
  }
  if (upper.rows != total)
    return "the graph's levels have shape " + shape(upper.rows, upper.cols) + ", not " +
           shape(total, upper.cols);
  if (entry < 0 || entry >= n ||
      levels[static_cast<std::size_t>(entry)] != *std::max_element(levels.begin(), levels.end()))
    return "the graph's entry " + std::to_string(entry) + " is not on its highest level";
  std::int64_t list = 0;
  for (std::int64_t row = 0; row < n; ++row) {
    const char* wrong = problem_of_list(base.row(row), base.cols, 0, levels);
    for (int level = 1; wrong == nullptr && level <= levels[static_cast<std::size_t>(row)]; ++level)
      wrong = problem_of_list(upper.row(list++), upper.cols, level, levels);
    if (wrong != nullptr)
      return "the graph's row " + std::to_string(row) + " has " + std::string(wrong);
  }
  return {};
}

}  // namespace penchant
