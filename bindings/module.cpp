#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <ios>

#include "bindings.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"

namespace py = pybind11;

namespace {

// Extensions that carry a C++ library of their own (usearch) share its locale ids with the process.
// Whoever sets the locale up first numbers them: let it be the library that all others use, else
// streams of libraries loaded later (lightgbm, pyarrow) write no numbers.
const std::ios_base::Init kStreams;

py::dict build_info() {
  py::dict info;
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#else
  info["compiler"] = "gcc " __VERSION__;
#endif
#ifdef PENCHANT_USE_OPENMP
  info["parallel"] = "openmp";
#else
  info["parallel"] = "threads";
#endif
  info["pybind11"] =
      PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_MINOR);
  return info;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() =
      "Native kernels of Penchant. Use the Python API; this module takes exact dtypes and layouts "
      "only.";
  penchant::kernels();  // a wrong PENCHANT_ISA fails the import, not the first fit
  m.def("build_info", &build_info,
        "Compiler, parallel backend and pybind11 version of this build.");
  m.def("isa", [] { return penchant::kernels().name; }, "Instruction set in use.");
  m.def("available_isas", &penchant::available_isas,
        "Instruction sets this CPU and build can run, best first.");
  m.def("default_num_threads", &penchant::default_num_threads,
        "Threads used by default: environment, affinity mask and cgroup quota honoured.");
  penchant::python::bind_bayesian_svd(m);
  penchant::python::bind_bpr(m);
  penchant::python::bind_ease(m);
  penchant::python::bind_ials(m);
  penchant::python::bind_k_largest(m);
  penchant::python::bind_knn(m);
  penchant::python::bind_neighbor_index(m);
  penchant::python::bind_random(m);
  penchant::python::bind_ranking_metrics(m);
  penchant::python::bind_rating_fold_in(m);
  penchant::python::bind_rerank(m);
  penchant::python::bind_skipgram(m);
  penchant::python::bind_stable_order(m);
  penchant::python::bind_svd(m);
  penchant::python::bind_topk(m);
  penchant::python::bind_graph_index(m);  // takes a TopkIndex
}
