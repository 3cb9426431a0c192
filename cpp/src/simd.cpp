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

// The features that CMakeLists.txt compiles for, one by one: older compilers do not know the names
// of levels.
#ifdef PENCHANT_HAS_avx2
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#endif

std::vector<const Kernels*> runnable_kernels() {
  std::vector<const Kernels*> found;
#ifdef PENCHANT_HAS_avx512
  if (has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    found.push_back(&avx512::kKernels);
#endif
#ifdef PENCHANT_HAS_avx2
  if (has_avx2()) found.push_back(&avx2::kKernels);
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
