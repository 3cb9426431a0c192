// One registration function per kernel; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace penchant::python {

void bind_bayesian_svd(pybind11::module_& m);
void bind_bpr(pybind11::module_& m);
void bind_ease(pybind11::module_& m);
void bind_graph_index(pybind11::module_& m);
void bind_ials(pybind11::module_& m);
void bind_k_largest(pybind11::module_& m);
void bind_knn(pybind11::module_& m);
void bind_neighbor_index(pybind11::module_& m);
void bind_random(pybind11::module_& m);
void bind_ranking_metrics(pybind11::module_& m);
void bind_rating_fold_in(pybind11::module_& m);
void bind_rerank(pybind11::module_& m);
void bind_skipgram(pybind11::module_& m);
void bind_stable_order(pybind11::module_& m);
void bind_svd(pybind11::module_& m);
void bind_topk(pybind11::module_& m);

}  // namespace penchant::python
