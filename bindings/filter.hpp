// The filters of a search, checked.
#pragma once

#include <cstdint>
#include <optional>

#include "arrays.hpp"
#include "penchant/topk.hpp"

namespace penchant::python {

using OptionalCsr = std::optional<CsrArrays>;
using OptionalFlags = std::optional<Array<std::uint8_t>>;

// Keeps what a `TopkFilter` points to; the arrays must outlive it.
class Filter {
 public:
  Filter(const OptionalCsr& exclude, const OptionalCsr& candidates, const OptionalFlags& allowed,
         std::int64_t n_queries, std::int64_t n_vectors) {
    if (exclude) exclude_ = csr(*exclude, n_queries, n_vectors, "exclude");
    if (candidates) candidates_ = csr(*candidates, n_queries, n_vectors, "candidates");
    if (!allowed) return;
    const auto flags = vector(*allowed, "allowed");
    check_length(flags.size(), n_vectors, "allowed");
    allowed_ = flags.data();
  }

  [[nodiscard]] TopkFilter view() const {
    return {exclude_ ? &*exclude_ : nullptr, candidates_ ? &*candidates_ : nullptr, allowed_};
  }

 private:
  std::optional<CsrView> exclude_;
  std::optional<CsrView> candidates_;
  const std::uint8_t* allowed_ = nullptr;
};

}  // namespace penchant::python
