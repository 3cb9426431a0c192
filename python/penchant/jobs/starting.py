"""Starting jobs, and finding those there are."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.container.settings import read_settings
from penchant.errors import JobError, ParameterError, closest
from penchant.home import home, make_private
from penchant.jobs.inputs import write_channels
from penchant.jobs.job import DOCUMENT, Job
from penchant.jobs.state import check_name, kill, spawn

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["get", "jobs", "train"]


def train(
    model: str | Recommender = "bpr",
    inputs: Mapping[str, Any] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    wait: bool = True,
    progress: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Job:
    """Train a model in a process of its own, which outlives this one.

    Parameters
    ----------
    model : str or Recommender, default "bpr"
        The name of a model, or an unfitted one whose hyperparameters are numbers and texts.
    inputs : mapping, optional
        ``"training"`` and, to measure every epoch on, ``"testing"`` or ``"validation"``: paths of
        CSV or Parquet files or folders of them, frames, or `Interactions`; ``"items"`` and
        ``"users"``: tables with a row for each, which filters ask for. Without
        `Interactions`, the columns are ``user_id``, ``item_id`` and, where they are there,
        ``value`` and ``timestamp``, or those that the hyperparameters ``user_column`` and so on
        name; CSV may lack a row of names.
    hyperparameters : mapping, optional
        Of the model; and ``metrics`` (``"precision@10,ndcg@10"``), ``metrics_every``, ``k``,
        ``validation`` (a share of the rows to hold out), ``patience``, ``data_url`` with ``table``
        or ``query`` and ``secret`` (``env:NAME``, ``file:PATH`` or ``aws:ARN``), and others that
        the error about an unknown one lists.
    name : str, optional
        Default: that of the model and the time (UTC).
    wait : bool, default True
        Return when the job has ended.
    progress : bool, default True
        Show a bar of the epochs while waiting.
    environment : mapping of str to str, optional
        Variables for the process beside those of this one, such as the password that
        ``secret=env:NAME`` names. They are written nowhere.

    Returns
    -------
    Job

    Raises
    ------
    ParameterError
        An unknown model, input or hyperparameter, a value out of range, or a name that is taken.
    MissingFileError
        There is no file at a path.
    JobError
        With `wait`: the job failed; the message is its reason.

    Examples
    --------
    See `Job`.
    """
    said = {key: _text(value) for key, value in (hyperparameters or {}).items()}
    if not isinstance(model, str):
        changed = _changed(model)
        model = type(model).__name__.lower()
        said = {**changed, **said}
    said["model"] = model
    epochs = read_settings(said).model.get_params().get("epochs")  # or an error, before a process
    created = datetime.datetime.now(datetime.timezone.utc)
    default = f"{model.lower()}-{created:%Y-%m-%d-%H-%M-%S}-{created.microsecond // 1000:03}"
    folder = home() / "jobs" / check_name(default if name is None else name)
    make_private(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise ParameterError(
            f"there is a job {folder.name!r} already: choose another name, or delete it"
        ) from None
    try:
        columns = write_channels(folder / "input" / "data", inputs or {}, said)
        _write_json(folder / "input" / "config" / "hyperparameters.json", {**columns, **said})
        read_settings({**columns, **said})
        started = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        arguments = ["train", "--root", str(folder.absolute())]
        pid = spawn(folder, "penchant.container", arguments, started)
        time = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        document = {"name": folder.name, "model": model, "created": time, "epochs": epochs}
        _write_json(folder / DOCUMENT, {**document, "pid": pid})
    except BaseException:
        # Without its document a job cannot be found, and nobody else could end its process.
        kill(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    job = Job(folder)
    return job.wait(progress=progress) if wait else job


def get(name: str) -> Job:
    """Return a job by its name.

    Raises
    ------
    JobError
        There is none; the message names the closest one.
    """
    folder = home() / "jobs" / check_name(name)
    if not (folder / DOCUMENT).is_file():
        hint = closest(name, [job.name for job in jobs()]) or f" in {home() / 'jobs'}"
        raise JobError(f"there is no job {name!r}{hint}")
    return Job(folder)


def jobs() -> list[Job]:
    """Return all jobs, the latest first."""
    found = [Job(path.parent) for path in (home() / "jobs").glob(f"*/{DOCUMENT}")]
    return sorted(found, key=lambda job: job.created, reverse=True)


def _text(value: Any) -> str:
    """Return a hyperparameter as the text that SageMaker would pass."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return "none" if value is None else str(value)


def _changed(model: Recommender) -> dict[str, str]:
    """Return the hyperparameters of a model that are not the default ones."""
    defaults = type(model)().get_params(deep=False)
    changed = {}
    for name, value in model.get_params(deep=False).items():
        if hasattr(value, "get_params"):
            raise ParameterError(
                f"{name}={value!r:.80} is a model: give its name and settings as hyperparameters, "
                f"such as {name} and {name}__epochs"
            )
        if value != defaults[name]:
            changed[name] = _text(value)
    return changed


def _write_json(path: Path, document: dict[str, Any]) -> None:
    from penchant.storage.files import replaced_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as file:
        file.write(json.dumps(document, indent=2).encode())
