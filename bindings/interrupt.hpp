// Kernels that run without the GIL and hear Ctrl-C.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>

namespace penchant::python {

namespace py = pybind11;

// Looks for a pending signal, such as Ctrl-C; to be called without the GIL, on the thread that
// Python called.
class Interrupt {
 public:
  bool operator()() {
    const py::gil_scoped_acquire acquire;
    raised_ = raised_ || PyErr_CheckSignals() != 0;
    return raised_;
  }

  // Raises the exception of the signal's handler, if there was one; to be called with the GIL.
  void rethrow() const {
    if (raised_) throw py::error_already_set();
  }

 private:
  bool raised_ = false;
};

// Returns `kernel(cancelled)`, run without the GIL; Ctrl-C becomes KeyboardInterrupt.
template <typename Kernel>
auto run_kernel(const Kernel& kernel) {
  Interrupt interrupt;
  auto result = [&] {
    const py::gil_scoped_release release;
    return kernel(std::ref(interrupt));
  }();
  interrupt.rethrow();
  return result;
}

}  // namespace penchant::python
