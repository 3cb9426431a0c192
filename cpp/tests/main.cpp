#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <stdexcept>

#include "penchant/simd.hpp"

int main(int argc, char** argv) {
  try {
    std::printf("instruction set: %s\n", penchant::kernels().name);
  } catch (const std::runtime_error& error) {
    std::printf("skipped: %s\n", error.what());
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
