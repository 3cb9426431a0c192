// The k largest scores of each row of a matrix.
#pragma once

#include <cstdint>

#include "penchant/types.hpp"

namespace penchant {

// Into columns and best (both scores.rows x k), best first, ties to the lower column. Scores of
// -infinity (and NaN) may not be chosen: column -1 and score -infinity pad. Columns fit 31 bits.
void k_largest(MatrixView<const float> scores, MatrixView<std::int64_t> columns,
               MatrixView<float> best, int num_threads);

}  // namespace penchant
