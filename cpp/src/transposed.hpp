// The columns of a sparse matrix as rows.
#pragma once

#include <cstdint>

#include "penchant/sparse_matrix.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Row c of the result has the rows of `matrix` that have column c, ascending, with their values.
// Without values (null) the result has none either.
SparseMatrix transposed(const CsrView& matrix, const float* values, std::int64_t n_columns);

}  // namespace penchant
