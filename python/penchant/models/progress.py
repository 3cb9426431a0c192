"""The progress bar of `fit`, in a terminal, a notebook or a log file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


class Progress:
    """A tqdm bar over epochs that shows the latest measures.

    ``tqdm.auto`` warns when a notebook has no ipywidgets; here the plain text bar is used
    instead, quietly. Without a terminal (a log file) the bar is redrawn every ten seconds only.
    """

    def __init__(self, total: int, description: str) -> None:
        notebook = in_notebook()
        widgets = notebook and importlib.util.find_spec("ipywidgets") is not None
        bar: Any = importlib.import_module("tqdm.notebook" if widgets else "tqdm.std").tqdm
        self._shown: dict[str, str] = {}
        live = notebook or sys.stderr.isatty()
        self._bar = bar(
            total=total,
            desc=description,
            unit="epoch",
            dynamic_ncols=True,
            file=sys.stderr,
            mininterval=0.1 if live else 10.0,
        )

    def update(self, logs: Mapping[str, Any]) -> None:
        """Move on by one epoch and show `logs` (name -> number) and the last of other measures."""
        self._shown.update((name, f"{value:.4f}") for name, value in logs.items())
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(1)

    def close(self) -> None:
        """Draw the last state and end the line."""
        self._bar.refresh()
        self._bar.close()
