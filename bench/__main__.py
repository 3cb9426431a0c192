"""`python -m bench TASK [options]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

# One thread per BLAS call, as implicit asks for: both sides bring their own parallel loops. It
# must be set before NumPy is imported, hence the late imports below.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

TASKS = {
    "all": ("bench.all.task", "every comparison below, in one table beside floors and goals"),
    "bpr": ("bench.bpr.task", "training of BPR: updates per second, quality, equal bits"),
    "ials": ("bench.ials.task", "training of IALS: time to implicit's quality, best quality"),
    "prod2vec": ("bench.prod2vec.task", "Prod2Vec: words per second and hit rate"),
    "ease": ("bench.ease.task", "EASE: the inverse against LAPACK, quality on MovieLens 100k"),
    "knn": ("bench.knn.task", "item-item neighbourhoods: time to build, the same neighbours"),
    "topk": ("bench.topk.task", "exact top-k over random vectors, beside faiss"),
    "ann": ("bench.ann.task", "approximate top-k over clustered vectors, beside hnswlib"),
    "anti_testset": ("bench.anti_testset.task", "all users by all items, beside Surprise"),
    "recommend_all": ("bench.recommend_all.task", "ten new items for every user"),
    "batch_transform": ("bench.batch_transform.task", "a file of users in, their top ten out"),
    "demo": ("bench.demo.task", "the whole of `penchant demo`"),
    "svd": ("bench.svd.task", "SVD: updates per second, errors on MovieLens 100k"),
    "svdpp": ("bench.svdpp.task", "SVD++: seconds and errors on MovieLens 100k"),
    "serve": ("bench.serve.task", "the server under load: throughput, latency, swaps, memory"),
    "threads": ("bench.threads.task", "every model: equal bits for any number of threads"),
    "scale": ("bench.scale.task", "every model: time and memory at 1x, 10x, 100x the rows"),
    "cold_start": ("bench.cold_start.task", "a server on 1 GB: start, memory of a second process"),
    "import": ("bench.import_time.task", "`import penchant` in a fresh process, wheel size"),
}


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    asked = arguments[0] if arguments else None
    for name, (module, summary) in TASKS.items():
        task = tasks.add_parser(name, help=summary, description=summary)
        if name == asked:
            importlib.import_module(module).add_arguments(task)
            task.add_argument("--json", type=Path, metavar="FILE", help="write all runs there")
    options = parser.parse_args(arguments)

    from bench.report import Report
    from penchant.errors import PenchantError

    sys.stdout.reconfigure(line_buffering=True)  # long runs are watched, through pipes too
    report = Report(options)
    try:
        importlib.import_module(TASKS[options.task][0]).run(options, report)
    except PenchantError as error:
        print(f"bench {options.task}: {error}", file=sys.stderr)
        return 2
    if options.json is not None:
        report.write(options.json)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
