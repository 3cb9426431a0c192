#include "spectrum.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "symmetric_eigen.hpp"

namespace penchant {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int kMaxRounds = 200;
constexpr double kTolerance = 1e-8;  // of the residual, relative to the largest eigenvalue
constexpr std::int64_t kRowsPerTask = 256;

// out[r] = sum over the entries of row r of value * scale of the other side * in[other], times the
// row's own scale.
void multiply(const std::int64_t* begin, const std::int32_t* others, const float* values,
              const std::vector<double>& own_scales, const std::vector<double>& other_scales,
              const Rows& in, Rows* out, int num_threads, CancelFlag* cancel) {
  parallel_chunks(
      out->rows(), kRowsPerTask, num_threads,
      [&](std::int64_t first, std::int64_t last, int thread) {
        if (cancel->raised(thread)) return;
        for (std::int64_t r = first; r < last; ++r) {
          auto row = out->row(r);
          row.setZero();
          for (std::int64_t e = begin[r]; e < begin[r + 1]; ++e) {
            const std::int32_t other = others[e];
            const double value = values == nullptr ? 1.0 : static_cast<double>(values[e]);
            row += value * other_scales[static_cast<std::size_t>(other)] * in.row(other);
          }
          row *= own_scales[static_cast<std::size_t>(r)];
        }
      });
}

// In blocks of columns, with a look at the flag between them. A block is taken through twice: what
// is left of it after the first time may be no more than rounding.
void orthonormalize(Rows* v, CancelFlag* cancel) {
  constexpr std::int64_t kColumns = 64;
  for (std::int64_t first = 0; first < v->cols() && !cancel->raised(0); first += kColumns) {
    const std::int64_t n = std::min(kColumns, v->cols() - first);
    const auto before = v->leftCols(first);
    auto block = v->middleCols(first, n);
    for (int time = 0; time < 2; ++time) {
      const Eigen::MatrixXd shares = before.transpose() * block;
      block -= before * shares;
      const Eigen::HouseholderQR<Eigen::MatrixXd> qr(block);
      block = qr.householderQ() * Eigen::MatrixXd::Identity(block.rows(), n);
    }
  }
}

Rows random_start(std::int64_t rows, std::int64_t cols) {
  std::vector<float> normal(static_cast<std::size_t>(rows * cols));
  random_normal({normal.data(), rows, cols}, 1.0F, 0, 0, 1);
  return Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>(normal.data(), rows, cols)
      .cast<double>();
}

// Twice as many columns as asked for: the further the next one is away, the faster it converges.
std::int64_t subspace(std::int64_t wanted, std::int64_t items) {
  return std::min(2 * wanted + 8, items);
}

}  // namespace

double spectrum_bytes(std::int64_t n_users, std::int64_t n_items, std::int64_t rank) {
  if (rank == 0) return 0.0;
  const auto width = static_cast<double>(subspace(std::min(rank, n_items), n_items));
  const auto rows = static_cast<double>(n_users) + 4.0 * static_cast<double>(n_items);
  return sizeof(double) * width * (rows + 4.0 * width);
}

Spectrum largest_singular(const ScaledMatrix& x, std::int64_t rank, int num_threads,
                          CancelFlag* cancel) {
  const std::int64_t wanted = std::min(rank, x.items());
  const std::int64_t width = subspace(wanted, x.items());
  Rows v = random_start(x.items(), width);
  Rows y(x.users(), width);
  Rows z(x.items(), width);
  Eigen::VectorXd values;
  for (int round = 0; round < kMaxRounds; ++round) {
    orthonormalize(&v, cancel);
    multiply(x.rows.indptr.data(), x.rows.indices.data(), x.values, x.user_scales, x.item_scales, v,
             &y, num_threads, cancel);
    multiply(x.by_item.indptr.data(), x.by_item.indices.data(),
             x.by_item.values.empty() ? nullptr : x.by_item.values.data(), x.item_scales,
             x.user_scales, y, &z, num_threads, cancel);
    if (cancel->raised(0)) return {};
    // Rayleigh-Ritz: the best eigenvectors within the subspace, the largest first.
    const SymmetricEigen small = symmetric_eigen(v.transpose() * z, num_threads, cancel);
    if (cancel->raised(0)) return {};
    const Eigen::MatrixXd turn = small.vectors.rowwise().reverse();
    values = small.values.reverse();
    v = v * turn;
    if (cancel->raised(0)) return {};
    z = z * turn;
    const double residual =
        (z.leftCols(wanted) - v.leftCols(wanted) * values.head(wanted).asDiagonal())
            .colwise()
            .norm()
            .maxCoeff();
    if (residual <= kTolerance * values(0)) break;
    v.swap(z);
  }
  Spectrum found;
  found.rank = wanted;
  for (std::int64_t k = 0; k < wanted; ++k)
    found.singular_values.push_back(std::sqrt(std::max(values(k), 0.0)));
  found.vectors.resize(static_cast<std::size_t>(x.items() * wanted));
  Eigen::Map<Rows>(found.vectors.data(), x.items(), wanted) = v.leftCols(wanted);
  return found;
}

}  // namespace penchant
