"""``penchant-sagemaker train``: a tree with data and hyperparameters in, an artifact out."""

from __future__ import annotations

import dataclasses
import json
import os
import traceback
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from penchant._version import __version__
from penchant.container.channels import DEFAULTS, Plan, read_channel
from penchant.container.epoch_reports import EpochReport, HeldOut, Stop, metric_line
from penchant.container.features import read_features
from penchant.container.settings import Settings, read_settings
from penchant.container.tree import Tree, say
from penchant.errors import (
    DataError,
    MissingFileError,
    ParameterError,
    PenchantError,
    PenchantWarning,
)
from penchant.warehouse.connections import opened, select
from penchant.warehouse.credentials import hide

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models import Callback

__all__ = ["train"]


def train(root: os.PathLike[str] | str | None = None) -> int:
    """Train a model as the files of a tree say, and write it there.

    Parameters
    ----------
    root : path, optional
        Default: the environment's ``PENCHANT_ML_ROOT``, or ``/opt/ml``.

    Returns
    -------
    int
        0 when the model is in ``model``, 1 when ``output/failure`` says what went wrong. SIGTERM
        ends the training after the epoch, and what was learnt is saved.

    Notes
    -----
    Every epoch prints a line such as ``2024-05-01T12:00:00.000Z epoch=3; loss=0.5;
    precision_at_10=0.1234;``, which ``precision_at_10=([0-9.eE+-]+);`` reads.
    """
    tree = Tree(root)
    earlier = tree.manifest()
    try:
        with Stop() as stop, warnings.catch_warnings():
            warnings.simplefilter("always", PenchantWarning)
            warnings.showwarning = _show_warning
            _train(tree, stop)
    except (Exception, KeyboardInterrupt) as error:
        message = _reason(error)
        if earlier is not None and tree.manifest() == earlier:
            message += f"\n({tree.model} holds the model of an earlier run, as it was)"
        tree.fail(message)
        say(f"failed: {message}")
        return 1
    return 0


def _show_warning(
    message: Warning | str, category: type[Warning], *_: object, **__: object
) -> None:
    if issubclass(category, PenchantWarning):
        say(f"note: {message}")


def _reason(error: BaseException) -> str:
    """Return what went wrong, the sentence first; where it is a fault of ours, where it is too."""
    if isinstance(error, PenchantError | OSError):
        return hide(str(error) or repr(error))
    text = f"unexpected {type(error).__name__}: {error}\n{traceback.format_exc()}"
    return hide(text)


def _train(tree: Tree, stop: Stop) -> None:
    tree.clear()
    tree.check()
    settings = read_settings(tree.config("hyperparameters"))
    model = settings.model
    say(f"penchant {__version__}: {model!r}; {_epochs(model)}")
    training, held_out, testing = _data(tree, settings)
    watched = held_out if held_out is not None else testing
    callbacks: list[Callback] = []
    if settings.patience is not None:
        callbacks.append(_stopping(settings, held_out))
    report = EpochReport(
        stop, None if watched is None else HeldOut(watched, settings.metrics), settings.every
    )
    callbacks.append(report)
    start = perf_counter()
    model.fit(training, progress=False, callbacks=callbacks)
    say(f"trained in {perf_counter() - start:.1f} s{' (told to stop)' if stop.asked else ''}")
    final: dict[str, float] = {}
    if testing is not None and (testing is not watched or settings.patience is not None):
        test = HeldOut(testing, settings.metrics)
        test.prepare(model)
        final = test.values(model)
        say(f"test; {metric_line(final, 'test_')}")
    _write(tree, settings, training, {"stopped": stop.asked, "test": final})


def _epochs(model: Any) -> str:
    return f"epochs={model.get_params()['epochs']}" if "epochs" in model.get_params() else ""


def _stopping(settings: Settings, held_out: Interactions | None) -> Callback:
    from penchant.evaluation import EarlyStopping

    if held_out is None:
        raise ParameterError(
            "patience needs held-out data to go by: a channel 'validation', or validation=0.1"
        )
    return EarlyStopping(
        settings.metrics[0], patience=settings.patience or 1, every=settings.every, test=held_out
    )


def _data(
    tree: Tree, settings: Settings
) -> tuple[Interactions, Interactions | None, Interactions | None]:
    """Return what to train on, what to measure every epoch on, and what to test on."""
    from penchant.data import split

    channels = tree.channels()
    plan = Plan(settings.columns, settings.header, settings.delimiter)
    if settings.url is not None:
        if "training" in channels:
            raise ParameterError("there are a channel 'training' and a data_url: give one of them")
        training = _from_database(tree, channels, settings)
    elif "training" not in channels:
        found = f"; there are {', '.join(channels)}" if channels else ""
        raise MissingFileError(
            f"the channel 'training' is missing{found}, and there is no data_url"
        )
    else:
        training = _channel(tree, "training", channels, plan, settings)
    held_out, testing = (
        _channel(tree, name, channels, plan, settings) if name in channels else None
        for name in ("validation", "testing")
    )
    if settings.validation and held_out is not None:
        raise ParameterError("there are a channel 'validation' and a share of it: give one of them")
    if settings.validation:
        training, held_out = split.random(
            training, test_size=settings.validation, random_state=settings.seed
        )
        say(f"held out {len(held_out):,} of the training rows for validation")
    return training, held_out, testing


def _channel(
    tree: Tree, name: str, channels: dict[str, dict[str, Any]], plan: Plan, settings: Settings
) -> Interactions:
    from penchant.data.interactions import Interactions

    plan = dataclasses.replace(plan, ids_only=name != "training")
    table, columns = read_channel(tree.data / name, plan, channels[name])
    said: dict[str, Any] = {**columns, **settings.reading}
    if name == "training":
        said |= _features(tree, channels, columns, settings.delimiter)
    data = Interactions.from_frame(table, backend="pandas", **said)
    _tell(name, data)
    return data


def _features(
    tree: Tree,
    channels: dict[str, dict[str, Any]],
    columns: Mapping[str, str],
    delimiter: str | None,
) -> dict[str, Any]:
    """Return the tables of items and users, where there are such channels."""
    found = {}
    for part in ("item", "user"):
        channel = f"{part}s"
        if channel in channels:
            folder, settings = tree.data / channel, channels[channel]
            table = read_features(folder, columns[part], settings, delimiter)
            say(f"{channel}: {table.num_rows:,} rows, {', '.join(table.column_names):.200}")
            found[f"{part}_features"] = table
    return found


def _from_database(
    tree: Tree, channels: dict[str, dict[str, Any]], settings: Settings
) -> Interactions:
    from penchant.data.interactions import Interactions

    columns = {part: settings.columns.get(part, DEFAULTS[part]) for part in ("user", "item")}
    columns |= settings.columns
    query = settings.query or select(str(settings.table), list(columns.values()))
    with ExitStack() as stack:
        connection = stack.enter_context(opened(str(settings.url), settings.secret))
        said: dict[str, Any] = {**columns, **settings.reading}
        said |= _features(tree, channels, columns, settings.delimiter)
        data = Interactions.from_sql(connection, query, **said)
    _tell("training", data)
    return data


def _tell(name: str, data: Interactions) -> None:
    say(f"{name}: {len(data):,} events, {data.n_users:,} users, {data.n_items:,} items")


def _write(tree: Tree, settings: Settings, training: Interactions, done: dict[str, Any]) -> None:
    """Save the model and a summary; then, on a machine of one's own, what SageMaker would make."""
    from penchant.data.frames import to_arrow
    from penchant.storage.archive import pack
    from penchant.storage.files import replaced_file

    model = settings.model
    tree.model.mkdir(parents=True, exist_ok=True)
    _check_empty(tree.model)
    model.save(tree.model)
    history = to_arrow(model.history_)[0].to_pylist()
    summary = {
        "model": type(model).__name__,
        "version": __version__,
        "events": len(training),
        "users": training.n_users,
        "items": training.n_items,
        "epochs": len(history),
        "last_epoch": history[-1] if history else {},
        **done,
    }
    tree.summary.parent.mkdir(parents=True, exist_ok=True)
    if "TRAINING_JOB_ARN" not in os.environ:  # which SageMaker sets, and packs the model itself
        pack(tree.model, tree.archive)
    with replaced_file(tree.summary) as file:
        file.write(json.dumps(summary, indent=2, default=str).encode())
    say(f"saved {tree.model}")


def _check_empty(folder: Path) -> None:
    from penchant.storage.manifest import MANIFEST

    if not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise DataError(f"{folder} holds files and no model: it must be empty")
