#include "penchant/k_largest.hpp"

#include <algorithm>
#include <limits>
#include <vector>

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
      std::fill_n(columns.row(row), columns.cols, -1);
      std::fill_n(best.row(row), best.cols, -Limits::infinity());
      std::int64_t place = 0;
      for (const Scored& hit : largest.sorted()) {
        columns.row(row)[place] = hit.item;
        best.row(row)[place++] = values[hit.item];  // with the sign of its zero
      }
    }
  });
}

}  // namespace penchant
