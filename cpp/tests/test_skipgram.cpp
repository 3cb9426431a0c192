#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "penchant/random.hpp"
#include "penchant/skipgram.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

struct Sequences {
  std::vector<std::int64_t> indptr{0};
  std::vector<std::int32_t> items;

  [[nodiscard]] SequencesView view() const { return {indptr, items}; }
  void add(const std::vector<std::int32_t>& sequence) {
    items.insert(items.end(), sequence.begin(), sequence.end());
    indptr.push_back(static_cast<std::int64_t>(items.size()));
  }
};

// Sequences of even items and of odd items; low numbers are more frequent.
Sequences two_tastes(std::int32_t n_sequences, std::uint32_t n_items, std::uint32_t length) {
  Sequences sequences;
  RandomStream random{77, 0};
  for (std::int32_t s = 0; s < n_sequences; ++s) {
    std::vector<std::int32_t> items;
    for (std::uint32_t i = 0; i < length; ++i) {
      const std::uint32_t half = reference::draw(random, 1 + reference::draw(random, n_items / 2));
      items.push_back(static_cast<std::int32_t>(2 * half) + s % 2);
    }
    sequences.add(items);
  }
  return sequences;
}

struct Model {
  std::vector<float> input;
  std::vector<float> output;
  std::int32_t epochs = 0;
  std::vector<SkipgramEpoch> history;
  bool operator==(const Model& other) const {
    return input == other.input && output == other.output;
  }
};

Model train(const Sequences& sequences, std::int64_t n_items, std::int64_t size,
            const SkipgramParams& params, const SkipgramEpochCallback& on_epoch = {},
            const CancelCheck& cancelled = {}) {
  Model model{reference::random_matrix(n_items, size, 1, 0.05F),
              std::vector<float>(static_cast<std::size_t>(n_items * size), 0.0F),
              0,
              {}};
  const SkipgramVectors views{{model.input.data(), n_items, size},
                              {model.output.data(), n_items, size}};
  model.epochs = fit_skipgram(
      sequences.view(), views, params,
      [&](const SkipgramEpoch& epoch) {
        model.history.push_back(epoch);
        return !on_epoch || on_epoch(epoch);
      },
      cancelled);
  return model;
}

SkipgramParams quick(bool skip_gram = true, int threads = 2) {
  SkipgramParams params;
  params.epochs = 3;
  params.sample = 0.0;
  params.skip_gram = skip_gram;
  params.num_threads = threads;
  return params;
}

}  // namespace

TEST_CASE("the same bits for any number of threads") {
  const Sequences sequences = two_tastes(3000, 900, 11);
  const SkipgramPlan plan = skipgram_plan(33, 900, quick().window);
  REQUIRE(plan.chunks_per_round > 1);
  REQUIRE(33000 > 2 * plan.chunk_words * plan.chunks_per_round);  // several rounds
  for (const bool skip_gram : {true, false}) {
    const Model one = train(sequences, 900, 33, quick(skip_gram, 1));
    for (const int threads : {2, 3, 8}) {
      const Model other = train(sequences, 900, 33, quick(skip_gram, threads));
      CHECK(one == other);
      REQUIRE(other.history.size() == one.history.size());
      for (std::size_t e = 0; e < one.history.size(); ++e)
        CHECK(one.history[e].loss == other.history[e].loss);
    }
  }
}

TEST_CASE("another seed gives other bits") {
  const Sequences sequences = two_tastes(60, 100, 9);
  SkipgramParams params = quick();
  const Model one = train(sequences, 100, 8, params);
  params.seed = 1;
  CHECK_FALSE(train(sequences, 100, 8, params) == one);
}

TEST_CASE("items of one taste end up close together") {
  const Sequences sequences = two_tastes(1500, 60, 10);
  for (const bool skip_gram : {true, false}) {
    SkipgramParams params = quick(skip_gram);
    params.epochs = 20;
    const Model model = train(sequences, 60, 16, params);
    int right = 0;
    int wrong = 0;
    const auto cosine = [&](std::int64_t a, std::int64_t b) {
      const float* x = model.input.data() + a * 16;
      const float* y = model.input.data() + b * 16;
      return reference::score(x, y, 0.0, 16) /
             std::sqrt(reference::score(x, x, 0.0, 16) * reference::score(y, y, 0.0, 16));
    };
    for (std::int64_t i = 0; i + 4 <= 60; i += 2)
      (cosine(i, i + 2) > cosine(i, i + 1) ? right : wrong)++;
    CHECK(right > 9 * wrong);
    CHECK(model.history.back().loss < 0.9 * model.history.front().loss);
  }
}

TEST_CASE("every word is visited once an epoch, and every pair of a window is an example") {
  const Sequences sequences = two_tastes(300, 100, 9);
  SkipgramParams params = quick();
  params.shrink_windows = false;
  params.window = 2;
  for (const SkipgramEpoch& epoch : train(sequences, 100, 7, params).history) {
    CHECK(epoch.words == 2700);
    CHECK(epoch.examples == 300 * (2 * (8 + 7)));  // pairs at distance 1 and 2, both ways
  }
  params.skip_gram = false;
  CHECK(train(sequences, 100, 7, params).history.front().examples == 2700);
}

TEST_CASE("subsampling thins out frequent items alone, by the share of word2vec.c") {
  Sequences sequences;
  for (std::int32_t s = 0; s < 5000; ++s) sequences.add({0, 0, 0, 0, 0, 1 + s % 500});
  SkipgramParams params = quick();
  params.sample = 0.01;
  const double limit = 0.01 * 30000;
  const double share = std::sqrt(limit / 25000) + limit / 25000;
  const double expected = 25000 * share + 5000;  // items 1 to 500 are rarer than the limit
  for (const SkipgramEpoch& epoch : train(sequences, 501, 4, params).history)
    CHECK(static_cast<double>(epoch.words) == doctest::Approx(expected).epsilon(0.02));
}

TEST_CASE(
    "subsampling leaves a small catalogue whole, but for what is more frequent than average") {
  Sequences even;
  for (int s = 0; s < 50; ++s) even.add({0, 1, 2});
  SkipgramParams params = quick();
  params.sample = 1e-3;
  for (const SkipgramEpoch& epoch : train(even, 3, 4, params).history) CHECK(epoch.words == 150);
  Sequences skewed;
  for (int s = 0; s < 500; ++s) skewed.add({0, 0, 0, 0, 1 + s % 4, 0, 0, 0, 0});
  const double average = 900.0;
  const double expected = 4000 * (std::sqrt(average / 4000) + average / 4000) + 500;
  for (const SkipgramEpoch& epoch : train(skewed, 5, 4, params).history)
    CHECK(static_cast<double>(epoch.words) == doctest::Approx(expected).epsilon(0.05));
}

TEST_CASE("negatives follow the count to the power of ns_exponent") {
  // A learning rate so small that the first epoch's output vectors add up the draws: every negative
  // takes half a step along the context, which is (almost) constant.
  Sequences sequences;
  for (std::int32_t s = 0; s < 4000; ++s) sequences.add({0, 0});  // the contexts
  for (std::int32_t s = 0; s < 100; ++s) sequences.add({1, 1});
  for (std::int32_t s = 0; s < 10; ++s) sequences.add({2, 2});
  const auto ratio = [&](double exponent) {
    SkipgramParams params = quick();
    params.epochs = 1;
    params.alpha = 1e-4F;
    params.min_alpha = 1e-4F;
    params.ns_exponent = exponent;
    params.window = 1;
    std::vector<float> input{1.0F, 1e-9F, 1e-9F};
    std::vector<float> output(3, 0.0F);
    fit_skipgram(sequences.view(), {{input.data(), 3, 1}, {output.data(), 3, 1}}, params, {}, {});
    return static_cast<double>(output[1]) / static_cast<double>(output[2]);
  };
  CHECK(ratio(0.0) == doctest::Approx(1.0).epsilon(0.1));
  CHECK(ratio(0.5) == doctest::Approx(std::sqrt(10.0)).epsilon(0.1));
  CHECK(ratio(-0.5) == doctest::Approx(1.0 / std::sqrt(10.0)).epsilon(0.1));
}

TEST_CASE("the callback ends the training") {
  const Model model = train(two_tastes(60, 100, 9), 100, 8, quick(),
                            [](const SkipgramEpoch& epoch) { return epoch.epoch < 2; });
  CHECK(model.epochs == 2);
  CHECK(model.history.size() == 2);
}

TEST_CASE("cancelling is asked on the calling thread, stops, and leaves finite vectors") {
  const Sequences sequences = two_tastes(3000, 900, 11);
  SkipgramParams params = quick();
  params.epochs = 1000000;
  bool learnt = false;
  const auto caller = std::this_thread::get_id();
  bool elsewhere = false;
  const auto on_epoch = [&](const SkipgramEpoch&) { return learnt = true; };
  const Model model = train(sequences, 900, 7, params, on_epoch, [&] {
    elsewhere = elsewhere || std::this_thread::get_id() != caller;
    return learnt;
  });
  CHECK(model.epochs >= 1);
  CHECK(model.epochs < 1000000);
  CHECK_FALSE(elsewhere);
  for (const float x : model.input) CHECK(std::isfinite(x));
  CHECK_FALSE(model.input == reference::random_matrix(900, 7, 1, 0.05F));
}

TEST_CASE("degenerate data: nothing to learn from") {
  Sequences nobody;
  CHECK(train(nobody, 5, 3, quick()).epochs == 0);
  Sequences single;
  single.add({});
  single.add({4});
  single.add({});
  const Model alone = train(single, 5, 3, quick());
  CHECK(alone.epochs == 3);
  CHECK(alone.history.back().examples == 0);
  CHECK(alone.history.back().loss == doctest::Approx(6 * std::log(2.0)));
  CHECK(alone.input == reference::random_matrix(5, 3, 1, 0.05F));
  Sequences same;
  same.add({0, 0, 0, 0});
  for (const float x : train(same, 1, 3, quick()).input) CHECK(std::isfinite(x));
}

TEST_CASE("every parameter changes what is learnt") {
  const Sequences sequences = two_tastes(300, 100, 9);
  const auto changed = [&](const std::function<void(SkipgramParams&)>& change) {
    SkipgramParams other = quick();
    change(other);
    return !(train(sequences, 100, 8, quick()) == train(sequences, 100, 8, other));
  };
  CHECK(changed([](SkipgramParams& p) { p.window = 2; }));
  CHECK(changed([](SkipgramParams& p) { p.shrink_windows = false; }));
  CHECK(changed([](SkipgramParams& p) { p.negative = 4; }));
  CHECK(changed([](SkipgramParams& p) { p.ns_exponent = -1.0; }));
  CHECK(changed([](SkipgramParams& p) { p.sample = 1e-3; }));
  CHECK(changed([](SkipgramParams& p) { p.skip_gram = false; }));
  CHECK(changed([](SkipgramParams& p) { p.alpha = 0.05F; }));
  CHECK(changed([](SkipgramParams& p) { p.min_alpha = 0.02F; }));
}

TEST_CASE("the learning rate falls within an epoch too") {
  const Sequences sequences = two_tastes(900, 100, 9);
  REQUIRE(sequences.view().entries() > 4 * skipgram_plan(8, 100, quick().window).chunk_words);
  SkipgramParams falling = quick();
  falling.epochs = 1;
  SkipgramParams constant = falling;
  constant.min_alpha = constant.alpha;
  CHECK_FALSE(train(sequences, 100, 8, falling) == train(sequences, 100, 8, constant));
}

TEST_CASE("sequences longer than a chunk are cut, and all of their words are used") {
  Sequences sequences;
  std::vector<std::int32_t> items;
  for (std::int32_t i = 0; i < 10007; ++i) items.push_back(i % 97);
  sequences.add(items);
  sequences.add({1, 2, 3});
  const Model model = train(sequences, 97, 4, quick());
  CHECK(model.history.back().words == 10010);
}

TEST_CASE("a popular item that every lane moves does not run off") {
  Sequences sequences;
  for (std::int32_t s = 0; s < 20000; ++s) sequences.add({0, 1, s % 3});
  SkipgramParams params = quick();
  params.alpha = 0.1F;
  const Model model = train(sequences, 3, 4, params);
  for (const float x : model.input) CHECK(std::abs(x) < 20.0F);
  CHECK(model.history.back().loss <= model.history.front().loss * 1.01);
}

TEST_CASE("rounds are shorter where items are few or windows wide") {
  const auto words = [](std::int64_t n_items, std::int32_t window) {
    const SkipgramPlan plan = skipgram_plan(64, n_items, window);
    return plan.chunk_words * plan.chunks_per_round;
  };
  CHECK(words(100'000, 10) == words(1'000'000, 10));
  CHECK(words(1'682, 10) <= 1'682);
  CHECK(words(4'000, 20) <= 2'000);
  CHECK(words(3, 10) == 256);  // one chunk at a time
}

// Every item occurs in most sequences: without short rounds this diverges.
TEST_CASE("long sequences over few items are learnt") {
  std::mt19937 random(5);
  Sequences sequences;
  for (int s = 0; s < 400; ++s) {
    std::vector<std::int32_t> items;
    for (int i = 0; i < 110; ++i) {
      const double u = std::uniform_real_distribution<double>(0.0, 1.0)(random);
      items.push_back(static_cast<std::int32_t>(1500.0 * u * u * u));
    }
    sequences.add(items);
  }
  SkipgramParams params = quick();
  params.epochs = 4;
  params.window = 10;
  const Model model = train(sequences, 1500, 64, params);
  for (const SkipgramEpoch& epoch : model.history) CHECK(epoch.loss < 6.0 * std::log(2.0));
}

TEST_CASE("chunks shrink with the size of a row, but not too far") {
  CHECK(skipgram_plan(16, 100'000, 10).chunk_words > skipgram_plan(256, 100'000, 10).chunk_words);
  CHECK(skipgram_plan(2048, 100'000, 10).chunk_words >= 256);
}

TEST_CASE("a history is folded in as its weighted mean") {
  for (const std::int64_t size : reference::kOddSizes) {
    const auto vectors = reference::random_matrix(50, size, 3);
    Sequences histories;
    histories.add({4});
    histories.add({});
    histories.add({7, 7, 0, 49});
    for (const double decay : {1.0, 0.5, 0.0}) {
      std::vector<float> out(static_cast<std::size_t>(3 * size), -1.0F);
      fold_in_histories(histories.view(), {vectors.data(), 50, size}, decay, {out.data(), 3, size},
                        2);
      for (std::int64_t f = 0; f < size; ++f) {
        const auto at = [&](std::int64_t item) {
          return static_cast<double>(vectors[static_cast<std::size_t>(item * size + f)]);
        };
        const auto found = [&](std::int64_t h) {
          return static_cast<double>(out[static_cast<std::size_t>(h * size + f)]);
        };
        const double d = decay;
        const double expected =
            (at(49) + d * at(0) + d * d * at(7) + d * d * d * at(7)) / (1 + d + d * d + d * d * d);
        CHECK(found(0) == doctest::Approx(at(4)));
        CHECK(found(1) == 0.0);
        CHECK(found(2) == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}
