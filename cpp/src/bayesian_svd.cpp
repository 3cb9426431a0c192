#include "penchant/bayesian_svd.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "gibbs_side.hpp"
#include "penchant/parallel.hpp"
#include "training.hpp"
#include "transposed.hpp"

namespace penchant {
namespace {

enum SideName : std::uint64_t { kUsers = 11, kItems = 12, kNoise = 13 };

class Sampler {
 public:
  Sampler(const Ratings& ratings, const BayesianSvdSamples& samples,
          const BayesianSvdParams& params, const CancelCheck& cancelled)
      : params_(params),
        samples_(samples),
        n_ratings_(static_cast<double>(std::max<std::int64_t>(ratings.matrix.entries(), 1))),
        by_item_(transposed(ratings.matrix, ratings.values.data(), samples.items.rows)),
        users_(ratings.matrix, ratings.values, by_item_.view(), samples.factors, params.user_links,
               params.num_threads),
        items_(by_item_.view(), by_item_.values, ratings.matrix, samples.factors, params.item_links,
               params.num_threads),
        user_biases_(Eigen::VectorXd::Zero(samples.users.rows)),
        item_biases_(Eigen::VectorXd::Zero(samples.items.rows)),
        cancel_(cancelled) {
    users_.start(params.seed, kUsers);
    items_.start(params.seed, kItems);
    *samples.kept = 0.0F;
  }

  // One sweep over all parameters; nothing if it was cancelled on the way.
  std::optional<SvdEpoch> run_epoch(std::int32_t epoch) {
    const auto sweep = static_cast<std::uint64_t>(epoch);
    const auto stop = [&](int thread) { return cancel_.raised(thread); };
    const GibbsStreams of_users{params_.seed, sweep, kUsers};
    users_.sample_prior(of_users);
    if (!users_.sample_rows(items_, precision_, params_.mean, of_users, stop)) return std::nullopt;
    // The samples kept so far stay what they are where this one has run off.
    if (!users_.means().allFinite() || !items_.rows().allFinite())
      return SvdEpoch{epoch, std::nan(""), std::nan("")};
    keep(epoch);
    const GibbsStreams of_items{params_.seed, sweep, kItems};
    items_.sample_prior(of_items);
    if (!items_.sample_rows(users_, precision_, params_.mean, of_items, stop)) return std::nullopt;
    const double squares = users_.squared_error(items_, params_.mean);
    RandomStream random{stream_key(params_.seed, sweep, kNoise), 0};
    precision_ = noise_precision(n_ratings_, squares, &random);
    const double mean = squares / n_ratings_;
    return SvdEpoch{epoch, mean, std::sqrt(mean)};
  }

 private:
  // Samples are kept at equal distances after the burn-in, the last one in the last sweep; until
  // there is one the latest takes its place.
  void keep(std::int32_t epoch) {
    const std::int64_t slots = samples_.users.cols / samples_.factors;
    const std::int64_t sweeps = params_.epochs - params_.burn_in;
    const std::int64_t since = epoch - params_.burn_in;
    const auto due = [&](std::int64_t n) { return n <= 0 ? 0 : n * slots / sweeps; };
    if (since > 0 && due(since) == due(since - 1)) return;
    const bool final = since > 0;
    const std::int64_t slot = final ? kept_ : 0;
    write(users_.means(), samples_.users, slot);
    write(items_.rows(), samples_.items, slot);
    if (final) ++kept_;
    add_biases(users_.means(), user_biases_, samples_.user_biases, final);
    add_biases(items_.rows(), item_biases_, samples_.item_biases, final);
    *samples_.kept = static_cast<float>(std::max<std::int64_t>(kept_, 1));
  }

  void write(const GibbsMatrix& rows, const MatrixView<float>& out, std::int64_t slot) const {
    for (std::int64_t r = 0; r < out.rows; ++r)
      for (std::int64_t k = 0; k < samples_.factors; ++k)
        out.row(r)[slot * samples_.factors + k] = rows(r, k);
  }

  void add_biases(const GibbsMatrix& rows, Eigen::VectorXd& sums, float* out, bool final) const {
    const auto latest = rows.col(samples_.factors);
    if (final) sums += latest.cast<double>();
    for (Eigen::Index r = 0; r < rows.rows(); ++r)
      out[r] = final ? static_cast<float>(sums[r] / static_cast<double>(kept_)) : latest[r];
  }

  BayesianSvdParams params_;
  BayesianSvdSamples samples_;
  double n_ratings_;
  SparseMatrix by_item_;
  GibbsSide users_;
  GibbsSide items_;
  Eigen::VectorXd user_biases_;  // sums over the samples kept
  Eigen::VectorXd item_biases_;
  double precision_ = 2.0;  // of the noise
  std::int64_t kept_ = 0;
  CancelFlag cancel_;
};

}  // namespace

std::int32_t fit_bayesian_svd(const Ratings& ratings, const BayesianSvdSamples& samples,
                              const BayesianSvdParams& params, const SvdEpochCallback& on_epoch,
                              const CancelCheck& cancelled) {
  if (samples.users.rows == 0 || samples.items.rows == 0) return 0;
  BayesianSvdParams fixed = params;  // asked once: the environment may change while we train
  fixed.num_threads = resolve_num_threads(params.num_threads);
  Sampler sampler(ratings, samples, fixed, cancelled);
  return run_epochs(sampler, params.epochs, on_epoch);
}

}  // namespace penchant
