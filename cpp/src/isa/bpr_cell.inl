// One cell of the BPR grid: SGD over its events, in order. Included like vec.inl.

// kVecs is the number of vectors to a row where it is known when compiled (the usual numbers of
// factors), so that a user's row stays in registers; 0 is the general case.

// exp(x) for |x| <= 80 within 2 ulp: 2^n * p(r), p a degree-6 minimax polynomial (Cephes expf).
PENCHANT_INLINE float exp_bounded(float x) {
  const float n = __builtin_floorf(x * 1.44269504088896341F + 0.5F);
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof(power));
  return p * power;
}

// Running product of probabilities, so that the loss costs one logarithm every few events.
struct LogLikelihood {
  double product = 1.0;
  double sum = 0.0;
  int pending = 0;

  __attribute__((always_inline)) void add(double probability) {
    product *= probability;  // each at least e^-80 / 2, so eight of them stay normal
    if (++pending == 8) flush();
  }
  void flush() {
    sum += __builtin_log(product);
    product = 1.0;
    pending = 0;
  }
};

// Draws are made this many ahead, so that the rows arrive before they are needed.
constexpr int kDrawsAhead = 4;

// State of a cell that the helpers share.
struct BprCell {
  const BprCellArgs* args;
  RandomStream random;
  std::int32_t ahead[kDrawsAhead];  // a ring of items drawn but not used yet
  int next_ahead;
  LogLikelihood likelihood;
  std::int64_t correct;
  std::int64_t updates;
};

// Rows are dealt at random, so the hardware cannot guess the next one; the event list can.
constexpr std::int64_t kPrefetchUsers = 8;
constexpr std::int64_t kPrefetchItems = 4;

PENCHANT_INLINE void prefetch_row(const float* row, std::int64_t stride) {
  const std::int64_t lines = stride < 128 ? stride : 128;  // the rest streams in behind
  for (std::int64_t f = 0; f < lines; f += 16) __builtin_prefetch(row + f, 1, 3);
}

PENCHANT_INLINE void prefetch_ahead(const BprCellArgs& args, std::int64_t event) {
  if (event + kPrefetchUsers < args.n_events)
    prefetch_row(args.user_factors + args.event_users[event + kPrefetchUsers] * args.stride,
                 args.stride);
  if (event + kPrefetchItems < args.n_events)
    prefetch_row(args.item_factors + args.event_items[event + kPrefetchItems] * args.stride,
                 args.stride);
}

PENCHANT_INLINE std::int32_t draw_item(BprCell* cell) {
  const BprCellArgs& args = *cell->args;
  const std::uint64_t bits = next_u64(&cell->random);
  std::uint32_t slot = below(static_cast<std::uint32_t>(bits >> 32), args.n_block_items);
  if (args.alias_threshold != nullptr &&
      static_cast<std::uint32_t>(bits) >= args.alias_threshold[slot])
    slot = static_cast<std::uint32_t>(args.alias[slot]);
  return args.block_items[slot];
}

// The oldest of the draws made ahead; a new one takes its place.
PENCHANT_INLINE std::int32_t next_item(BprCell* cell) {
  const std::int32_t item = cell->ahead[cell->next_ahead];
  const std::int32_t drawn = draw_item(cell);
  prefetch_row(cell->args->item_factors + drawn * cell->args->stride, cell->args->stride);
  cell->ahead[cell->next_ahead] = drawn;
  cell->next_ahead = (cell->next_ahead + 1) % kDrawsAhead;
  return item;
}

// An item of the block that the current user has not seen, or -1 if there is none.
PENCHANT_INLINE std::int32_t draw_unseen(BprCell* cell) {
  for (int attempt = 0; attempt < 32; ++attempt) {
    const std::int32_t item = next_item(cell);
    if (cell->args->seen[item] == 0) return item;
  }
  // The user has seen nearly the whole block: walk it from a random place.
  const BprCellArgs& args = *cell->args;
  const std::uint32_t start =
      below(static_cast<std::uint32_t>(next_u64(&cell->random) >> 32), args.n_block_items);
  for (std::uint32_t i = 0; i < args.n_block_items; ++i) {
    const std::uint32_t at =
        start + i < args.n_block_items ? start + i : start + i - args.n_block_items;
    if (args.seen[args.block_items[at]] == 0) return args.block_items[at];
  }
  return -1;
}

// Candidates are shared by this many consecutive events, so that their rows stay in the first-level
// cache.
constexpr int kEventsPerDraw = 8;

struct Candidates {
  std::int32_t items[kMaxCandidates];
  int count;  // a multiple of kLanes: the last one is repeated
};

PENCHANT_INLINE void draw_candidates(BprCell* cell, Candidates* candidates) {
  const BprCellArgs& args = *cell->args;
  for (int c = 0; c < args.n_candidates; ++c) {
    candidates->items[c] = draw_item(cell);
    prefetch_row(args.item_factors + candidates->items[c] * args.stride, args.stride);
  }
  candidates->count = (args.n_candidates + kLanes - 1) / kLanes * kLanes;
  for (int c = args.n_candidates; c < candidates->count; ++c)
    candidates->items[c] = candidates->items[args.n_candidates - 1];
}

// kLanes inner products at once: of a vector, of kVecs (or `vecs`) whole Vecs, and of what its rows
// hold there.
template <int kVecs>
PENCHANT_INLINE Vec dots_of(const float* rows, std::int64_t stride, const std::int32_t* which,
                            const Vec* vector, int vecs) {
  Vec partial[kLanes];
#pragma GCC unroll 16
  for (int lane = 0; lane < kLanes; ++lane) {
    const float* row = rows + which[lane] * stride;
    Vec sum{};
    for (int v = 0; v < (kVecs > 0 ? kVecs : vecs); ++v) sum += vector[v] * load(row + v * kLanes);
    partial[lane] = sum;
  }
  return sum_each(partial);
}

// The best-scoring unseen candidate (the first of equals), or -1.
template <int kVecs>
PENCHANT_INLINE std::int32_t best_candidate(const BprCellArgs& args, const Candidates& candidates,
                                            const Vec* user, int vecs) {
  std::int32_t best = -1;
  float best_score = 0.0F;
  for (int first = 0; first < candidates.count; first += kLanes) {
    const Vec scores =
        dots_of<kVecs>(args.item_factors, args.stride, candidates.items + first, user, vecs);
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int32_t item = candidates.items[first + lane];
      const float score =
          scores[lane] + (args.item_biases != nullptr ? args.item_biases[item] : 0.0F);
      if (args.seen[item] == 0 && (best < 0 || score > best_score)) {
        best = item;
        best_score = score;
      }
    }
  }
  return best;
}

// The rate of one row: by row-wise AdaGrad (`squares` holds what each row has gathered) it falls
// with the squared gradients that the row has had before this one.
PENCHANT_INLINE float rate_of_row(float* squares, std::int32_t row, float gradient, float rate) {
  if (squares == nullptr) return rate;
  const float gathered = squares[row];
  squares[row] = gathered + gradient * gradient;
  return rate / __builtin_sqrtf(1.0F + gathered);
}

// One step on (user, positive, negative); `user` holds the user's row.
template <int kVecs>
PENCHANT_INLINE void update(BprCell* cell, Vec* user, int vecs, std::int32_t user_id,
                            std::int32_t positive, std::int32_t negative) {
  const BprCellArgs& args = *cell->args;
  const int n = kVecs > 0 ? kVecs : vecs;
  float* p_row = args.item_factors + positive * args.stride;
  float* n_row = args.item_factors + negative * args.stride;
  Vec dot{};
  for (int v = 0; v < n; ++v)
    dot += user[v] * (load(p_row + v * kLanes) - load(n_row + v * kLanes));
  float margin = sum_lanes(dot);
  if (args.item_biases != nullptr)
    margin += args.item_biases[positive] - args.item_biases[negative];
  margin = margin > -80.0F ? (margin < 80.0F ? margin : 80.0F) : -80.0F;  // NaN too
  const float odds = exp_bounded(-margin);  // sigmoid(-margin) = odds / (1 + odds)
  const float probability = 1.0F / (1.0F + odds);
  const float gradient = odds * probability;
  const float rate = args.learning_rate;
  const float user_rate = rate_of_row(args.user_squares, user_id, gradient, rate);
  const float p_rate = rate_of_row(args.item_squares, positive, gradient, rate);
  const float n_rate = rate_of_row(args.item_squares, negative, gradient, rate);
  const Vec user_step = broadcast(user_rate * gradient);
  const Vec p_step = broadcast(p_rate * gradient);
  const Vec n_step = broadcast(n_rate * gradient);
  const Vec user_decay = broadcast(1.0F - user_rate * args.user_regularization);
  const Vec p_decay = broadcast(1.0F - p_rate * args.positive_regularization);
  const Vec n_decay = broadcast(1.0F - n_rate * args.negative_regularization);
  for (int v = 0; v < n; ++v) {
    const Vec u = user[v];
    const Vec p = load(p_row + v * kLanes);
    const Vec q = load(n_row + v * kLanes);
    user[v] = user_decay * u + user_step * (p - q);
    store(p_row + v * kLanes, p_decay * p + p_step * u);
    store(n_row + v * kLanes, n_decay * q - n_step * u);
  }
  if (args.item_biases != nullptr) {
    const float decay = args.bias_regularization;
    float* biases = args.item_biases;
    biases[positive] = (1.0F - p_rate * decay) * biases[positive] + p_rate * gradient;
    biases[negative] = (1.0F - n_rate * decay) * biases[negative] - n_rate * gradient;
  }
  cell->likelihood.add(static_cast<double>(probability));
  cell->correct += margin > 0.0F;
  ++cell->updates;
}

constexpr int kMaxVecs = static_cast<int>(kMaxFactors / kLanes);

template <int kVecs>
void run_bpr_cell(BprCell* cell) {
  const BprCellArgs& args = *cell->args;
  const int vecs = static_cast<int>(args.stride / kLanes);
  const int n = kVecs > 0 ? kVecs : vecs;
  Vec user[kVecs > 0 ? kVecs : kMaxVecs];
  Candidates candidates[2];  // in use, and drawn ahead
  int current = 0;
  int uses = 0;
  if (args.n_candidates > 1) {
    draw_candidates(cell, &candidates[0]);
    draw_candidates(cell, &candidates[1]);
  }
  for (std::int64_t begin = 0; begin < args.n_events;) {
    const std::int32_t user_id = args.event_users[begin];
    std::int64_t end = begin;
    for (; end < args.n_events && args.event_users[end] == user_id; ++end)
      args.seen[args.event_items[end]] = 1;
    float* user_row = args.user_factors + user_id * args.stride;
    for (int v = 0; v < n; ++v) user[v] = load(user_row + v * kLanes);
    for (std::int64_t e = begin; e < end; ++e) {
      prefetch_ahead(args, e);
      std::int32_t negative = -1;
      if (args.n_candidates > 1) {
        if (uses++ == kEventsPerDraw) {
          draw_candidates(cell, &candidates[current]);
          current = 1 - current;
          uses = 1;
        }
        negative = best_candidate<kVecs>(args, candidates[current], user, vecs);
      }
      if (negative < 0) negative = draw_unseen(cell);
      if (negative >= 0) {
        update<kVecs>(cell, user, vecs, user_id, args.event_items[e], negative);
      }
    }
    for (int v = 0; v < n; ++v) store(user_row + v * kLanes, user[v]);
    for (std::int64_t e = begin; e < end; ++e) args.seen[args.event_items[e]] = 0;
    begin = end;
  }
}

void bpr_cell(const BprCellArgs* args, BprCellResult* result) {
  BprCell cell{};
  cell.args = args;
  cell.random = {args->stream_key, 0};
  for (std::int32_t& item : cell.ahead) item = draw_item(&cell);
  switch (args->stride / kLanes) {
    case 1:
      run_bpr_cell<1>(&cell);
      break;
    case 2:
      run_bpr_cell<2>(&cell);
      break;
    case 4:
      run_bpr_cell<4>(&cell);
      break;
    case 8:
      run_bpr_cell<8>(&cell);
      break;
    default:
      run_bpr_cell<0>(&cell);
      break;
  }
  cell.likelihood.flush();
  result->loss = -cell.likelihood.sum;
  result->correct = cell.correct;
  result->updates = cell.updates;
}
