// BPR's steps on the row of one user, with the items as they are; see bpr_fold_in.cpp. Included
// like vec.inl.

// kLanes inner products of the row with items; the dimensions from kVecs (or `vecs`) vectors on do
// not fill one.
template <int kVecs>
PENCHANT_INLINE Vec item_dots(const BprRowStepsArgs& args, const std::int32_t* which,
                              const Vec* row, int vecs) {
  const int n = kVecs > 0 ? kVecs : vecs;
  Vec dots = dots_of<kVecs>(args.items, args.dim, which, row, vecs);
  for (int lane = 0; lane < kLanes; ++lane)
    for (std::int64_t d = n * kLanes; d < args.dim; ++d)
      dots[lane] += args.row[d] * args.items[which[lane] * args.dim + d];
  return dots;
}

// The score of one item.
template <int kVecs>
PENCHANT_INLINE float score_of(const BprRowStepsArgs& args, std::int32_t item, const Vec* row,
                               int vecs) {
  const int n = kVecs > 0 ? kVecs : vecs;
  const float* factors = args.items + item * args.dim;
  Vec sum{};
  for (int v = 0; v < n; ++v) sum += row[v] * load(factors + v * kLanes);
  float score = sum_lanes(sum) + args.biases[item];
  for (std::int64_t d = n * kLanes; d < args.dim; ++d) score += args.row[d] * factors[d];
  return score;
}

struct ScoredItem {
  std::int32_t item;
  float score;
};

// The candidate with the highest score, the first of equals. `which` holds them, the last one
// repeated until they fill the lanes, `biases` what their scores begin with.
template <int kVecs>
PENCHANT_INLINE ScoredItem best_of(const BprRowStepsArgs& args, const std::int32_t* which,
                                   const float* biases, const Vec* row, int vecs) {
  if (args.n_candidates == 1) return {which[0], score_of<kVecs>(args, which[0], row, vecs)};
  ScoredItem best{-1, 0.0F};
  for (std::int32_t first = 0; first < args.n_candidates; first += kLanes) {
    const Vec scores = item_dots<kVecs>(args, which + first, row, vecs) + load(biases + first);
    const float largest = max_lanes(scores);
    if (best.item >= 0 && !(largest > best.score)) continue;
    best = {which[first + __builtin_ctz(not_below(scores, largest))], largest};
  }
  return best;
}

template <int kVecs>
void run_bpr_row_steps(const BprRowStepsArgs& args) {
  const int n = kVecs > 0 ? kVecs : static_cast<int>(args.dim / kLanes);
  const std::int64_t whole = n * kLanes;
  Vec row[kVecs > 0 ? kVecs : kMaxVecs + 1];
  for (int v = 0; v < n; ++v) row[v] = load(args.row + v * kLanes);
  std::int32_t which[kMaxCandidates + kLanes];
  float biases[kMaxCandidates + kLanes];
  for (int c = 0; c < args.n_candidates + kLanes; ++c) {
    which[c] = args.candidates[c < args.n_candidates ? c : args.n_candidates - 1];
    biases[c] = args.biases[which[c]];
  }
  float gathered = *args.gathered;
  for (std::int64_t i = 0; i < args.n_positives; ++i) {
    const std::int32_t positive = args.positives[i];
    // Both scores at once: the chain from one step to the next is what takes the time.
    const float own_score = score_of<kVecs>(args, positive, row, n);
    const ScoredItem negative = best_of<kVecs>(args, which, biases, row, n);
    const float* p = args.items + positive * args.dim;
    const float* q = args.items + negative.item * args.dim;
    float margin = own_score - negative.score;
    margin = margin > -80.0F ? (margin < 80.0F ? margin : 80.0F) : -80.0F;  // NaN too
    const float odds = exp_bounded(-margin);
    const float gradient = odds / (1.0F + odds);
    const float rate =
        args.adagrad ? args.learning_rate / __builtin_sqrtf(1.0F + gathered) : args.learning_rate;
    gathered += gradient * gradient;
    const float decay = 1.0F - rate * args.regularization;
    const float step = rate * gradient;
    for (int v = 0; v < n; ++v)
      row[v] = broadcast(decay) * row[v] +
               broadcast(step) * (load(p + v * kLanes) - load(q + v * kLanes));
    for (std::int64_t d = whole; d < args.dim; ++d)
      args.row[d] = decay * args.row[d] + step * (p[d] - q[d]);
  }
  *args.gathered = gathered;
  for (int v = 0; v < n; ++v) store(args.row + v * kLanes, row[v]);
}

void bpr_row_steps(const BprRowStepsArgs* args) {
  switch (args->dim / kLanes) {
    case 2:
      run_bpr_row_steps<2>(*args);
      break;
    case 4:
      run_bpr_row_steps<4>(*args);
      break;
    case 8:
      run_bpr_row_steps<8>(*args);
      break;
    default:
      run_bpr_row_steps<0>(*args);
      break;
  }
}
