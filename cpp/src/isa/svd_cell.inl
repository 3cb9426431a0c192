// One cell of the grid of SVD and SVD++: plain SGD over its ratings, in order. Included like
// vec.inl, after bpr_cell.inl.

struct SvdRates {
  float user_decay;  // 1 - learning rate * regularization, per group
  float item_decay;
  float implicit_decay;
  float user_bias_decay;
  float item_bias_decay;
};

// Which of the two rows of a user (factors and implicit sum) are in use.
struct SvdUser {
  float* factors;
  float* sum;   // null: SVD
  float* bias;  // null: no biases
};

PENCHANT_INLINE SvdUser svd_user(const SvdCellArgs& args, std::int32_t slot) {
  const std::int64_t user = args.slot_users != nullptr ? args.slot_users[slot] : slot;
  return {args.user_factors + user * args.stride,
          args.implicit_sums != nullptr ? args.implicit_sums + slot * args.stride : nullptr,
          args.user_biases != nullptr ? args.user_biases + user : nullptr};
}

PENCHANT_INLINE void svd_prefetch(const SvdCellArgs& args, std::int64_t event) {
  if (event + kPrefetchUsers < args.n_events &&
      args.event_users[event + kPrefetchUsers] != args.event_users[event + kPrefetchUsers - 1]) {
    const SvdUser user = svd_user(args, args.event_users[event + kPrefetchUsers]);
    prefetch_row(user.factors, args.stride);
  }
  if (event + kPrefetchItems < args.n_events) {
    const std::int64_t item = args.event_items[event + kPrefetchItems];
    prefetch_row(args.item_factors + item * args.stride, args.stride);
  }
}

// How rows decay. Where nothing else is said, a step multiplies every number of both rows. Lazily,
// the multipliers gather in one scale a row, which costs a product less for each number: a row is
// its scale times what is stored.
enum class SvdDecay { kAtOnce, kAtOnceWithSum, kLazy };

// A scale below this goes into the numbers that are stored, so that they stay in range.
constexpr float kLeastScale = 1.0F / 64;

// The user's rows while their ratings are visited. `sum` is used in SVD++ alone.
template <int kVecs, SvdDecay kDecay>
struct SvdVisit {
  static constexpr bool kHasSum = kDecay == SvdDecay::kAtOnceWithSum;
  static constexpr int kMost = kVecs > 0 ? kVecs : kMaxVecs;
  Vec row[kMost];
  Vec sum[kHasSum ? kMost : 1];
  float scale;
  float bias;
};

template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE void svd_enter(const SvdUser& user, int n, SvdVisit<kVecs, kDecay>* visit) {
  for (int v = 0; v < n; ++v) visit->row[v] = load(user.factors + v * kLanes);
  if (visit->kHasSum)
    for (int v = 0; v < n; ++v) visit->sum[v] = load(user.sum + v * kLanes);
  visit->scale = 1.0F;
  visit->bias = user.bias != nullptr ? *user.bias : 0.0F;
}

template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE void svd_leave(const SvdUser& user, int n, const SvdVisit<kVecs, kDecay>& visit) {
  const Vec scale = broadcast(visit.scale);
  for (int v = 0; v < n; ++v)
    store(user.factors + v * kLanes,
          kDecay == SvdDecay::kLazy ? scale * visit.row[v] : visit.row[v]);
  if (visit.kHasSum)
    for (int v = 0; v < n; ++v) store(user.sum + v * kLanes, visit.sum[v]);
  if (user.bias != nullptr) *user.bias = visit.bias;
}

// Of the rows as stored. In SVD++ the item's row is multiplied with the user's factors plus the
// implicit sum (Koren, KDD 2008, eq. 15).
template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE float svd_product(const SvdVisit<kVecs, kDecay>& visit, const float* item_row,
                                  int n) {
  // Two chains: the next rating of the user waits for this sum.
  Vec sums[2] = {};
  for (int v = 0; v < n; ++v) {
    const Vec whole = visit.kHasSum ? visit.row[v] + visit.sum[v] : visit.row[v];
    sums[v & 1] += whole * load(item_row + v * kLanes);
  }
  return sum_lanes(sums[0] + sums[1]);
}

// What the steps of a rating multiply the rows with, as they are stored.
struct SvdScales {
  float product;
  float item_step;
  float user_step;
};

// Lets the scales of both rows take one more decay.
template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE SvdScales svd_decay(const SvdCellArgs& args, const SvdRates& rates,
                                    float* item_scale, float* item_row, int n,
                                    SvdVisit<kVecs, kDecay>* visit) {
  if (__builtin_expect(*item_scale < kLeastScale, 0)) {
    for (int v = 0; v < n; ++v)
      store(item_row + v * kLanes, broadcast(*item_scale) * load(item_row + v * kLanes));
    *item_scale = 1.0F;
  }
  if (__builtin_expect(visit->scale < kLeastScale, 0)) {
    for (int v = 0; v < n; ++v) visit->row[v] *= broadcast(visit->scale);
    visit->scale = 1.0F;
  }
  const float item = *item_scale;
  const float user = visit->scale;
  *item_scale *= rates.item_decay;
  visit->scale *= rates.user_decay;
  return {item * user, args.item_rate * user / *item_scale, args.user_rate * item / visit->scale};
}

// q <- q + rate (e (p + s) - reg q), p <- p + rate (e q - reg p), s <- s + rate (e q - reg s).
//
// The last line is exact: each of the user's |N| implicit rows makes the step
// rate (e q / sqrt|N| - reg y), and s is their sum divided by sqrt|N|.
template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE void svd_step(const SvdRates& rates, Vec item_step, Vec user_step, Vec sum_step,
                              int n, float* item_row, SvdVisit<kVecs, kDecay>* visit) {
  const Vec item_decay = broadcast(rates.item_decay);
  const Vec user_decay = broadcast(rates.user_decay);
  const Vec sum_decay = broadcast(rates.implicit_decay);
  for (int v = 0; v < n; ++v) {
    const Vec q = load(item_row + v * kLanes);
    const Vec p = visit->row[v];
    if (kDecay == SvdDecay::kLazy) {
      store(item_row + v * kLanes, q + item_step * p);
      visit->row[v] = p + user_step * q;
    } else if (visit->kHasSum) {
      store(item_row + v * kLanes, item_decay * q + item_step * (p + visit->sum[v]));
      visit->row[v] = user_decay * p + user_step * q;
      visit->sum[v] = sum_decay * visit->sum[v] + sum_step * q;
    } else {
      store(item_row + v * kLanes, item_decay * q + item_step * p);
      visit->row[v] = user_decay * p + user_step * q;
    }
  }
}

// One rating: returns its error before the step.
template <int kVecs, SvdDecay kDecay>
PENCHANT_INLINE float svd_rating(const SvdCellArgs& args, const SvdRates& rates, std::int64_t event,
                                 int n, SvdVisit<kVecs, kDecay>* visit) {
  const std::int64_t item = args.event_items[event];
  float* item_row = args.item_factors + item * args.stride;
  SvdScales scales{1.0F, args.item_rate, args.user_rate};
  if (kDecay == SvdDecay::kLazy)
    scales = svd_decay(args, rates, args.item_scales + item, item_row, n, visit);
  float error = args.event_values[event] - args.mean - visit->bias;
  if (args.item_biases != nullptr) error -= args.item_biases[item];
  error -= scales.product * svd_product(*visit, item_row, n);
  svd_step(rates, broadcast(scales.item_step * error), broadcast(scales.user_step * error),
           broadcast(args.implicit_rate * error), n, item_row, visit);
  if (args.item_biases != nullptr) {
    visit->bias = rates.user_bias_decay * visit->bias + args.user_bias_rate * error;
    args.item_biases[item] =
        rates.item_bias_decay * args.item_biases[item] + args.item_bias_rate * error;
  }
  return error;
}

template <int kVecs, SvdDecay kDecay>
double run_svd_cell(const SvdCellArgs& args, const SvdRates& rates) {
  const int n = kVecs > 0 ? kVecs : static_cast<int>(args.stride / kLanes);
  SvdVisit<kVecs, kDecay> visit;
  double squares = 0.0;
  for (std::int64_t e = 0; e < args.n_events;) {
    const std::int32_t slot = args.event_users[e];
    const SvdUser user = svd_user(args, slot);
    svd_enter(user, n, &visit);
    for (; e < args.n_events && args.event_users[e] == slot; ++e) {
      svd_prefetch(args, e);
      const auto error = static_cast<double>(svd_rating(args, rates, e, n, &visit));
      squares += error * error;
    }
    svd_leave(user, n, visit);
  }
  return squares;
}

// Rows of up to 8 vectors stay in registers.
template <SvdDecay kDecay>
double dispatch_svd_cell(const SvdCellArgs& args, const SvdRates& rates) {
  switch (args.stride / kLanes) {
    case 1:
      return run_svd_cell<1, kDecay>(args, rates);
    case 2:
      return run_svd_cell<2, kDecay>(args, rates);
    case 3:
      return run_svd_cell<3, kDecay>(args, rates);
    case 4:
      return run_svd_cell<4, kDecay>(args, rates);
    case 5:
      return run_svd_cell<5, kDecay>(args, rates);
    case 6:
      return run_svd_cell<6, kDecay>(args, rates);
    case 7:
      return run_svd_cell<7, kDecay>(args, rates);
    case 8:
      return run_svd_cell<8, kDecay>(args, rates);
    default:
      return run_svd_cell<0, kDecay>(args, rates);
  }
}

double svd_cell(const SvdCellArgs* args) {
  const SvdRates rates{1.0F - args->user_rate * args->user_regularization,
                       1.0F - args->item_rate * args->item_regularization,
                       1.0F - args->implicit_rate * args->implicit_regularization,
                       1.0F - args->user_bias_rate * args->user_bias_regularization,
                       1.0F - args->item_bias_rate * args->item_bias_regularization};
  if (args->implicit_sums != nullptr)
    return dispatch_svd_cell<SvdDecay::kAtOnceWithSum>(*args, rates);
  return args->item_scales != nullptr ? dispatch_svd_cell<SvdDecay::kLazy>(*args, rates)
                                      : dispatch_svd_cell<SvdDecay::kAtOnce>(*args, rates);
}

// out = scale * (sum of rows[items]).
void gather_rows(const float* rows, std::int64_t stride, const std::int32_t* items,
                 std::int64_t n_items, float scale, float* out) {
  for (std::int64_t first = 0; first < stride; first += 4 * kLanes) {
    const int n = static_cast<int>(stride - first < 4 * kLanes ? (stride - first) / kLanes : 4);
    Vec sums[4] = {};
    for (std::int64_t i = 0; i < n_items; ++i) {
      if (first == 0 && i + kPrefetchUsers < n_items)
        prefetch_row(rows + items[i + kPrefetchUsers] * stride, stride);
      const float* row = rows + items[i] * stride + first;
      if (n == 4) {
        for (int v = 0; v < 4; ++v) sums[v] += load(row + v * kLanes);
      } else {
        for (int v = 0; v < n; ++v) sums[v] += load(row + v * kLanes);
      }
    }
    for (int v = 0; v < n; ++v) store(out + first + v * kLanes, broadcast(scale) * sums[v]);
  }
}

// rows[item] = decays[user] * rows[item] + steps[user] for each event in order.
void spread_rows(float* rows, std::int64_t stride, const std::int32_t* event_users,
                 const std::int32_t* event_items, std::int64_t n_events, const float* decays,
                 const float* steps) {
  for (std::int64_t e = 0; e < n_events; ++e) {
    if (e + kPrefetchUsers < n_events)
      prefetch_row(rows + event_items[e + kPrefetchUsers] * stride, stride);
    float* row = rows + event_items[e] * stride;
    const float* step = steps + event_users[e] * stride;
    const Vec decay = broadcast(decays[event_users[e]]);
    for (std::int64_t f = 0; f < stride; f += kLanes)
      store(row + f, decay * load(row + f) + load(step + f));
  }
}
