"""A training job: its status, logs and measures, and what it has learnt."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.container.tree import Tree
from penchant.errors import JobError
from penchant.jobs.measures import (
    Measure,
    metrics_frame,
    plot_metrics,
    read_measures,
)
from penchant.jobs.state import is_running, send
from penchant.jobs.transforming import Transformer

if TYPE_CHECKING:
    import pandas as pd

    from penchant.models import Recommender

__all__ = ["DOCUMENT", "Job"]

DOCUMENT = "job.json"
_STOPPING = "stopping"
_POLL = 0.2  # seconds between two looks at a job


class Job:
    """A training job on this machine; `penchant.jobs.train` starts one, `get` finds one.

    Parameters
    ----------
    folder : path
        Of the job, in the state directory.

    Attributes
    ----------
    name : str
    folder : Path
        The tree that the container would have under ``/opt/ml``, and the log.

    Examples
    --------
    >>> import os, tempfile, pandas as pd, penchant as pc
    >>> sales = pd.DataFrame({"user_id": [1, 1, 2, 3, 3], "item_id": ["a", "b", "a", "b", "c"]})
    >>> with tempfile.TemporaryDirectory() as home:
    ...     os.environ["PENCHANT_HOME"] = home
    ...     settings = {"epochs": 2, "factors": 4}
    ...     job = pc.jobs.train("bpr", {"training": sales}, settings, progress=False)
    ...     job.status, job.metrics()["metric"].tolist(), job.model()
    ...     del os.environ["PENCHANT_HOME"]
    ('Completed', ['loss', 'auc', 'loss', 'auc'], BPR(factors=4, epochs=2))
    """

    def __init__(self, folder: os.PathLike[str] | str) -> None:
        self.folder = Path(folder)
        self._tree = Tree(self.folder)
        self._document = json.loads((self.folder / DOCUMENT).read_text())
        self.name: str = self._document["name"]

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self.status})"

    @property
    def created(self) -> str:
        """When it was started: ISO 8601, UTC."""
        return str(self._document["created"])

    @property
    def status(self) -> str:
        """``InProgress``, ``Completed``, ``Failed`` or ``Stopped``.

        A job whose process was killed has failed, whoever started it.
        """
        if is_running(self.folder):
            return "InProgress"
        if self._tree.summary.exists():
            return "Stopped" if self.summary()["stopped"] else "Completed"
        if self._tree.failure.exists() or not (self.folder / _STOPPING).exists():
            return "Failed"
        return "Stopped"

    @property
    def failure(self) -> str | None:
        """Why the job failed; None where it did not."""
        if self.status != "Failed":
            return None
        with contextlib.suppress(FileNotFoundError):
            return self._tree.failure.read_text(encoding="utf-8")
        return "its process ended without a word: was it killed, or did the memory run out?"

    def summary(self) -> dict[str, Any]:
        """Return what the finished job says of itself: events, users, items, epochs and so on.

        Raises
        ------
        JobError
            It has not finished.
        """
        try:
            found: dict[str, Any] = json.loads(self._tree.summary.read_text())
        except FileNotFoundError:
            raise JobError(f"the job {self.name} has finished nothing: {self.status}") from None
        return found

    def wait(self, timeout: float | None = None, progress: bool = True) -> Job:
        """Wait until the job has ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds; after them `JobError`, and the job goes on.
        progress : bool, default True
            Show a bar of the epochs.

        Returns
        -------
        self

        Raises
        ------
        JobError
            The job failed; the message is its reason.
        """
        end = None if timeout is None else time.monotonic() + timeout
        bar = _Bar(self._document) if progress else None
        try:
            while is_running(self.folder):
                if bar is not None:
                    bar.show(self._measures())
                if end is not None and time.monotonic() > end:
                    raise JobError(f"the job {self.name} goes on after {timeout} s")
                time.sleep(_POLL)
            if bar is not None:
                bar.show(self._measures())
        finally:
            if bar is not None:
                bar.close()
        if self.status == "Failed":
            raise JobError(f"the job {self.name} failed: {self.failure}")
        return self

    def stop(self) -> None:
        """Ask the job to end after its epoch; it saves what it has learnt. Does not wait."""
        (self.folder / _STOPPING).touch()
        send(self.folder, self._document["pid"], signal.SIGTERM)

    def logs(self, follow: bool = False) -> str:
        """Return what the job has printed.

        Parameters
        ----------
        follow : bool, default False
            Print it as it comes, until the job has ended.
        """
        path = self.folder / "log"
        if follow:
            with path.open(encoding="utf-8", errors="replace") as file:
                running = True
                while running:
                    running = is_running(self.folder)  # before the last look
                    for text in iter(lambda: file.read(65_536), ""):
                        print(text, end="", flush=True)
                    if running:
                        time.sleep(_POLL)
        return path.read_text(encoding="utf-8", errors="replace")

    def metrics(self) -> pd.DataFrame:
        """Return what was measured so far.

        Returns
        -------
        pandas.DataFrame
            timestamp (UTC), metric (such as ``p@k(10)``, ``ndcg@k(10)``, ``loss``), value (float64)
            and epoch (Int64; missing for ``test ...``, which is measured when training is over).
        """
        return metrics_frame(self._measures())

    def plot(self, path: os.PathLike[str] | str | None = None) -> Any:
        """Draw the measures over the epochs.

        Parameters
        ----------
        path : path, optional
            Of a picture to write: PNG, SVG or PDF by its suffix.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        DataError
            Nothing was measured yet.
        MissingExtraError
            Without matplotlib.
        """
        return plot_metrics(self._measures(), self.name, path)

    plot_metrics = plot

    def _measures(self) -> list[Measure]:
        return read_measures(self.logs().splitlines())

    @property
    def artifact(self) -> Path:
        """The folder of the model.

        Raises
        ------
        JobError
            There is none, or not yet.
        """
        if not self._tree.summary.exists():
            reason = f": {self.failure}" if self.failure else ""
            raise JobError(f"the job {self.name} has no model: {self.status}{reason}")
        return self._tree.model

    @property
    def archive(self) -> Path:
        """The model as ``model.tar.gz``, for an object store.

        Raises
        ------
        JobError
            There is none, or not yet.
        """
        return self.artifact and self._tree.archive

    def model(self) -> Recommender:
        """Load the model.

        Raises
        ------
        JobError
            There is none, or not yet.
        """
        from penchant.models import load

        return load(self.artifact)

    def deploy(self, name: str | None = None, **options: Any) -> Any:
        """Start a local endpoint with the model.

        Parameters
        ----------
        name : str, optional
            Of the endpoint; the job's by default.
        **options
            Of `penchant.endpoints.deploy`.

        Returns
        -------
        Predictor

        Raises
        ------
        JobError
            There is no model, or not yet.
        """
        deploy = importlib.import_module("penchant.endpoints").deploy
        return deploy(self.artifact, name=name or self.name, **options)

    def transformer(self) -> Transformer:
        """Return what answers files of requests with the model.

        Raises
        ------
        JobError
            There is no model, or not yet.
        """
        return Transformer(self.artifact)

    def delete(self) -> None:
        """Remove the job, its log and its model.

        Raises
        ------
        JobError
            It is in progress.
        """
        if self.status == "InProgress":
            raise JobError(f"the job {self.name} is in progress: stop it first")
        shutil.rmtree(self.folder)


class _Bar:
    """A bar of the epochs of a job in another process."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._epochs = document.get("epochs") or 0
        self._title = document["name"]
        self._bar: Any = None
        self._shown = 0

    def show(self, measures: list[Measure]) -> None:
        """Move on to the last epoch there is."""
        by_epoch: dict[int, dict[str, float]] = {}
        for measure in measures:
            if measure.epoch is not None:
                by_epoch.setdefault(measure.epoch, {})[measure.metric] = measure.value
        for epoch in sorted(by_epoch):
            if epoch > self._shown:
                if self._bar is None:
                    from penchant.models.progress import Progress

                    self._bar = Progress(self._epochs, self._title)
                self._bar.update(by_epoch[epoch])
                self._shown = epoch

    def close(self) -> None:
        """Draw the last state and end the line."""
        if self._bar is not None:
            self._bar.close()
