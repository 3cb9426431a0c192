// One chunk of skip-gram or CBOW training: plain SGD over its windows, in order. Included like
// vec.inl.

// Blocks of kLanes that hold the scores of one output against a tile of contexts.
constexpr int kTileBlocks = kSkipgramContexts / kLanes;
constexpr int kOutputBlocks = kSkipgramOutputs > kLanes ? kSkipgramOutputs / kLanes : 1;

PENCHANT_INLINE VecInt lanes_below(int count) {
  VecInt lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return lane < count;
}

// Sum of log(1 + exp(x)) over many x. The ones and exponentials are multiplied up, so that it costs
// one logarithm a lane every hundred.
struct Softplus {
  Vec product;
  Vec linear;
  double sum;
  int pending;

  __attribute__((always_inline)) void add(Vec factor, Vec positive_part) {
    product *= factor;  // each in [1, 2]
    linear += positive_part;
    if (++pending == 100) flush();
  }
  __attribute__((noinline)) void flush() {
    for (int i = 0; i < kLanes; ++i)
      sum += __builtin_log(static_cast<double>(product[i])) + static_cast<double>(linear[i]);
    product = broadcast(1.0F);
    linear = Vec{};
    pending = 0;
  }
};

// Turns scores into alpha * (label - sigmoid(score)) for the lanes of `valid`, zero elsewhere, and
// adds their loss. `label` has all bits set in the lanes of positives.
PENCHANT_INLINE Vec gradient(Vec score, VecInt label, VecInt valid, float alpha, Softplus* loss) {
  const Vec zero{};
  // The loss of a positive is softplus(-score), of a negative softplus(score).
  Vec margin = label ? -score : score;
  margin = margin > broadcast(-80.0F) ? margin : broadcast(-80.0F);
  margin = margin < broadcast(80.0F) ? margin : broadcast(80.0F);
  const Vec size = margin > zero ? margin : -margin;
  const Vec small = exp_negative(-size);
  const Vec one = broadcast(1.0F);
  const Vec inverse = one / (one + small);
  const Vec sigmoid = (margin > zero ? one : small) * inverse;
  loss->add(valid ? one + small : one, valid ? (margin > zero ? margin : zero) : zero);
  const Vec step = broadcast(alpha) * sigmoid;
  return valid ? (label ? step : -step) : zero;
}

// The rows of one window.
struct Window {
  float* contexts[kSkipgramContexts];
  int n_contexts;
  float* outputs[kSkipgramMaxNegatives + 1];  // the word, then the negatives that are not the word
  int n_outputs;
};

// gradients[t][c] of outputs first .. first + n against the contexts of the tile.
template <int kVecs>
PENCHANT_INLINE void score_tile(const Window& window, int first, int n, int vecs, float alpha,
                                Softplus* loss, float (*gradients)[kSkipgramContexts]) {
  const int width = kVecs > 0 ? kVecs : vecs;
  const VecInt none{};
  for (int block = 0; block < kTileBlocks; ++block) {
    const int begin = block * kLanes;
    const int count = window.n_contexts - begin < kLanes ? window.n_contexts - begin : kLanes;
    if (count <= 0) break;
    const VecInt valid = lanes_below(count);
    Vec partial[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) partial[lane] = Vec{};
    for (int t = 0; t < n; ++t) {
      const float* output = window.outputs[first + t];
      for (int lane = 0; lane < count; ++lane) {
        const float* context = window.contexts[begin + lane];
        Vec sum = load(context) * load(output);
        for (int v = 1; v < width; ++v)
          sum += load(context + v * kLanes) * load(output + v * kLanes);
        partial[lane] = sum;
      }
      const VecInt label = first + t == 0 ? ~none : none;
      store(gradients[t] + begin, gradient(sum_each(partial), label, valid, alpha, loss));
    }
  }
}

// contexts += gradients^T * outputs and outputs += gradients * contexts, both with the old values.
template <int kOutputs>
void update_tile(const Window& window, int first, int vecs,
                 const float (*gradients)[kSkipgramContexts]) {
  for (int v = 0; v < vecs; ++v) {
    Vec output[kOutputs];
    Vec change[kOutputs];
    for (int t = 0; t < kOutputs; ++t) {
      output[t] = load(window.outputs[first + t] + v * kLanes);
      change[t] = Vec{};
    }
    for (int c = 0; c < window.n_contexts; ++c) {
      float* row = window.contexts[c] + v * kLanes;
      const Vec context = load(row);
      Vec sum = context;
      for (int t = 0; t < kOutputs; ++t) {
        const Vec step = broadcast(gradients[t][c]);
        sum += step * output[t];
        change[t] += step * context;
      }
      store(row, sum);
    }
    for (int t = 0; t < kOutputs; ++t) {  // read anew: an item may be drawn twice
      float* row = window.outputs[first + t] + v * kLanes;
      store(row, load(row) + change[t]);
    }
  }
}

using UpdateTile = void (*)(const Window&, int, int, const float (*)[kSkipgramContexts]);
constexpr UpdateTile kUpdateTile[kSkipgramOutputs + 1] = {
    nullptr,        update_tile<1>, update_tile<2>, update_tile<3>, update_tile<4>,
    update_tile<5>, update_tile<6>, update_tile<7>, update_tile<8>};

// The tile of contexts against all outputs, kSkipgramOutputs at a time.
template <int kVecs>
PENCHANT_INLINE void train_tile(const Window& window, int vecs, float alpha, Softplus* loss) {
  float gradients[kSkipgramOutputs][kSkipgramContexts];
  for (int first = 0; first < window.n_outputs; first += kSkipgramOutputs) {
    const int left = window.n_outputs - first;
    const int n = left < kSkipgramOutputs ? left : kSkipgramOutputs;
    score_tile<kVecs>(window, first, n, vecs, alpha, loss, gradients);
    kUpdateTile[n](window, first, vecs, gradients);
  }
}

// The mean of the contexts against all outputs; `mean` and `error` have room for a row.
template <int kVecs>
PENCHANT_INLINE void train_mean(const Window& window, const float* mean, float* error, int vecs,
                                float alpha, Softplus* loss) {
  const int width = kVecs > 0 ? kVecs : vecs;
  const VecInt none{};
  float gradients[kSkipgramOutputs + kLanes];
  for (int first = 0; first < window.n_outputs; first += kSkipgramOutputs) {
    const int left = window.n_outputs - first;
    const int n = left < kSkipgramOutputs ? left : kSkipgramOutputs;
    for (int block = 0; block < kOutputBlocks && block * kLanes < n; ++block) {
      const int begin = block * kLanes;
      const int count = n - begin < kLanes ? n - begin : kLanes;
      Vec partial[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) partial[lane] = Vec{};
      for (int lane = 0; lane < count; ++lane) {
        const float* output = window.outputs[first + begin + lane];
        Vec sum = load(mean) * load(output);
        for (int v = 1; v < width; ++v) sum += load(mean + v * kLanes) * load(output + v * kLanes);
        partial[lane] = sum;
      }
      const VecInt label = first + begin == 0 ? lanes_below(1) : none;
      store(gradients + begin, gradient(sum_each(partial), label, lanes_below(count), alpha, loss));
    }
    for (int t = 0; t < n; ++t) {
      float* output = window.outputs[first + t];
      const Vec step = broadcast(gradients[t]);
      for (int v = 0; v < width; ++v) {
        const Vec old = load(output + v * kLanes);
        store(error + v * kLanes, load(error + v * kLanes) + step * old);
        store(output + v * kLanes, old + step * load(mean + v * kLanes));
      }
    }
  }
}

PENCHANT_INLINE void take_outputs(const SkipgramArgs& args, std::int64_t position, Window* window) {
  const std::int32_t word = args.output_slots[position];
  const std::int32_t* negatives = args.negatives + position * args.negative;
  window->outputs[0] = args.output + word * args.stride;
  int n = 1;
  for (int i = 0; i < args.negative; ++i)
    if (negatives[i] != word) window->outputs[n++] = args.output + negatives[i] * args.stride;
  window->n_outputs = n;
}

PENCHANT_INLINE void prefetch_outputs(const SkipgramArgs& args, std::int64_t position) {
  if (position >= args.n_positions) return;
  const std::int32_t* negatives = args.negatives + position * args.negative;
  prefetch_row(args.output + args.output_slots[position] * args.stride, args.stride);
  for (int i = 0; i < args.negative; ++i)
    prefetch_row(args.output + negatives[i] * args.stride, args.stride);
}

// One window of skip-gram: every context (but the word at `position`) predicts the word.
template <int kVecs>
PENCHANT_INLINE void skipgram_window(const SkipgramArgs& args, std::int64_t position,
                                     std::int64_t begin, std::int64_t end, int vecs, Window* window,
                                     Softplus* loss) {
  for (std::int64_t at = begin; at < end;) {
    int n = 0;
    for (; at < end && n < kSkipgramContexts; ++at)
      if (at != position) window->contexts[n++] = args.input + args.input_slots[at] * args.stride;
    window->n_contexts = n;
    train_tile<kVecs>(*window, vecs, args.alpha, loss);
  }
}

// One window of CBOW: the mean of the contexts predicts the word. As in word2vec, every context
// gets the whole gradient of the mean.
template <int kVecs>
PENCHANT_INLINE void cbow_window(const SkipgramArgs& args, std::int64_t position,
                                 std::int64_t begin, std::int64_t end, int vecs,
                                 const Window& window, Softplus* loss) {
  const int width = kVecs > 0 ? kVecs : vecs;
  float* mean = args.scratch;
  float* error = args.scratch + args.stride;
  for (int v = 0; v < width; ++v) {
    store(mean + v * kLanes, Vec{});
    store(error + v * kLanes, Vec{});
  }
  for (std::int64_t at = begin; at < end; ++at) {
    if (at == position) continue;
    const float* row = args.input + args.input_slots[at] * args.stride;
    for (int v = 0; v < width; ++v)
      store(mean + v * kLanes, load(mean + v * kLanes) + load(row + v * kLanes));
  }
  const Vec share = broadcast(1.0F / static_cast<float>(end - begin - 1));
  for (int v = 0; v < width; ++v) store(mean + v * kLanes, load(mean + v * kLanes) * share);
  train_mean<kVecs>(window, mean, error, vecs, args.alpha, loss);
  for (std::int64_t at = begin; at < end; ++at) {
    if (at == position) continue;
    float* row = args.input + args.input_slots[at] * args.stride;
    for (int v = 0; v < width; ++v)
      store(row + v * kLanes, load(row + v * kLanes) + load(error + v * kLanes));
  }
}

template <int kVecs>
void run_skipgram_chunk(const SkipgramArgs& args, SkipgramResult* result) {
  const int vecs = static_cast<int>(args.stride / kLanes);
  Softplus loss{broadcast(1.0F), Vec{}, 0.0, 0};
  Window window;
  std::int64_t examples = 0;
  std::int64_t first = 0;
  for (std::int64_t s = 0; s < args.n_sequences; ++s) {
    const std::int64_t last = args.ends[s];
    const std::int64_t from = first > args.first_position ? first : args.first_position;
    const std::int64_t to = last < args.last_position ? last : args.last_position;
    for (std::int64_t position = from; position < to; ++position) {
      const std::int64_t reach = args.windows[position];
      const std::int64_t begin = position - reach > first ? position - reach : first;
      const std::int64_t end = position + reach + 1 < last ? position + reach + 1 : last;
      if (end - begin < 2) continue;
      prefetch_outputs(args, position + 1);
      take_outputs(args, position, &window);
      if (args.skip_gram) {
        skipgram_window<kVecs>(args, position, begin, end, vecs, &window, &loss);
        examples += end - begin - 1;
      } else {
        cbow_window<kVecs>(args, position, begin, end, vecs, window, &loss);
        ++examples;
      }
    }
    first = last;
  }
  loss.flush();
  result->loss = loss.sum;
  result->examples = examples;
}

void skipgram_chunk(const SkipgramArgs* args, SkipgramResult* result) {
  switch (args->stride / kLanes) {
    case 1:
      return run_skipgram_chunk<1>(*args, result);
    case 2:
      return run_skipgram_chunk<2>(*args, result);
    case 3:
      return run_skipgram_chunk<3>(*args, result);
    case 4:
      return run_skipgram_chunk<4>(*args, result);
    case 6:
      return run_skipgram_chunk<6>(*args, result);
    case 8:
      return run_skipgram_chunk<8>(*args, result);
    default:
      return run_skipgram_chunk<0>(*args, result);
  }
}
