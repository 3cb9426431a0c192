"""The plot of a job in a notebook that has not imported pyplot."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from IPython.core.formatters import PNGFormatter
from penchant.jobs.measures import Measure, plot_metrics
measures = [Measure("2024-05-01T12:00:00.000Z", n, "p@k(10)", n / 10) for n in (1, 2, 3)]
figure = plot_metrics(measures, "shop")
assert "matplotlib.pyplot" not in sys.modules
sys.stdout.buffer.write(PNGFormatter()(figure) or repr(figure).encode())
"""


def test_a_notebook_shows_the_picture():
    for package in ("IPython", "matplotlib"):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert done.stdout.startswith(b"\x89PNG\r\n")
    assert len(done.stdout) > 5_000  # a drawing, not a blank


def test_figure_can_be_pickled():
    pytest.importorskip("matplotlib")
    from penchant.jobs.measures import Measure, plot_metrics

    figure = plot_metrics([Measure("2024-05-01T12:00:00.000Z", 1, "loss", 0.5)], "shop")
    assert pickle.loads(pickle.dumps(figure)).axes[0].get_title() == "shop"
