#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "penchant/simd.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr std::int32_t kRows = 23;

// A chunk's inputs, and a slow copy of what the kernel should do to them, in double precision.
struct Chunk {
  std::int64_t size;
  std::int64_t stride;
  bool skip_gram;
  std::int32_t negative;
  std::vector<float> input;
  std::vector<float> output;
  std::vector<float> scratch;
  std::vector<std::int32_t> input_slots;
  std::vector<std::int32_t> output_slots;
  std::vector<std::int32_t> windows;
  std::vector<std::int32_t> negatives;
  std::vector<std::int64_t> ends;

  Chunk(std::int64_t vector_size, bool with_skip_gram, std::int32_t n_negatives,
        std::uint32_t window)
      : size(vector_size),
        stride((vector_size + kRowMultiple - 1) / kRowMultiple * kRowMultiple),
        skip_gram(with_skip_gram),
        negative(n_negatives),
        input(padded(reference::random_matrix(kRows, size, 1, 0.5F))),
        output(padded(reference::random_matrix(kRows, size, 2, 0.5F))),
        scratch(static_cast<std::size_t>(2 * stride)) {
    RandomStream random{5, 0};
    for (const std::int64_t length : {1, 2, 40, 7}) {  // 40: more contexts than a tile
      for (std::int64_t i = 0; i < length; ++i) {
        input_slots.push_back(static_cast<std::int32_t>(reference::draw(random, kRows)));
        output_slots.push_back(kRows - 1 - input_slots.back());
        windows.push_back(static_cast<std::int32_t>(1 + reference::draw(random, window)));
        for (std::int32_t n = 0; n < negative; ++n)
          negatives.push_back(static_cast<std::int32_t>(reference::draw(random, kRows)));
      }
      ends.push_back(static_cast<std::int64_t>(input_slots.size()));
    }
  }

  [[nodiscard]] std::vector<float> padded(const std::vector<float>& rows) const {
    std::vector<float> out(static_cast<std::size_t>(kRows * stride), 0.0F);
    for (std::int64_t r = 0; r < kRows; ++r)
      std::copy_n(rows.data() + r * size, size, out.data() + r * stride);
    return out;
  }

  [[nodiscard]] SkipgramArgs args() {
    SkipgramArgs a{};
    a.input = input.data();
    a.output = output.data();
    a.scratch = scratch.data();
    a.stride = stride;
    a.input_slots = input_slots.data();
    a.output_slots = output_slots.data();
    a.windows = windows.data();
    a.negatives = negatives.data();
    a.n_positions = static_cast<std::int64_t>(input_slots.size());
    a.first_position = 0;
    a.last_position = a.n_positions;
    a.ends = ends.data();
    a.n_sequences = static_cast<std::int64_t>(ends.size());
    a.negative = negative;
    a.skip_gram = skip_gram;
    a.alpha = 0.1F;
    return a;
  }
};

using Row = std::vector<double>;

class NaiveChunk {
 public:
  explicit NaiveChunk(const Chunk& chunk)
      : input(rows(chunk, chunk.input)), output(rows(chunk, chunk.output)), chunk_(chunk) {}

  void run() {
    std::int64_t begin = 0;
    for (const std::int64_t end : chunk_.ends) {
      for (std::int64_t at = begin; at < end; ++at) window(begin, at, end);
      begin = end;
    }
  }

  std::vector<Row> input;
  std::vector<Row> output;
  double loss = 0.0;
  std::int64_t examples = 0;

 private:
  static std::vector<Row> rows(const Chunk& chunk, const std::vector<float>& values) {
    std::vector<Row> out;
    for (std::int64_t r = 0; r < kRows; ++r)
      out.emplace_back(values.begin() + r * chunk.stride,
                       values.begin() + r * chunk.stride + chunk.size);
    return out;
  }
  static double dot(const Row& a, const Row& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }
  static void add(Row& to, double factor, const Row& what) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * what[i];
  }

  void window(std::int64_t first, std::int64_t at, std::int64_t last) {
    const std::int64_t reach = chunk_.windows[static_cast<std::size_t>(at)];
    std::vector<std::size_t> contexts;
    for (std::int64_t c = std::max(first, at - reach); c < std::min(last, at + reach + 1); ++c)
      if (c != at)
        contexts.push_back(
            static_cast<std::size_t>(chunk_.input_slots[static_cast<std::size_t>(c)]));
    if (contexts.empty()) return;
    std::vector<std::size_t> outputs{
        static_cast<std::size_t>(chunk_.output_slots[static_cast<std::size_t>(at)])};
    for (std::int32_t n = 0; n < chunk_.negative; ++n) {
      const auto slot = static_cast<std::size_t>(
          chunk_.negatives[static_cast<std::size_t>(at * chunk_.negative + n)]);
      if (slot != outputs[0]) outputs.push_back(slot);
    }
    chunk_.skip_gram ? predict_each(contexts, outputs) : predict_mean(contexts, outputs);
  }

  // alpha * (label - sigmoid(score)), and its loss
  double gradient(double score, bool positive) {
    const double probability = 1.0 / (1.0 + std::exp(-score));
    loss -= std::log(positive ? probability : 1.0 - probability);
    return static_cast<double>(0.1F) * ((positive ? 1.0 : 0.0) - probability);
  }

  // Tiles of contexts against groups of outputs, both from the values before the tile.
  void predict_each(const std::vector<std::size_t>& contexts,
                    const std::vector<std::size_t>& outputs) {
    examples += static_cast<std::int64_t>(contexts.size());
    for (std::size_t c = 0; c < contexts.size(); c += kSkipgramContexts)
      for (std::size_t t = 0; t < outputs.size(); t += kSkipgramOutputs)
        tile({contexts.begin() + static_cast<std::ptrdiff_t>(c),
              contexts.begin() +
                  static_cast<std::ptrdiff_t>(std::min(c + kSkipgramContexts, contexts.size()))},
             {outputs.begin() + static_cast<std::ptrdiff_t>(t),
              outputs.begin() +
                  static_cast<std::ptrdiff_t>(std::min(t + kSkipgramOutputs, outputs.size()))},
             t == 0);
  }

  void tile(const std::vector<std::size_t>& contexts, const std::vector<std::size_t>& outputs,
            bool first) {
    std::vector<Row> gradients;
    for (std::size_t t = 0; t < outputs.size(); ++t) {
      gradients.emplace_back();
      for (const std::size_t c : contexts)
        gradients.back().push_back(gradient(dot(input[c], output[outputs[t]]), first && t == 0));
    }
    std::vector<Row> old;
    for (const std::size_t t : outputs) old.push_back(output[t]);
    for (std::size_t c = 0; c < contexts.size(); ++c) {
      const Row context = input[contexts[c]];
      for (std::size_t t = 0; t < outputs.size(); ++t) {
        add(input[contexts[c]], gradients[t][c], old[t]);
        add(output[outputs[t]], gradients[t][c], context);
      }
    }
  }

  void predict_mean(const std::vector<std::size_t>& contexts,
                    const std::vector<std::size_t>& outputs) {
    ++examples;
    Row mean(input[0].size(), 0.0);
    for (const std::size_t c : contexts)
      add(mean, 1.0 / static_cast<double>(contexts.size()), input[c]);
    Row error(mean.size(), 0.0);
    for (std::size_t t = 0; t < outputs.size(); t += kSkipgramOutputs) {
      std::vector<double> gradients;
      for (std::size_t i = t; i < std::min(t + kSkipgramOutputs, outputs.size()); ++i)
        gradients.push_back(gradient(dot(mean, output[outputs[i]]), i == 0));
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        add(error, gradients[i], output[outputs[t + i]]);
        add(output[outputs[t + i]], gradients[i], mean);
      }
    }
    for (const std::size_t c : contexts) add(input[c], 1.0, error);
  }

  const Chunk& chunk_;
};

double worst(const Chunk& chunk, const std::vector<float>& found, const std::vector<Row>& rows) {
  double most = 0.0;
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t f = 0; f < chunk.stride; ++f) {
      const double expected =
          f < chunk.size ? rows[static_cast<std::size_t>(r)][static_cast<std::size_t>(f)] : 0.0;
      most = std::max(
          most,
          std::abs(static_cast<double>(found[static_cast<std::size_t>(r * chunk.stride + f)]) -
                   expected));
    }
  return most;
}

}  // namespace

TEST_CASE("a skip-gram chunk does what the double-precision oracle does") {
  for (const std::int64_t size : {1, 7, 15, 16, 17, 33, 48, 64, 97, 128})
    for (const bool skip_gram : {true, false})
      for (const std::int32_t negative : {1, 5, 7, 8, 17})
        for (const std::uint32_t window : {1U, 5U, 30U}) {
          CAPTURE(size);
          CAPTURE(skip_gram);
          CAPTURE(negative);
          CAPTURE(window);
          Chunk chunk(size, skip_gram, negative, window);
          NaiveChunk naive(chunk);
          naive.run();
          const SkipgramArgs args = chunk.args();
          SkipgramResult result{};
          kernels().skipgram_chunk(&args, &result);
          CHECK(worst(chunk, chunk.input, naive.input) < 2e-5);
          CHECK(worst(chunk, chunk.output, naive.output) < 2e-5);
          CHECK(result.examples == naive.examples);
          CHECK(result.loss == doctest::Approx(naive.loss).epsilon(1e-5));
        }
}

TEST_CASE("a chunk in pieces gives the bits of the whole") {
  for (const bool skip_gram : {true, false}) {
    Chunk whole(33, skip_gram, 5, 5);
    Chunk pieces = whole;
    SkipgramArgs args = whole.args();
    SkipgramResult result{};
    kernels().skipgram_chunk(&args, &result);
    args = pieces.args();
    std::int64_t examples = 0;
    for (std::int64_t first = 0; first < args.n_positions; first += 7) {
      args.first_position = first;
      args.last_position = std::min(first + 7, args.n_positions);
      SkipgramResult part{};
      kernels().skipgram_chunk(&args, &part);
      examples += part.examples;
    }
    CHECK(pieces.input == whole.input);
    CHECK(pieces.output == whole.output);
    CHECK(examples == result.examples);
  }
}

TEST_CASE("extreme scores neither overflow nor lose the loss") {
  for (const bool skip_gram : {true, false}) {
    Chunk chunk(16, skip_gram, 5, 5);
    for (float& x : chunk.input) x *= 1000.0F;
    for (float& x : chunk.output) x *= 1000.0F;
    SkipgramArgs args = chunk.args();
    args.alpha = 1e-9F;
    SkipgramResult result{};
    kernels().skipgram_chunk(&args, &result);
    CHECK(std::isfinite(result.loss));
    CHECK(result.loss > 80.0);  // a score counts as 80 at most
    for (const float x : chunk.input) CHECK(std::isfinite(x));
  }
}
