"""`python -m bench svdpp`: seconds and errors of SVD++ on MovieLens 100k."""

from __future__ import annotations

import argparse

from bench.report import Report
from bench.svd import compare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    compare.add_arguments(parser, repeats=5)


def run(options: argparse.Namespace, report: Report) -> None:
    compare.movielens("SVDpp", options, report)
