#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "penchant/large_array.hpp"
#include "penchant/random.hpp"
#include "penchant/topk.hpp"
#include "reference.hpp"
#include "topk_block.hpp"

using namespace penchant;

namespace {

// What a mapped file is: somebody else's memory that begins on a cache line.
class Copy {
 public:
  explicit Copy(std::span<const std::byte> block)
      : memory_(static_cast<std::int64_t>(block.size())) {
    std::memcpy(memory_.data(), block.data(), block.size());
  }

  [[nodiscard]] std::span<std::byte> bytes() {
    return {memory_.data(), static_cast<std::size_t>(memory_.n_bytes())};
  }
  template <typename T>
  [[nodiscard]] T* at(std::int64_t offset) {
    return reinterpret_cast<T*>(memory_.data() + offset);
  }
  // Makes the checksum right again after a change of the header.
  void sign() {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (std::size_t i = 0; i < offsetof(TopkHeader, checksum); ++i)
      hash = (hash ^ static_cast<std::uint64_t>(bytes()[i])) * 0x100000001b3;
    at<TopkHeader>(0)->checksum = hash;
  }

 private:
  LargeArray<std::byte> memory_;
};

struct Answer {
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
  std::vector<float> pairs;
  std::vector<double> sums;
  bool operator==(const Answer&) const = default;
};

Answer ask(const TopkIndex& index, std::int64_t n_queries, std::int64_t k) {
  const auto q = reference::random_matrix(n_queries, index.dim(), 3);
  const MatrixView<const float> queries{q.data(), n_queries, index.dim()};
  const auto cells = static_cast<std::size_t>(n_queries * k);
  Answer answer{std::vector<std::int64_t>(cells), std::vector<float>(cells), {}, {}};
  index.search(queries, {}, {answer.rows.data(), n_queries, k},
               {answer.scores.data(), n_queries, k}, 2);
  std::vector<std::int64_t> query_rows;
  std::vector<std::int64_t> rows;
  for (std::int64_t r = 0; r < index.size(); ++r) {
    query_rows.push_back(r % n_queries);
    rows.push_back(r);
  }
  answer.pairs.resize(rows.size());
  index.score_pairs(queries, query_rows, rows, answer.pairs, 2);
  answer.sums.resize(static_cast<std::size_t>(n_queries));
  index.log_sum_exp(queries, answer.sums, 2);
  return answer;
}

TopkIndex made(std::int64_t n, std::int64_t dim, bool biased) {
  const auto v = reference::random_matrix(n, dim, 1);
  const auto b = reference::random_matrix(n, 1, 2);
  return {{v.data(), n, dim}, biased ? b.data() : nullptr, 2};
}

}  // namespace

TEST_CASE("an index over the block of another one answers with the same bits") {
  for (const std::int64_t n : {0, 1, 15, 16, 17, 97, 3001})
    for (const std::int64_t dim : {1, 7, 16, 33})
      for (const bool biased : {false, true}) {
        const auto index = made(n, dim, biased);
        Copy copy(index.block());
        const TopkIndex over(copy.bytes());
        CHECK(over.size() == n);
        CHECK(over.dim() == dim);
        CHECK(over.n_bytes() == index.n_bytes());
        CHECK(over.score_bound(2.0F) == index.score_bound(2.0F));
        CHECK(over.block().data() == copy.bytes().data());
        CHECK(ask(over, 33, 10) == ask(index, 33, 10));
      }
}

TEST_CASE("an index that is moved keeps its block") {
  auto index = made(97, 16, true);
  const auto before = ask(index, 5, 10);
  const TopkIndex moved = std::move(index);
  CHECK(ask(moved, 5, 10) == before);
}

TEST_CASE("a block does not depend on the number of threads") {
  const auto v = reference::random_matrix(9001, 33, 1);
  const TopkIndex one({v.data(), 9001, 33}, nullptr, 1);
  const TopkIndex three({v.data(), 9001, 33}, nullptr, 3);
  CHECK(std::memcmp(one.block().data(), three.block().data(), one.block().size()) == 0);
}

TEST_CASE("no other byte of the header passes") {
  const auto index = made(97, 7, true);
  Copy copy(index.block());
  for (std::size_t i = 0; i < offsetof(TopkHeader, padding); ++i)
    for (const int change : {1, 0x80, 0xff}) {
      const std::byte before = copy.bytes()[i];
      copy.bytes()[i] ^= static_cast<std::byte>(change);
      CHECK_THROWS_AS(TopkIndex{copy.bytes()}, std::invalid_argument);
      copy.bytes()[i] = before;
    }
  CHECK_NOTHROW(TopkIndex{copy.bytes()});
}

TEST_CASE("lengths that do not fit are refused, even with a checksum that does") {
  const auto index = made(97, 7, true);
  const TopkHeader sound = *reinterpret_cast<const TopkHeader*>(index.block().data());
  Copy copy(index.block());
  auto* const header = copy.at<TopkHeader>(0);
  using Limits = std::numeric_limits<std::int64_t>;
  const auto refused = [&] {
    copy.sign();
    CHECK_THROWS_AS(TopkIndex{copy.bytes()}, std::invalid_argument);
    *header = sound;
  };
  for (const std::int64_t bad : {Limits::min(), std::int64_t{-1}, std::int64_t{0}, std::int64_t{96},
                                 std::int64_t{98}, std::int64_t{1} << 31, Limits::max()}) {
    header->size = bad;
    refused();
    header->dim = bad;
    refused();
    header->n_bytes = bad;
    refused();
  }
  for (const float bad : {0.0F, -1.0F, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    header->mean_norm = bad;
    refused();
  }
  header->query_levels += 1;
  refused();
  header->format += 1;
  refused();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{63}, sizeof(TopkHeader), copy.bytes().size() - 1}) {
    CHECK_THROWS_AS(TopkIndex{copy.bytes().first(size)}, std::invalid_argument);
  }
  CHECK_THROWS_AS(TopkIndex{copy.bytes().subspan(4)}, std::invalid_argument);
  CHECK_NOTHROW(TopkIndex{copy.bytes()});
}

TEST_CASE("an order that is none is refused") {
  const auto index = made(97, 7, false);
  const TopkLayout layout(97, 7);
  for (const std::int64_t offset : {layout.row_at, layout.place_of})
    for (const std::int32_t bad : {-1, 97, std::numeric_limits<std::int32_t>::max(),
                                   std::numeric_limits<std::int32_t>::min()}) {
      Copy copy(index.block());
      copy.at<std::int32_t>(offset)[50] = bad;
      CHECK_THROWS_AS(TopkIndex{copy.bytes()}, std::invalid_argument);
    }
  Copy repeated(index.block());
  repeated.at<std::int32_t>(layout.row_at)[3] = repeated.at<std::int32_t>(layout.row_at)[4];
  CHECK_THROWS_AS(TopkIndex{repeated.bytes()}, std::invalid_argument);
}

// Not what anybody asked for, but nothing outside of the block: sanitizers watch.
TEST_CASE("whatever numbers a block holds, rows stay in range") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto index = made(300, 9, true);
    Copy copy(index.block());
    const TopkLayout layout(300, 9);
    RandomStream random{seed, 0};
    for (std::int64_t at = layout.biases; at + 8 <= layout.n_bytes; at += 8)
      if (next_u64(&random) % 4 == 0) *copy.at<std::uint64_t>(at) = next_u64(&random);
    const TopkIndex over(copy.bytes());
    const auto answer = ask(over, 17, 20);
    for (const std::int64_t row : answer.rows) {
      CHECK(row >= -1);
      CHECK(row < 300);
    }
  }
}

TEST_CASE("vectors lie in the order of their reach, equal ones by row") {
  const std::vector<float> lengths = {0, 2, 1, 2, 3e38F, 1e-40F, 0, 2, 1, 1e-3F};
  for (const float bias : {0.0F, -1.5F, 1e30F}) {
    const auto n = static_cast<std::int64_t>(lengths.size());
    std::vector<float> biases(lengths.size(), bias);
    biases[1] = biases[8] = -biases[0];
    const TopkIndex index({lengths.data(), n, 1}, biases.data(), 2);
    Copy copy(index.block());
    const TopkLayout layout(n, 1);
    const float mean = copy.at<TopkHeader>(0)->mean_norm;
    const auto* norms = copy.at<float>(layout.norms);
    const auto* place_of = copy.at<std::int32_t>(layout.place_of);
    std::vector<std::int32_t> expected(lengths.size());
    std::iota(expected.begin(), expected.end(), 0);
    const auto reach = [&](std::int32_t row) {
      return static_cast<double>(mean) * static_cast<double>(norms[place_of[row]]) +
             static_cast<double>(biases[static_cast<std::size_t>(row)]);
    };
    std::stable_sort(expected.begin(), expected.end(),
                     [&](std::int32_t a, std::int32_t b) { return reach(a) > reach(b); });
    const auto* order = copy.at<std::int32_t>(layout.row_at);
    CHECK(std::vector<std::int32_t>(order, order + n) == expected);
  }
}
