#include "gibbs_side.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "penchant/parallel.hpp"

namespace penchant {
namespace {

enum Use : std::uint64_t { kStart, kWishart, kMean, kLinks, kLinkPrecision, kRows };

// Rows to a task; the sums over tasks are added in their order.
constexpr std::int64_t kChunk = 64;
// Dimensions of the links that one task samples.
constexpr std::int64_t kLinkDims = 8;

double uniform(RandomStream* random) {  // in (0, 1)
  return (static_cast<double>(next_u64(random) >> 11) + 0.5) * 0x1.0p-53;
}

double normal(RandomStream* random) {  // Box and Muller
  const double radius = std::sqrt(-2.0 * std::log(uniform(random)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(random));
}

// Bartlett's decomposition: scale = root * root^T.
Eigen::MatrixXd wishart(const Eigen::MatrixXd& root, double freedom, RandomStream* random) {
  Eigen::MatrixXd lower = Eigen::MatrixXd::Zero(root.rows(), root.cols());
  for (Eigen::Index r = 0; r < root.rows(); ++r) {
    lower(r, r) = std::sqrt(2.0 * random_gamma(0.5 * (freedom - static_cast<double>(r)), random));
    for (Eigen::Index c = 0; c < r; ++c) lower(r, c) = normal(random);
  }
  const Eigen::MatrixXd product = root * lower;
  return product * product.transpose();
}

// Sum of (row - center)^T (row - center) over the rows: a sum for each of kParts runs of rows,
// which are then added in their order.
Eigen::MatrixXd scatter(const GibbsMatrix& rows, const Eigen::RowVectorXd& center, int threads) {
  constexpr std::int64_t kParts = 32;
  std::vector<Eigen::MatrixXd> sums(kParts, Eigen::MatrixXd::Zero(rows.cols(), rows.cols()));
  parallel_for(kParts, threads, [&](std::int64_t p, int) {
    const std::int64_t last = rows.rows() * (p + 1) / kParts;
    for (std::int64_t begin = rows.rows() * p / kParts; begin < last; begin += kChunk) {
      const Eigen::MatrixXd part =
          rows.middleRows(begin, std::min(kChunk, last - begin)).cast<double>().rowwise() - center;
      sums[static_cast<std::size_t>(p)] += part.transpose() * part;
    }
  });
  for (std::size_t p = 1; p < sums.size(); ++p) sums[0] += sums[p];
  return sums[0];
}

// rows = rows * by, in place.
void turn(GibbsMatrix& rows, const Eigen::MatrixXd& by, int threads) {
  parallel_chunks(rows.rows(), kChunk, threads, [&](std::int64_t begin, std::int64_t end, int) {
    auto part = rows.middleRows(begin, end - begin);
    const Eigen::MatrixXd turned = part.cast<double>() * by;
    part = turned.cast<float>();
  });
}

}  // namespace

double random_gamma(double shape, RandomStream* random) {
  if (shape < 1.0)
    return random_gamma(shape + 1.0, random) * std::pow(uniform(random), 1.0 / shape);
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = normal(random);
    const double v = std::pow(1.0 + c * x, 3);
    if (v > 0.0 && std::log(uniform(random)) < 0.5 * x * x + d - d * v + d * std::log(v))
      return d * v;
  }
}

double noise_precision(double n_ratings, double squared_error, RandomStream* random) {
  return random_gamma(1.0 + 0.5 * n_ratings, random) / (1.0 + 0.5 * squared_error);
}

GibbsSide::GibbsSide(const CsrView& rows, std::span<const float> values, const CsrView& columns,
                     std::int64_t factors, bool linked, int num_threads)
    : ratings_(rows),
      values_(values),
      columns_(columns),
      linked_(linked),
      num_threads_(num_threads),
      dim_(factors + 1),
      rows_(rows.rows(), factors + 1),
      means_(GibbsMatrix::Zero(rows.rows(), factors + 1)),
      links_(GibbsMatrix::Zero(linked ? columns.rows() : 0, factors + 1)),
      mu_(Eigen::VectorXd::Zero(factors + 1)),
      lambda_(Eigen::MatrixXd::Identity(factors + 1, factors + 1)) {
  for (std::int64_t r = 0; r < rows.rows(); ++r)
    roots_.push_back(1.0 / std::sqrt(std::max(1.0, static_cast<double>(rows.row(r).size()))));
}

void GibbsSide::start(std::uint64_t seed, std::uint64_t side) {
  random_normal({rows_.data(), rows_.rows(), dim_}, 0.1F, GibbsStreams{seed, 0, side}.key(kStart),
                0, num_threads_);
  rows_.col(dim_ - 1).setZero();
  means_.setZero();
}

// out -= sum of the links of each row, scaled.
void GibbsSide::subtract_links(GibbsMatrix& out) const {
  parallel_chunks(out.rows(), kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const auto root = static_cast<float>(roots_[static_cast<std::size_t>(r)]);
      for (const std::int32_t j : ratings_.row(r)) out.row(r) -= root * links_.row(j);
    }
  });
}

void GibbsSide::sample_prior(const GibbsStreams& streams) {
  GibbsMatrix& rest = means_;  // what their prior means leave of the rows, in the same memory
  rest = rows_;
  if (linked_) subtract_links(rest);
  sample_normal_wishart(rest, streams);
  rest.rowwise() -= mu_.transpose().cast<float>();
  if (linked_) sample_links(rest, streams);
  means_ = rows_ - rest;
}

// mu and Lambda given what the links leave: Salakhutdinov and Mnih, eq. 14, with W0 = I, nu0 = D,
// beta0 = 2, mu0 = 0. The links have precision link_precision * Lambda, so they count as well.
void GibbsSide::sample_normal_wishart(const GibbsMatrix& rest, const GibbsStreams& streams) {
  constexpr double kBeta = 2.0;
  const auto n = static_cast<double>(rest.rows());
  const Eigen::RowVectorXd average = rest.cast<double>().colwise().mean();
  Eigen::MatrixXd inverse_scale = scatter(rest, average, num_threads_);
  inverse_scale += Eigen::MatrixXd::Identity(dim_, dim_);
  inverse_scale += kBeta * n / (kBeta + n) * average.transpose() * average;
  double freedom = static_cast<double>(dim_) + n;
  if (linked_) {
    inverse_scale +=
        link_precision_ * scatter(links_, Eigen::RowVectorXd::Zero(dim_), num_threads_);
    freedom += static_cast<double>(links_.rows());
  }
  // scale = inverse_scale^-1 = root * root^T with root = L^-T.
  const Eigen::LLT<Eigen::MatrixXd> llt(inverse_scale);
  const Eigen::MatrixXd root = llt.matrixU().solve(Eigen::MatrixXd::Identity(dim_, dim_));
  RandomStream random{streams.key(kWishart), 0};
  lambda_ = wishart(root, freedom, &random);
  Eigen::VectorXd noise(dim_);
  RandomStream mean_random{streams.key(kMean), 0};
  for (Eigen::Index k = 0; k < dim_; ++k) noise[k] = normal(&mean_random);
  const Eigen::LLT<Eigen::MatrixXd> precision((kBeta + n) * lambda_);
  mu_ = n / (kBeta + n) * average.transpose() + precision.matrixU().solve(noise);
}

// The links one after the other, each given the rest. With Lambda = L L^T the numbers of a row of
// (rest * L) are independent, and so are the dimensions of the links: link j has precision
// (sum of 1/|N(u)| over the rows u it belongs to) + link_precision in each.
void GibbsSide::sample_links(GibbsMatrix& rest, const GibbsStreams& streams) {
  const Eigen::LLT<Eigen::MatrixXd> llt(lambda_);
  const Eigen::MatrixXd lower = llt.matrixL();
  turn(rest, lower, num_threads_);
  turn(links_, lower, num_threads_);
  const std::uint64_t key = streams.key(kLinks);
  parallel_chunks(dim_, kLinkDims, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
    const Eigen::Index n = end - begin;
    for (std::int64_t j = 0; j < links_.rows(); ++j) {
      double known = 0.0;
      double sum[kLinkDims] = {};
      for (const std::int32_t u : columns_.row(j)) {
        const double root = roots_[static_cast<std::size_t>(u)];
        known += root * root;
        const float* row = rest.data() + u * dim_ + begin;
        for (Eigen::Index k = 0; k < n; ++k) sum[k] += root * static_cast<double>(row[k]);
      }
      const double precision = known + link_precision_;
      float* link = links_.data() + j * dim_ + begin;
      float change[kLinkDims] = {};
      RandomStream random{
          stream_key(key, static_cast<std::uint64_t>(j), static_cast<std::uint64_t>(begin)), 0};
      for (Eigen::Index k = 0; k < n; ++k) {
        const double drawn = (sum[k] + known * static_cast<double>(link[k])) / precision +
                             normal(&random) / std::sqrt(precision);
        change[k] = static_cast<float>(drawn) - link[k];
        link[k] = static_cast<float>(drawn);
      }
      for (const std::int32_t u : columns_.row(j)) {
        const auto root = static_cast<float>(roots_[static_cast<std::size_t>(u)]);
        float* row = rest.data() + u * dim_ + begin;
        for (Eigen::Index k = 0; k < n; ++k) row[k] -= root * change[k];
      }
    }
  });
  RandomStream random{streams.key(kLinkPrecision), 0};
  const double shape = 1.0 + 0.5 * static_cast<double>(links_.size());
  const double squares = links_.cast<double>().squaredNorm();
  link_precision_ = random_gamma(shape, &random) / (1.0 + 0.5 * squares);
  const Eigen::MatrixXd back = llt.matrixL().solve(Eigen::MatrixXd::Identity(dim_, dim_));
  turn(links_, back, num_threads_);
  turn(rest, back, num_threads_);
}

bool GibbsSide::sample_rows(const GibbsSide& other, double precision, double mean,
                            const GibbsStreams& streams, const std::function<bool(int)>& stop) {
  const std::uint64_t key = streams.key(kRows);
  std::vector<GibbsMatrix> designs(static_cast<std::size_t>(num_threads_));
  parallel_chunks(
      rows_.rows(), 16, num_threads_, [&](std::int64_t begin, std::int64_t end, int thread) {
        if (stop(thread)) return;
        for (std::int64_t r = begin; r < end; ++r) {
          RandomStream random{stream_key(key, static_cast<std::uint64_t>(r)), 0};
          sample_row(r, other, precision, mean, &random, designs[static_cast<std::size_t>(thread)]);
        }
      });
  return !stop(0);
}

void GibbsSide::sample_row(std::int64_t row, const GibbsSide& other, double precision, double mean,
                           RandomStream* random, GibbsMatrix& design) {
  const auto columns = ratings_.row(row);
  const auto n = static_cast<Eigen::Index>(columns.size());
  const auto first = static_cast<std::size_t>(ratings_.indptr[static_cast<std::size_t>(row)]);
  if (design.rows() < n || design.cols() != dim_) design.resize(n, dim_);
  Eigen::VectorXf target(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    design.row(i) = other.rows_.row(columns[at]);
    target[i] = values_[first + at] - static_cast<float>(mean) - design(i, dim_ - 1);
    design(i, dim_ - 1) = 1.0F;
  }
  const auto used = design.topRows(n);
  Eigen::MatrixXf squares = Eigen::MatrixXf::Zero(dim_, dim_);
  squares.selfadjointView<Eigen::Lower>().rankUpdate(used.transpose());
  const Eigen::VectorXf sums = used.transpose() * target;
  const Eigen::LLT<Eigen::MatrixXd, Eigen::Lower> llt(lambda_ + precision * squares.cast<double>());
  const Eigen::VectorXd right =
      lambda_ * means_.row(row).transpose().cast<double>() + precision * sums.cast<double>();
  const Eigen::VectorXd mean_row = llt.solve(right);
  Eigen::VectorXd noise(dim_);
  for (Eigen::Index k = 0; k < dim_; ++k) noise[k] = normal(random);
  means_.row(row) = mean_row.transpose().cast<float>();
  rows_.row(row) = (mean_row + llt.matrixU().solve(noise)).transpose().cast<float>();
}

double GibbsSide::squared_error(const GibbsSide& other, double mean) const {
  std::vector<double> sums(static_cast<std::size_t>((rows_.rows() + kChunk - 1) / kChunk), 0.0);
  parallel_chunks(
      rows_.rows(), kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
        double sum = 0.0;
        for (std::int64_t r = begin; r < end; ++r) {
          auto entry = static_cast<std::size_t>(ratings_.indptr[static_cast<std::size_t>(r)]);
          const Eigen::RowVectorXd row = rows_.row(r).cast<double>();
          for (const std::int32_t c : ratings_.row(r)) {
            const auto other_row = other.rows_.row(c).cast<double>();
            const double dot = row.head(dim_ - 1).dot(other_row.head(dim_ - 1));
            const double error = static_cast<double>(values_[entry++]) - mean - row[dim_ - 1] -
                                 other_row[dim_ - 1] - dot;
            sum += error * error;
          }
        }
        sums[static_cast<std::size_t>(begin / kChunk)] = sum;
      });
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace penchant
