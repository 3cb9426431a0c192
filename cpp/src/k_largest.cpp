#include "penchant/k_largest.hpp"

#include <limits>

#include "best_k.hpp"
#include "penchant/parallel.hpp"

namespace penchant {

void k_largest(MatrixView<const float> scores, MatrixView<std::int64_t> columns,
               MatrixView<float> best, int num_threads) {
  using Limits = std::numeric_limits<float>;
  parallel_chunks(scores.rows, 4, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    BestK largest;
    for (std::int64_t row = begin; row < end; ++row) {
      const float* const values = scores.row(row);
      largest.start(columns.cols, Limits::lowest());
      for (std::int64_t column = 0; column < scores.cols; ++column)
        if (values[column] >= largest.threshold())
          largest.offer(values[column], static_cast<std::int32_t>(column));
      largest.write(columns.row(row), best.row(row));
      for (std::int64_t i = 0; i < columns.cols && columns.row(row)[i] >= 0; ++i)
        best.row(row)[i] = values[columns.row(row)[i]];  // with the sign of its zero
    }
  });
}

}  // namespace penchant
