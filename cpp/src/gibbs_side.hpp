// One side (users or items) of the Gibbs sampler of bayesian_svd.cpp.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "penchant/random.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Numbers are sampled in double precision and kept in single.
using GibbsMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Random streams of one sweep and side; every use has its own number.
struct GibbsStreams {
  std::uint64_t seed;
  std::uint64_t sweep;
  std::uint64_t side;
  [[nodiscard]] std::uint64_t key(std::uint64_t use) const {
    return stream_key(seed, sweep, side, use);
  }
};

// Gamma(shape, 1) by Marsaglia and Tsang (2000); shape >= 1/2.
double random_gamma(double shape, RandomStream* random);

// Precision of the noise of ratings given their squared errors; its prior is Gamma(1, 1).
double noise_precision(double n_ratings, double squared_error, RandomStream* random);

// The rows of one side, their prior and the links to the other side. The last number of a row is
// its bias.
class GibbsSide {
 public:
  // `rows` has the ratings by row of this side and `columns` the same by row of the other side.
  GibbsSide(const CsrView& rows, std::span<const float> values, const CsrView& columns,
            std::int64_t factors, bool linked, int num_threads);

  // Factors start small, biases and the means of the prior at 0.
  void start(std::uint64_t seed, std::uint64_t side);
  // Samples the prior of the rows, and the links, given the rows.
  void sample_prior(const GibbsStreams& streams);
  // Samples the rows given the other side; false if it was told to stop on the way.
  bool sample_rows(const GibbsSide& other, double precision, double mean,
                   const GibbsStreams& streams, const std::function<bool(int)>& stop);
  // Sum of the squared errors of all ratings.
  [[nodiscard]] double squared_error(const GibbsSide& other, double mean) const;

  [[nodiscard]] const GibbsMatrix& rows() const { return rows_; }
  // Of each row its mean given all else, after sample_rows.
  [[nodiscard]] const GibbsMatrix& means() const { return means_; }
  // What was sampled of the prior: mean and precision of rows without links, the links, and their
  // precision relative to that of the rows.
  [[nodiscard]] const Eigen::VectorXd& mu() const { return mu_; }
  [[nodiscard]] const Eigen::MatrixXd& lambda() const { return lambda_; }
  [[nodiscard]] const GibbsMatrix& links() const { return links_; }
  [[nodiscard]] double link_precision() const { return link_precision_; }

 private:
  void subtract_links(GibbsMatrix& out) const;
  void sample_normal_wishart(const GibbsMatrix& rest, const GibbsStreams& streams);
  void sample_links(GibbsMatrix& rest, const GibbsStreams& streams);
  void sample_row(std::int64_t row, const GibbsSide& other, double precision, double mean,
                  RandomStream* random, GibbsMatrix& design);

  CsrView ratings_;
  std::span<const float> values_;
  CsrView columns_;
  bool linked_;
  int num_threads_;
  std::int64_t dim_;
  std::vector<double> roots_;  // |N|^-1/2 of each row
  GibbsMatrix rows_;
  GibbsMatrix means_;  // of each row: of its prior until the row is sampled, given all else after
  GibbsMatrix links_;  // one row a column of the ratings
  double link_precision_ = 5.0;
  Eigen::VectorXd mu_;
  Eigen::MatrixXd lambda_;
};

}  // namespace penchant
