// The filters of a search, checked.
#pragma once

#include <cstdint>
#include <optional>

#include "arrays.hpp"
#include "penchant/topk.hpp"

namespace penchant::python {

using OptionalCsr = std::optional<CsrArrays>;
using OptionalFlags = std::optional<Array<std::uint8_t>>;
using OptionalRows = std::optional<Array<std::int32_t>>;

// Keeps what a `TopkFilter` points to; the arrays must outlive it.
class Filter {
 public:
  Filter(const OptionalCsr& exclude, const OptionalCsr& candidates, const OptionalFlags& allowed,
         const OptionalRows& allowed_rows, std::int64_t n_queries, std::int64_t n_vectors) {
    if (exclude) exclude_ = csr(*exclude, n_queries, n_vectors, "exclude");
    if (candidates) candidates_ = csr(*candidates, n_queries, n_vectors, "candidates");
    if (allowed_rows) {
      if (!allowed) fail("allowed_rows are rows of allowed, which is missing");
      const auto flags = matrix(*allowed, "allowed");
      if (flags.cols != n_vectors)
        fail("allowed has " + std::to_string(flags.cols) + " columns, expected " +
             std::to_string(n_vectors));
      const auto rows = vector(*allowed_rows, "allowed_rows");
      check_length(rows.size(), n_queries, "allowed_rows");
      check_within(rows, flags.rows, "allowed_rows");
      allowed_ = flags.data;
      allowed_rows_ = rows.data();
    } else if (allowed) {
      const auto flags = vector(*allowed, "allowed");
      check_length(flags.size(), n_vectors, "allowed");
      allowed_ = flags.data();
    }
  }

  [[nodiscard]] TopkFilter view() const {
    return {exclude_ ? &*exclude_ : nullptr, candidates_ ? &*candidates_ : nullptr, allowed_,
            allowed_rows_};
  }

 private:
  std::optional<CsrView> exclude_;
  std::optional<CsrView> candidates_;
  const std::uint8_t* allowed_ = nullptr;
  const std::int32_t* allowed_rows_ = nullptr;
};

}  // namespace penchant::python
