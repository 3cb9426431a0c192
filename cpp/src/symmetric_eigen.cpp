#include "symmetric_eigen.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

// The rotations that are waiting to be applied to the eigenvectors.
class Rotations {
 public:
  Rotations(Eigen::MatrixXd& vectors, int num_threads)
      : vectors_(vectors), num_threads_(num_threads) {}

  void begin_sweep(std::int64_t first) { sweeps_.push_back({first, 0}); }
  void add(double cosine, double sine) {
    values_.push_back({cosine, sine});
    ++sweeps_.back().count;
  }
  void end_sweep() {
    if (values_.size() >= kBatch) apply();
  }

  void apply() {
    constexpr std::int64_t kStripe = kRotationStripe;
    const std::int64_t rows = vectors_.rows();
    parallel_for((rows + kStripe - 1) / kStripe, num_threads_, [&](std::int64_t task, int) {
      const RotationArgs args{vectors_.data() + task * kStripe,          rows,
                              std::min(kStripe, rows - task * kStripe),  sweeps_.data(),
                              static_cast<std::int64_t>(sweeps_.size()), values_.data()};
      kernels().rotate_columns(&args);
    });
    sweeps_.clear();
    values_.clear();
  }

 private:
  static constexpr std::size_t kBatch = 1 << 16;
  Eigen::MatrixXd& vectors_;
  int num_threads_;
  std::vector<RotationSweep> sweeps_;
  std::vector<Rotation> values_;
};

// One implicit QL step on rows [l, m] of the tridiagonal matrix.
void sweep(Eigen::VectorXd& d, Eigen::VectorXd& e, std::int64_t l, std::int64_t m,
           Rotations& rotations) {
  double g = (d[l + 1] - d[l]) / (2.0 * e[l]);
  const double root = std::sqrt(g * g + 1.0);
  g = d[m] - d[l] + e[l] / (g + (g >= 0.0 ? root : -root));  // d[m] - shift
  double s = 1.0;
  double c = 1.0;
  double p = 0.0;
  rotations.begin_sweep(m - 1);
  for (std::int64_t i = m - 1; i >= l; --i) {
    const double f = s * e[i];
    const double b = c * e[i];
    const double r = std::sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r == 0.0) {  // it falls apart here
      d[i + 1] -= p;
      e[m] = 0.0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1] - p;
    const double q = (d[i] - g) * s + 2.0 * c * b;
    p = s * q;
    d[i + 1] = g + p;
    g = c * q - b;
    rotations.add(c, s);
  }
  d[l] -= p;
  e[l] = g;
  e[m] = 0.0;
}

// d: diagonal, e: e[i] beside d[i] and d[i + 1], e[n - 1] unused.
void implicit_ql(Eigen::VectorXd& d, Eigen::VectorXd& e, Rotations& rotations, CancelFlag* cancel) {
  constexpr int kMostSweeps = 60;  // two do as a rule; matrices with NaN never end
  const std::int64_t n = d.size();
  for (std::int64_t l = 0; l < n; ++l) {
    if (cancel != nullptr && cancel->raised(0)) return;
    for (int attempt = 0; attempt < kMostSweeps; ++attempt) {
      std::int64_t m = l;
      while (m + 1 < n && std::abs(e[m]) > std::numeric_limits<double>::epsilon() *
                                               (std::abs(d[m]) + std::abs(d[m + 1])))
        ++m;
      if (m == l) break;
      sweep(d, e, l, m, rotations);
      rotations.end_sweep();
    }
  }
  rotations.apply();
}

}  // namespace

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& matrix, int num_threads, CancelFlag* cancel) {
  const std::int64_t n = matrix.rows();
  if (n == 0) return {};
  const double scale = std::max(matrix.cwiseAbs().maxCoeff(), 1e-300);
  const Eigen::Tridiagonalization<Eigen::MatrixXd> tridiagonal(matrix / scale);
  Eigen::MatrixXd vectors = tridiagonal.matrixQ();
  Eigen::VectorXd d = tridiagonal.diagonal();
  Eigen::VectorXd e = Eigen::VectorXd::Zero(n);
  e.head(n - 1) = tridiagonal.subDiagonal();
  Rotations rotations(vectors, num_threads);
  implicit_ql(d, e, rotations, cancel);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return d[a] < d[b]; });
  SymmetricEigen found{Eigen::VectorXd(n), Eigen::MatrixXd(n, n)};
  for (std::int64_t k = 0; k < n; ++k) {
    found.values[k] = scale * d[order[static_cast<std::size_t>(k)]];
    found.vectors.col(k) = vectors.col(order[static_cast<std::size_t>(k)]);
  }
  return found;
}

}  // namespace penchant
