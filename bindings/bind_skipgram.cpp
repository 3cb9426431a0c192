#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "interrupt.hpp"
#include "penchant/simd.hpp"
#include "penchant/skipgram.hpp"

namespace penchant::python {
namespace {

void check_params(const SkipgramParams& params) {
  if (params.epochs < 0) fail("epochs must be at least 0");
  if (params.window < 1) fail("window must be at least 1");
  if (params.negative < 1 || params.negative > kSkipgramMaxNegatives)
    fail("negative must be between 1 and " + std::to_string(kSkipgramMaxNegatives));
  for (const double value : {params.ns_exponent, params.sample, static_cast<double>(params.alpha),
                             static_cast<double>(params.min_alpha)})
    if (!std::isfinite(value)) fail("hyperparameters must be finite numbers");
  if (params.sample < 0.0) fail("sample must be at least 0");
}

SkipgramVectors vector_views(Array<float>& input, Array<float>& output) {
  const SkipgramVectors vectors{mutable_matrix(input, "input_vectors"),
                                mutable_matrix(output, "output_vectors")};
  if (vectors.input.cols != vectors.output.cols || vectors.input.rows != vectors.output.rows)
    fail("input_vectors and output_vectors differ in shape");
  if (vectors.input.cols < 1 || vectors.input.cols > kMaxFactors)
    fail("vector_size must be between 1 and " + std::to_string(kMaxFactors));
  check_rows_fit(vectors.input.rows, "items");
  check_apart(input, output, "input_vectors", "output_vectors");
  return vectors;
}

// Sequences are no sets: items may repeat and come in any order.
SequencesView sequences_view(const Array<std::int64_t>& indptr, const Array<std::int32_t>& items,
                             std::int64_t n_items) {
  const SequencesView view{vector(indptr, "indptr"), vector(items, "items")};
  if (view.indptr.empty() || view.indptr.front() != 0 || view.indptr.back() != view.entries())
    fail("indptr must run from 0 to " + std::to_string(view.entries()));
  check_rows_fit(view.rows(), "sequences");
  for (std::size_t s = 1; s < view.indptr.size(); ++s)
    if (view.indptr[s - 1] > view.indptr[s]) fail("indptr falls at row " + std::to_string(s - 1));
  check_within(view.items, n_items, "items");
  return view;
}

using SkipgramCallback = py::typing::Callable<bool(int, float)>;

std::int32_t fit(const Array<std::int64_t>& indptr, const Array<std::int32_t>& items,
                 Array<float> input_vectors, Array<float> output_vectors,
                 const SkipgramParams& params, const SkipgramCallback& on_epoch) {
  check_params(params);
  const SkipgramVectors vectors = vector_views(input_vectors, output_vectors);
  const SequencesView sequences = sequences_view(indptr, items, vectors.input.rows);
  const auto report = [&](const SkipgramEpoch& epoch) {
    const py::gil_scoped_acquire acquire;
    return on_epoch(epoch.epoch, epoch.loss).cast<bool>();
  };
  return run_kernel([&](const auto& cancelled) {
    return fit_skipgram(sequences, vectors, params, report, cancelled);
  });
}

Array<float> fold_in(const Array<std::int64_t>& indptr, const Array<std::int32_t>& items,
                     const Array<float>& vectors, double decay, int num_threads) {
  const MatrixView<const float> rows = matrix(vectors, "vectors");
  const SequencesView histories = sequences_view(indptr, items, rows.rows);
  if (!(decay >= 0.0 && decay <= 1.0)) fail("decay must be between 0 and 1");
  check_size(histories.rows(), rows.cols, "the result");
  Array<float> out({histories.rows(), rows.cols});
  const MatrixView<float> result = mutable_matrix(out, "the result");
  {
    const py::gil_scoped_release release;
    fold_in_histories(histories, rows, decay, result, num_threads);
  }
  return out;
}

}  // namespace

void bind_skipgram(py::module_& m) {
  m.def(
      "fit_skipgram",
      [](const Array<std::int64_t>& indptr, const Array<std::int32_t>& items,
         Array<float> input_vectors, Array<float> output_vectors, std::int32_t epochs,
         std::int32_t window, bool shrink_windows, std::int32_t negative, double ns_exponent,
         double sample, bool skip_gram, float alpha, float min_alpha, std::uint64_t seed,
         int num_threads, const SkipgramCallback& on_epoch) {
        const SkipgramParams params{epochs,      window, shrink_windows, negative,
                                    ns_exponent, sample, skip_gram,      alpha,
                                    min_alpha,   seed,   num_threads};
        return fit(indptr, items, std::move(input_vectors), std::move(output_vectors), params,
                   on_epoch);
      },
      py::arg("indptr").noconvert(), py::arg("items").noconvert(),
      py::arg("input_vectors").noconvert(), py::arg("output_vectors").noconvert(), py::kw_only(),
      py::arg("epochs"), py::arg("window"), py::arg("shrink_windows"), py::arg("negative"),
      py::arg("ns_exponent"), py::arg("sample"), py::arg("skip_gram"), py::arg("alpha"),
      py::arg("min_alpha"), py::arg("seed"), py::arg("num_threads"), py::arg("on_epoch"),
      "Train word2vec vectors in place; on_epoch(epoch, loss) returning False stops. Returns the "
      "epochs run.");
  m.def("fold_in_histories", &fold_in, py::arg("indptr").noconvert(), py::arg("items").noconvert(),
        py::arg("vectors").noconvert(), py::kw_only(), py::arg("decay"), py::arg("num_threads") = 0,
        "Mean of the vectors of each history, the last event weighing 1, the one before `decay`, "
        "...");
}

}  // namespace penchant::python
