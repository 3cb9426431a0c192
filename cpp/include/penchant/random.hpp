// Counter-based random numbers: value n of a stream is a pure function of (key, n), so any thread
// can produce any part of any stream and the result never depends on who ran first.
//
// The functions are static (internal linkage) and header-only because kernels that are compiled
// once per instruction set use them too: a shared inline copy could be the AVX-512 one.
#pragma once

#include <cstdint>

#include "penchant/types.hpp"

namespace penchant {

// Finaliser of splitmix64 (Steele, Lea, Flood 2014; variant 13 of Stafford): a 64-bit bijection.
[[maybe_unused]] static inline std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// Key of the stream that belongs to (seed, a, b, c), e.g. (seed, epoch, step, block).
[[maybe_unused]] static inline std::uint64_t stream_key(std::uint64_t seed, std::uint64_t a,
                                                        std::uint64_t b = 0, std::uint64_t c = 0) {
  std::uint64_t key = mix64(seed + 0x9e3779b97f4a7c15ULL);
  key = mix64(key ^ (a + 0xd1b54a32d192ed03ULL));
  key = mix64(key ^ (b + 0xabc98388fb8fac03ULL));
  return mix64(key ^ (c + 0x8cb92ba72f3d8dd7ULL));
}

struct RandomStream {
  std::uint64_t key;
  std::uint64_t counter;
};

[[maybe_unused]] static inline std::uint64_t next_u64(RandomStream* stream) {
  return mix64(stream->key + 0x9e3779b97f4a7c15ULL * ++stream->counter);
}

// Uniform in [0, bound) for bound < 2^32: Lemire's multiply-shift. The bias is below 2^-32 * bound,
// which no sampler here can notice.
[[maybe_unused]] static inline std::uint32_t below(std::uint32_t bits, std::uint32_t bound) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(bits) * bound) >> 32);
}

// Fills a rows x cols matrix with normal(0, scale) numbers of stream (seed, stream).
// Element (r, c) depends on (seed, stream, r, c) alone.
void random_normal(MatrixView<float> out, float scale, std::uint64_t seed, std::uint64_t stream,
                   int num_threads);

}  // namespace penchant
