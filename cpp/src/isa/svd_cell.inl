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
  if (event + kPrefetchUsers < args.n_events) {
    const SvdUser user = svd_user(args, args.event_users[event + kPrefetchUsers]);
    prefetch_row(user.factors, args.stride);
  }
  if (event + kPrefetchItems < args.n_events) {
    const std::int64_t item = args.event_items[event + kPrefetchItems];
    prefetch_row(args.item_factors + item * args.stride, args.stride);
  }
}

// Error of one rating, and the step of the item's row. `user` holds what the item's row is
// multiplied with: the user's factors, plus the implicit sum in SVD++ (Koren, KDD 2008, eq. 15).
template <int kVecs>
PENCHANT_INLINE float svd_error(const SvdCellArgs& args, const Vec* user, const Vec* sum,
                                const float* item_row, int vecs, float offset) {
  const int n = kVecs > 0 ? kVecs : vecs;
  // Two chains: the next rating of the user waits for this sum.
  Vec even{};
  Vec odd{};
  for (int v = 0; v < n; v += 2) {
    const Vec whole = sum == nullptr ? user[v] : user[v] + sum[v];
    even += whole * load(item_row + v * kLanes);
    if (v + 1 < n) {
      const Vec next = sum == nullptr ? user[v + 1] : user[v + 1] + sum[v + 1];
      odd += next * load(item_row + (v + 1) * kLanes);
    }
  }
  (void)args;
  return offset - sum_lanes(even + odd);
}

// q <- q + rate (e (p + s) - reg q), p <- p + rate (e q - reg p), s <- s + rate (e q - reg s).
//
// The last line is exact: each of the user's |N| implicit rows makes the step
// rate (e q / sqrt|N| - reg y), and s is their sum divided by sqrt|N|.
template <int kVecs, bool kImplicit>
PENCHANT_INLINE void svd_step(const SvdCellArgs& args, const SvdRates& rates, Vec* user, Vec* sum,
                              float* item_row, int vecs, float error) {
  const int n = kVecs > 0 ? kVecs : vecs;
  const Vec item_step = broadcast(args.item_rate * error);
  const Vec user_step = broadcast(args.user_rate * error);
  const Vec item_decay = broadcast(rates.item_decay);
  const Vec user_decay = broadcast(rates.user_decay);
  const Vec sum_step = broadcast(args.implicit_rate * error);
  const Vec sum_decay = broadcast(rates.implicit_decay);
  for (int v = 0; v < n; ++v) {
    const Vec q = load(item_row + v * kLanes);
    const Vec p = user[v];
    if (kImplicit) {
      store(item_row + v * kLanes, item_decay * q + item_step * (p + sum[v]));
      sum[v] = sum_decay * sum[v] + sum_step * q;
    } else {
      store(item_row + v * kLanes, item_decay * q + item_step * p);
    }
    user[v] = user_decay * p + user_step * q;
  }
}

template <int kVecs, bool kImplicit>
double run_svd_cell(const SvdCellArgs& args, const SvdRates& rates) {
  const int vecs = static_cast<int>(args.stride / kLanes);
  const int n = kVecs > 0 ? kVecs : vecs;
  Vec user[kVecs > 0 ? kVecs : kMaxVecs];
  Vec sum[kImplicit ? (kVecs > 0 ? kVecs : kMaxVecs) : 1];
  double squares = 0.0;
  for (std::int64_t e = 0; e < args.n_events;) {
    const std::int32_t slot = args.event_users[e];
    const SvdUser rows = svd_user(args, slot);
    for (int v = 0; v < n; ++v) user[v] = load(rows.factors + v * kLanes);
    if (kImplicit)
      for (int v = 0; v < n; ++v) sum[v] = load(rows.sum + v * kLanes);
    float user_bias = rows.bias != nullptr ? *rows.bias : 0.0F;
    for (; e < args.n_events && args.event_users[e] == slot; ++e) {
      svd_prefetch(args, e);
      const std::int64_t item = args.event_items[e];
      float* item_row = args.item_factors + item * args.stride;
      float offset = args.event_values[e] - args.mean - user_bias;
      if (args.item_biases != nullptr) offset -= args.item_biases[item];
      const float error =
          svd_error<kVecs>(args, user, kImplicit ? sum : nullptr, item_row, vecs, offset);
      squares += static_cast<double>(error) * static_cast<double>(error);
      svd_step<kVecs, kImplicit>(args, rates, user, sum, item_row, vecs, error);
      if (args.item_biases != nullptr) {
        user_bias = rates.user_bias_decay * user_bias + args.user_bias_rate * error;
        args.item_biases[item] =
            rates.item_bias_decay * args.item_biases[item] + args.item_bias_rate * error;
      }
    }
    for (int v = 0; v < n; ++v) store(rows.factors + v * kLanes, user[v]);
    if (kImplicit)
      for (int v = 0; v < n; ++v) store(rows.sum + v * kLanes, sum[v]);
    if (rows.bias != nullptr) *rows.bias = user_bias;
  }
  return squares;
}

// Rows of up to 8 vectors stay in registers.
template <bool kImplicit>
double dispatch_svd_cell(const SvdCellArgs& args, const SvdRates& rates) {
  switch (args.stride / kLanes) {
    case 1:
      return run_svd_cell<1, kImplicit>(args, rates);
    case 2:
      return run_svd_cell<2, kImplicit>(args, rates);
    case 3:
      return run_svd_cell<3, kImplicit>(args, rates);
    case 4:
      return run_svd_cell<4, kImplicit>(args, rates);
    case 5:
      return run_svd_cell<5, kImplicit>(args, rates);
    case 6:
      return run_svd_cell<6, kImplicit>(args, rates);
    case 7:
      return run_svd_cell<7, kImplicit>(args, rates);
    case 8:
      return run_svd_cell<8, kImplicit>(args, rates);
    default:
      return run_svd_cell<0, kImplicit>(args, rates);
  }
}

double svd_cell(const SvdCellArgs* args) {
  const SvdRates rates{1.0F - args->user_rate * args->user_regularization,
                       1.0F - args->item_rate * args->item_regularization,
                       1.0F - args->implicit_rate * args->implicit_regularization,
                       1.0F - args->user_bias_rate * args->user_bias_regularization,
                       1.0F - args->item_bias_rate * args->item_bias_regularization};
  return args->implicit_sums != nullptr ? dispatch_svd_cell<true>(*args, rates)
                                        : dispatch_svd_cell<false>(*args, rates);
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
