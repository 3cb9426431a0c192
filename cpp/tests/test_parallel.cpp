#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "penchant/parallel.hpp"

using penchant::parallel_chunks;
using penchant::parallel_for;

TEST_CASE("every task runs once, on a thread in range") {
  for (const int threads : {1, 2, 3, 8}) {
    std::vector<std::atomic<int>> runs(97);
    std::atomic<bool> in_range{true};
    parallel_for(97, threads, [&](std::int64_t task, int thread) {
      runs[static_cast<std::size_t>(task)]++;
      if (thread < 0 || thread >= threads) in_range = false;
    });
    CHECK(in_range);
    for (const auto& count : runs) CHECK(count == 1);
  }
}

TEST_CASE("no tasks, no calls") {
  parallel_for(0, 4, [](std::int64_t, int) { FAIL("called"); });
  parallel_chunks(0, 16, 4, [](std::int64_t, std::int64_t, int) { FAIL("called"); });
}

TEST_CASE("several threads take part") {
  std::mutex mutex;
  std::set<int> seen;
  std::atomic<int> arrived{0};
  parallel_for(2, 2, [&](std::int64_t, int thread) {
    arrived++;
    while (arrived < 2) std::this_thread::yield();  // deadlocks unless two threads run at once
    const std::lock_guard lock(mutex);
    seen.insert(thread);
  });
  CHECK(seen == std::set<int>{0, 1});
}

TEST_CASE("chunks tile the range and do not depend on the threads") {
  for (const int threads : {1, 3}) {
    std::mutex mutex;
    std::set<std::pair<std::int64_t, std::int64_t>> chunks;
    parallel_chunks(97, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
      const std::lock_guard lock(mutex);
      chunks.insert({begin, end});
    });
    const std::set<std::pair<std::int64_t, std::int64_t>> expected = {
        {0, 16}, {16, 32}, {32, 48}, {48, 64}, {64, 80}, {80, 96}, {96, 97}};
    CHECK(chunks == expected);
  }
}

TEST_CASE("an exception of a worker reaches the caller, and the loop works again") {
  for (const int threads : {1, 4}) {
    CHECK_THROWS_WITH_AS(parallel_for(64, threads,
                                      [](std::int64_t task, int) {
                                        if (task == 13) throw std::runtime_error("task 13");
                                      }),
                         "task 13", std::runtime_error);
    std::atomic<int> runs{0};
    parallel_for(8, threads, [&](std::int64_t, int) { runs++; });
    CHECK(runs == 8);
  }
}

TEST_CASE("nested loops run serially") {
  std::atomic<int> inner{0};
  std::atomic<bool> serial{true};
  parallel_for(4, 4, [&](std::int64_t, int) {
    parallel_for(5, 4, [&](std::int64_t, int thread) {
      inner++;
      if (thread != 0) serial = false;
    });
  });
  CHECK(inner == 20);
  CHECK(serial);
}

TEST_CASE("a forked child runs serially instead of hanging") {
  parallel_for(4, 2, [](std::int64_t, int) {});
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);
    int sum = 0;
    bool serial = true;
    parallel_for(10, 2, [&](std::int64_t task, int thread) {
      sum += static_cast<int>(task);
      serial = serial && thread == 0;
    });
    _exit(sum == 45 && serial ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the default number of threads follows the environment") {
  const int cores = penchant::default_num_threads();
  CHECK(cores >= 1);
  setenv("OMP_NUM_THREADS", "3,2", 1);
  CHECK(penchant::default_num_threads() == 3);
  setenv("PENCHANT_NUM_THREADS", "5", 1);
  CHECK(penchant::default_num_threads() == 5);
  setenv("PENCHANT_NUM_THREADS", "many", 1);
  CHECK(penchant::default_num_threads() == 3);
  unsetenv("PENCHANT_NUM_THREADS");
  unsetenv("OMP_NUM_THREADS");
  CHECK(penchant::default_num_threads() == cores);
  CHECK(penchant::resolve_num_threads(7) == 7);
  CHECK(penchant::resolve_num_threads(0) == cores);
}
