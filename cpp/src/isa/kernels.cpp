// Compiled once per instruction set: PENCHANT_ISA is its name, and everything lives in the
// namespace of that name. Only plain headers may be included here: an inline function with external
// linkage that is compiled with AVX-512 could be the copy the linker keeps for the whole program.
#if defined(__SSSE3__)
#include <immintrin.h>
#endif

#include "penchant/random.hpp"
#include "penchant/simd.hpp"

namespace penchant::PENCHANT_ISA {
namespace {

#include "isa/vec.inl"
//
#include "isa/bpr_cell.inl"
//
#include "isa/gemm.inl"
//
#include "isa/graph_dots.inl"
//
#include "isa/ials_rows.inl"
//
#include "isa/ials_block.inl"
//
#include "isa/neighbor_rows.inl"
//
#include "isa/rotations.inl"
//
#include "isa/row_dots.inl"
//
#include "isa/score_pairs.inl"
//
#include "isa/skipgram_chunk.inl"
//
#include "isa/spd_tile.inl"
//
#include "isa/svd_cell.inl"
//
#include "isa/topk_scan.inl"
//
#include "isa/bpr_row_steps.inl"
//
#include "isa/exp_sums.inl"

}  // namespace

#define PENCHANT_STRINGIFY_(x) #x
#define PENCHANT_STRINGIFY(x) PENCHANT_STRINGIFY_(x)

extern const Kernels kKernels;
const Kernels kKernels = {
    .name = PENCHANT_STRINGIFY(PENCHANT_ISA),
    .bpr_row_steps = bpr_row_steps,
    .bpr_cell = bpr_cell,
    .exp_sum = exp_sum,
    .exp_sums = exp_sums,
    .graph_dots_bfloat16 = graph_dots_bfloat16,
    .graph_dots_int8 = graph_dots_int8,
    .ials_block = ials_block,
    .ials_block_scratch = ials_block_scratch,
    .ials_dual = ials_dual,
    .ials_dual_scratch = ials_dual_scratch,
    .ials_gradients = ials_gradients,
    .ials_gradients_scratch = ials_gradients_scratch,
    .multiply_panel = multiply_panel,
    .query_levels = kQueryLevels,
    .rotate_columns = rotate_columns,
    .row_dots = row_dots,
    .scan_panels = scan_panels,
    .score_pairs = score_pairs,
    .skipgram_chunk = skipgram_chunk,
    .sum_rows = sum_rows,
    .tile_rows = kTileRows,
    .tile_cols = kTileCols,
    .subtract_product = subtract_product,
    .factor_tile = factor_tile,
    .svd_cell = svd_cell,
    .gather_rows = gather_rows,
    .spread_rows = spread_rows,
};

}  // namespace penchant::PENCHANT_ISA
