// The one parallel loop of the library.
//
// Which task runs on which thread is not fixed, so a kernel is deterministic when its tasks are:
// the number of tasks must depend on the data alone, never on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace penchant {

// Threads used when the caller asks for none: PENCHANT_NUM_THREADS, else OMP_NUM_THREADS, else the
// cores this process may use (affinity mask and cgroup CPU quota honoured). At least 1.
int default_num_threads();

// `requested` > 0 is taken as it is (capped at 1024), anything else means default_num_threads().
int resolve_num_threads(int requested);

// Runs body(task, thread) for every task in [0, tasks), thread in [0, num_threads). Tasks are
// handed out one at a time in ascending order. The first exception thrown by a body stops the
// hand-out and is rethrown here. A call made from inside a body runs serially, and so does one in a
// forked child of a process that has run a parallel region before: gcc's OpenMP runtime would hang
// there.
void parallel_for(std::int64_t tasks, int num_threads,
                  const std::function<void(std::int64_t task, int thread)>& body);

// Same, over [0, size) in chunks of `chunk` (the last may be shorter): body(begin, end, thread).
void parallel_chunks(
    std::int64_t size, std::int64_t chunk, int num_threads,
    const std::function<void(std::int64_t begin, std::int64_t end, int thread)>& body);

}  // namespace penchant
