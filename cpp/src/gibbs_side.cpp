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

std::vector<float> normals(std::int64_t rows, std::int64_t cols, std::uint64_t key, int threads) {
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  random_normal({out.data(), rows, cols}, 1.0F, key, 0, threads);
  return out;
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
      priors_(GibbsMatrix::Zero(rows.rows(), factors + 1)),
      links_(GibbsMatrix::Zero(linked ? columns.rows() : 0, factors + 1)),
      mu_(Eigen::VectorXd::Zero(factors + 1)),
      lambda_(Eigen::MatrixXd::Identity(factors + 1, factors + 1)) {
  for (std::int64_t r = 0; r < rows.rows(); ++r)
    roots_.push_back(1.0 / std::sqrt(std::max(1.0, static_cast<double>(rows.row(r).size()))));
}

void GibbsSide::start(std::uint64_t seed, std::uint64_t side) {
  const auto noise =
      normals(rows_.rows(), dim_, GibbsStreams{seed, 0, side}.key(kStart), num_threads_);
  for (Eigen::Index i = 0; i < rows_.size(); ++i)
    rows_.data()[i] = 0.1 * static_cast<double>(noise[static_cast<std::size_t>(i)]);
  rows_.col(dim_ - 1).setZero();
}

// out -= sum of the links of each row, scaled.
void GibbsSide::subtract_links(GibbsMatrix& out) const {
  parallel_chunks(out.rows(), kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r)
      for (const std::int32_t j : ratings_.row(r))
        out.row(r) -= roots_[static_cast<std::size_t>(r)] * links_.row(j);
  });
}

void GibbsSide::sample_prior(const GibbsStreams& streams) {
  GibbsMatrix rest = rows_;
  if (linked_) subtract_links(rest);
  sample_normal_wishart(rest, streams);
  rest.rowwise() -= mu_.transpose();
  if (linked_) sample_links(rest, streams);
  priors_ = rows_ - rest;
}

// mu and Lambda given what the links leave: Salakhutdinov and Mnih, eq. 14, with W0 = I, nu0 = D,
// beta0 = 2, mu0 = 0. The links have precision link_precision * Lambda, so they count as well.
void GibbsSide::sample_normal_wishart(const GibbsMatrix& rest, const GibbsStreams& streams) {
  constexpr double kBeta = 2.0;
  const auto n = static_cast<double>(rest.rows());
  const std::int64_t chunks = (rest.rows() + kChunk - 1) / kChunk;
  std::vector<Eigen::MatrixXd> squares(static_cast<std::size_t>(chunks));
  const Eigen::RowVectorXd average = rest.colwise().mean();
  parallel_chunks(
      rest.rows(), kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
        const GibbsMatrix part = rest.middleRows(begin, end - begin).rowwise() - average;
        squares[static_cast<std::size_t>(begin / kChunk)] = part.transpose() * part;
      });
  Eigen::MatrixXd inverse_scale = Eigen::MatrixXd::Identity(dim_, dim_);
  for (const Eigen::MatrixXd& part : squares) inverse_scale += part;
  inverse_scale += kBeta * n / (kBeta + n) * average.transpose() * average;
  double freedom = static_cast<double>(dim_) + n;
  if (linked_) {
    inverse_scale += link_precision_ * (links_.transpose() * links_);
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
  GibbsMatrix white = rest * lower;
  GibbsMatrix links = links_ * lower;
  const auto noise = normals(links.rows(), dim_, streams.key(kLinks), num_threads_);
  parallel_chunks(dim_, kLinkDims, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
    const Eigen::Index n = end - begin;
    for (std::int64_t j = 0; j < links.rows(); ++j) {
      double known = 0.0;
      double sum[kLinkDims] = {};
      for (const std::int32_t u : columns_.row(j)) {
        const double root = roots_[static_cast<std::size_t>(u)];
        known += root * root;
        const double* row = white.data() + u * dim_ + begin;
        for (Eigen::Index k = 0; k < n; ++k) sum[k] += root * row[k];
      }
      const double precision = known + link_precision_;
      double* link = links.data() + j * dim_ + begin;
      double change[kLinkDims] = {};
      for (Eigen::Index k = 0; k < n; ++k) {
        const auto z = static_cast<double>(noise[static_cast<std::size_t>(j * dim_ + begin + k)]);
        const double drawn = (sum[k] + known * link[k]) / precision + z / std::sqrt(precision);
        change[k] = drawn - link[k];
        link[k] = drawn;
      }
      for (const std::int32_t u : columns_.row(j)) {
        const double root = roots_[static_cast<std::size_t>(u)];
        double* row = white.data() + u * dim_ + begin;
        for (Eigen::Index k = 0; k < n; ++k) row[k] -= root * change[k];
      }
    }
  });
  RandomStream random{streams.key(kLinkPrecision), 0};
  const double shape = 1.0 + 0.5 * static_cast<double>(links.size());
  link_precision_ = random_gamma(shape, &random) / (1.0 + 0.5 * links.squaredNorm());
  const Eigen::MatrixXd back = llt.matrixL().solve(Eigen::MatrixXd::Identity(dim_, dim_));
  links_ = links * back;
  rest = white * back;
}

bool GibbsSide::sample_rows(const GibbsSide& other, double precision, double mean,
                            const GibbsStreams& streams, const std::function<bool(int)>& stop) {
  const auto noise = normals(rows_.rows(), dim_, streams.key(kRows), num_threads_);
  priors_ = priors_ * lambda_;  // what the normal equations want of them
  std::vector<GibbsMatrix> designs(static_cast<std::size_t>(num_threads_));
  parallel_chunks(rows_.rows(), 16, num_threads_,
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    if (stop(thread)) return;
                    for (std::int64_t r = begin; r < end; ++r)
                      sample_row(r, other, precision, mean, noise.data() + r * dim_,
                                 designs[static_cast<std::size_t>(thread)]);
                  });
  return !stop(0);
}

void GibbsSide::sample_row(std::int64_t row, const GibbsSide& other, double precision, double mean,
                           const float* noise, GibbsMatrix& design) {
  const auto columns = ratings_.row(row);
  const auto n = static_cast<Eigen::Index>(columns.size());
  const auto first = static_cast<std::size_t>(ratings_.indptr[static_cast<std::size_t>(row)]);
  if (design.rows() < n || design.cols() != dim_) design.resize(n, dim_);
  Eigen::VectorXd target(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    design.row(i) = other.rows_.row(columns[at]);
    target[i] = static_cast<double>(values_[first + at]) - mean - design(i, dim_ - 1);
    design(i, dim_ - 1) = 1.0;
  }
  const auto used = design.topRows(n);
  Eigen::MatrixXd matrix = lambda_;
  matrix.selfadjointView<Eigen::Lower>().rankUpdate(used.transpose(), precision);
  const Eigen::VectorXd right =
      priors_.row(row).transpose() + precision * (used.transpose() * target);
  const Eigen::LLT<Eigen::MatrixXd, Eigen::Lower> llt(matrix);
  const Eigen::VectorXd mean_row = llt.solve(right);
  const Eigen::VectorXd random = Eigen::Map<const Eigen::VectorXf>(noise, dim_).cast<double>();
  means_.row(row) = mean_row.transpose();
  rows_.row(row) = (mean_row + llt.matrixU().solve(random)).transpose();
}

double GibbsSide::squared_error(const GibbsSide& other, double mean) const {
  std::vector<double> sums(static_cast<std::size_t>((rows_.rows() + kChunk - 1) / kChunk), 0.0);
  parallel_chunks(
      rows_.rows(), kChunk, num_threads_, [&](std::int64_t begin, std::int64_t end, int) {
        double sum = 0.0;
        for (std::int64_t r = begin; r < end; ++r) {
          auto entry = static_cast<std::size_t>(ratings_.indptr[static_cast<std::size_t>(r)]);
          for (const std::int32_t c : ratings_.row(r)) {
            const double dot = rows_.row(r).head(dim_ - 1).dot(other.rows_.row(c).head(dim_ - 1));
            const double error = static_cast<double>(values_[entry++]) - mean - rows_(r, dim_ - 1) -
                                 other.rows_(c, dim_ - 1) - dot;
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
