#include "penchant/parallel.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef PENCHANT_USE_OPENMP
#include <omp.h>
#endif

namespace penchant {
namespace {

constexpr int kMaxThreads = 1024;

// Process that ran the first parallel region. A child forked later inherits the value but not the
// OpenMP worker threads it stands for.
std::atomic<pid_t> g_parallel_owner{0};
thread_local bool t_inside_region = false;

int positive_from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  // OMP_NUM_THREADS may hold a list, one number a nesting level: the first counts.
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return end != text && value > 0 ? static_cast<int>(std::min<long>(value, kMaxThreads)) : 0;
}

int cores_in_affinity_mask() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// CPU quota of the cgroup in cores, rounded up; 0 where there is none.
int cores_in_cgroup_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0.0;
  if (v2 >> quota >> period && quota != "max" && period > 0.0)
    return static_cast<int>(std::ceil(std::strtod(quota.c_str(), nullptr) / period));
  std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double limit = 0.0;
  if (quota_v1 >> limit && period_v1 >> period && limit > 0.0 && period > 0.0)
    return static_cast<int>(std::ceil(limit / period));
  return 0;
}

bool must_run_serially() {
  if (t_inside_region) return true;
  const pid_t self = getpid();
  pid_t owner = 0;
  if (g_parallel_owner.compare_exchange_strong(owner, self)) return false;
  return owner != self;
}

// Hands out tasks and keeps the first exception.
class TaskQueue {
 public:
  TaskQueue(std::int64_t tasks, const std::function<void(std::int64_t, int)>& body)
      : tasks_(tasks), body_(body) {}

  void work(int thread) {
    const bool nested = std::exchange(t_inside_region, true);
    try {
      for (;;) {
        const std::int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks_) break;
        body_(task, thread);
      }
    } catch (...) {
      next_.store(tasks_, std::memory_order_relaxed);
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    t_inside_region = nested;
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::int64_t tasks_;
  const std::function<void(std::int64_t, int)>& body_;
  std::atomic<std::int64_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

int default_num_threads() {
  for (const char* name : {"PENCHANT_NUM_THREADS", "OMP_NUM_THREADS"})
    if (const int value = positive_from_environment(name); value > 0) return value;
  const int quota = cores_in_cgroup_quota();
  const int cores = cores_in_affinity_mask();
  return std::max(1, quota > 0 ? std::min(cores, quota) : cores);
}

int resolve_num_threads(int requested) {
  return requested > 0 ? std::min(requested, kMaxThreads) : default_num_threads();
}

void parallel_for(std::int64_t tasks, int num_threads,
                  const std::function<void(std::int64_t, int)>& body) {
  const int threads = static_cast<int>(
      std::min<std::int64_t>(resolve_num_threads(num_threads), std::max<std::int64_t>(tasks, 1)));
  TaskQueue queue(tasks, body);
  if (threads <= 1 || must_run_serially()) {
    queue.work(0);
    queue.rethrow();
    return;
  }
#ifdef PENCHANT_USE_OPENMP
#pragma omp parallel num_threads(threads)
  queue.work(omp_get_thread_num());
#else
  std::vector<std::jthread> workers;
  workers.reserve(static_cast<std::size_t>(threads - 1));
  for (int thread = 1; thread < threads; ++thread)
    workers.emplace_back([&queue, thread] { queue.work(thread); });
  queue.work(0);
  workers.clear();  // joins
#endif
  queue.rethrow();
}

void parallel_chunks(std::int64_t size, std::int64_t chunk, int num_threads,
                     const std::function<void(std::int64_t, std::int64_t, int)>& body) {
  const std::int64_t step = std::max<std::int64_t>(chunk, 1);
  parallel_for((size + step - 1) / step, num_threads, [&](std::int64_t task, int thread) {
    body(task * step, std::min(size, (task + 1) * step), thread);
  });
}

}  // namespace penchant
