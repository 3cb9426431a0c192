// SVD++ (Koren, "Factorization meets the neighborhood", KDD 2008, eq. 15) by deterministic parallel
// SGD:
//   rating(u, i) ~ mean + user_bias[u] + item_bias[i]
//                  + item[i] . (user[u] + |N(u)|^-1/2 * sum over j in N(u) of implicit[j])
// where N(u) are the items that u has rated.
//
// Every rating of u moves the implicit rows of all of N(u). They all make the same step,
//   y <- (1 - rate * reg) y + rate * e q / sqrt|N(u)|,
// so the sum can follow each step exactly while the rows themselves catch up once per visit of the
// user: an epoch costs O(ratings * factors), not O(sum of |N(u)|^2 * factors).
//
// Users are visited in waves of a few thousand ratings, whose size depends on the data alone.
// Within a wave the ratings run on a small grid like that of SVD; the rows of implicit factors
// catch up when it ends, so that a user misses only what the others of the wave have just learnt.
#pragma once

#include <cstdint>

#include "penchant/svd.hpp"

namespace penchant {

struct SvdppParams {
  SvdParams svd;
  SgdGroup implicit;
};

struct SvdppFactors {
  SvdFactors svd;
  MatrixView<float> implicit;  // one row an item
};

// Trains and returns the number of whole epochs run.
std::int32_t fit_svdpp(const Ratings& ratings, const SvdppFactors& factors,
                       const SvdppParams& params, const SvdEpochCallback& on_epoch,
                       const CancelCheck& cancelled);

// out[h] = |history h|^-1/2 * sum of the implicit rows of its items: what the items that somebody
// has rated add to their factors.
void implicit_sums(const CsrView& histories, MatrixView<const float> implicit,
                   MatrixView<float> out, int num_threads);

}  // namespace penchant
