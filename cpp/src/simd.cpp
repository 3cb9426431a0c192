#include "penchant/simd.hpp"

#include <array>
#include <cstdlib>
#include <stdexcept>

namespace penchant {

#ifdef PENCHANT_HAS_avx512
namespace avx512 {
extern const Kernels kKernels;
}
#endif
#ifdef PENCHANT_HAS_avx2
namespace avx2 {
extern const Kernels kKernels;
}
#endif
namespace baseline {
extern const Kernels kKernels;
}

namespace {

std::vector<const Kernels*> runnable_kernels() {
  std::vector<const Kernels*> found;
#ifdef PENCHANT_HAS_avx512
  if (__builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni"))
    found.push_back(&avx512::kKernels);
#endif
#ifdef PENCHANT_HAS_avx2
  if (__builtin_cpu_supports("x86-64-v3")) found.push_back(&avx2::kKernels);
#endif
  found.push_back(&baseline::kKernels);
  return found;
}

const Kernels& pick_kernels() {
  const auto found = runnable_kernels();
  const char* wanted = std::getenv("PENCHANT_ISA");
  if (wanted == nullptr || *wanted == '\0') return *found.front();
  std::string names;
  for (const Kernels* candidate : found) {
    if (candidate->name == std::string(wanted)) return *candidate;
    names += (names.empty() ? "" : ", ") + std::string(candidate->name);
  }
  throw std::runtime_error("PENCHANT_ISA is '" + std::string(wanted) +
                           "'; this CPU and build can run: " + names);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& picked = pick_kernels();
  return picked;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* candidate : runnable_kernels()) names.emplace_back(candidate->name);
  return names;
}

}  // namespace penchant
