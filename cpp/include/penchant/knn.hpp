// Item-item neighbourhoods: for every item the k items that the same users took, most alike first.
//
// All similarities have one shape, S[i, j] = f_i g_j sum over users u of q_u w_ui w_uj:
//   cosine   w = v, q = 1, f_i = g_i = 1 / |w_i|
//   tfidf    w = sqrt(v), q_u = idf_u^2, f_i = g_i = 1 / norm of item i
//   bm25     w = v (K1 + 1) / (K1 (1 - B + B size_i / mean size) + v), q_u = idf_u^2, f = g = 1
//   rp3beta  w = v^alpha, q_u = (sum of u's values)^-alpha, f_i = (sum of i's values)^-alpha,
//            g_j = (number of j's users)^-beta  (Paudel et al., ACM TiiS 2017: three random steps)
// with v the value of the pair and idf_u = log((1 + items) / (1 + number of u's items)): a user of
// everything says nothing about what is alike. The sum of a pair runs over the users in ascending
// order in one task, so that the bits do not depend on the number of threads.
//
// The cost is the sum of the squared lengths of the users' rows, not of items squared: linear in
// the number of interactions as long as users' histories do not grow with it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "penchant/sparse_matrix.hpp"
#include "penchant/types.hpp"

namespace penchant {

enum class Similarity { kCosine, kBm25, kTfidf, kRp3beta };

struct KnnParams {
  Similarity similarity = Similarity::kCosine;
  std::int32_t neighbors = 100;
  double k1 = 1.2;
  double b = 0.75;
  double alpha = 1.0;
  double beta = 0.6;
  // S[i, j] is multiplied by c / (c + shrinkage), c the number of users of both (Bell and Koren,
  // ICDM 2007).
  double shrinkage = 0.0;
  int num_threads = 0;
};

// Row i: the most similar items of item i (never i itself), as many as there are with a similarity
// above zero but at most `neighbors`; of equal ones the lower number. `values` (> 0, one for each
// interaction) may be null: all 1. Values are taken relative to the largest; below 2^-31 of it they
// count as 2^-31 of it. Nothing is returned if it was cancelled.
std::optional<SparseMatrix> fit_knn(const CsrView& interactions, const float* values,
                                    std::int64_t n_items, const KnnParams& params,
                                    const CancelCheck& cancelled);

}  // namespace penchant
