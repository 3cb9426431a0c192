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

}  // namespace

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
