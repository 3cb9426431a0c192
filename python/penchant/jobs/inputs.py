"""The inputs of a job as channels: files, frames and interactions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from penchant.container.tree import CHANNELS
from penchant.data import arrow
from penchant.data.frames import to_arrow
from penchant.data.interactions import Interactions
from penchant.errors import DataError, MissingFileError, ParameterError, closest

__all__ = ["write_channels"]

_TABLES = ("items", "users")
_FICLONE = 0x40049409  # of linux/fs.h: a copy that shares its blocks until one of both changes
_PARTS = ("user", "item", "value", "timestamp")


def write_channels(
    data: Path, inputs: Mapping[str, Any], hyperparameters: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Put every input into the folder of its channel.

    Parameters
    ----------
    data : Path
        The folder of the channels.
    inputs : mapping
        Paths of files or folders, frames, or `Interactions`, whose tables of items and users go
        with them. All of them are copied: what becomes of a file later is nothing to the job.
    hyperparameters : mapping of str to str, optional
        That were given; those that name columns stand.

    Returns
    -------
    dict of str to str
        Hyperparameters that name the columns, where they were given or `Interactions` tell them.
        As one is for all channels, columns of `Interactions` that have other names than the first
        (training, if that is one) are renamed.

    Raises
    ------
    ParameterError
        A channel of another name, or an input that is none.
    MissingFileError
        There is no file at a path.
    DataError
        What is there is no plain file.
    """
    if not isinstance(inputs, Mapping):
        raise ParameterError('inputs must be a mapping such as {"training": "sales.parquet"}')
    given = hyperparameters or {}
    said = {name: given[name] for part in _PARTS if (name := f"{part}_column") in given}
    # The model's columns are called as those of what it learns from.
    for name, source in sorted(inputs.items(), key=lambda pair: pair[0] != "training"):
        if name not in CHANNELS:
            raise ParameterError(
                f"there is no use for an input {name!r:.80}{closest(name, CHANNELS)}; inputs are "
                f"{', '.join(CHANNELS)}"
            )
        folder = data / name
        folder.mkdir(parents=True)
        if isinstance(source, str | os.PathLike):
            _copy(Path(source).expanduser(), folder)
        elif isinstance(source, Interactions):
            if name in _TABLES:
                raise ParameterError(f"inputs[{name!r}] is a table with a row for each, not events")
            if name == "training" or not isinstance(inputs.get("training"), Interactions):
                _say(source, said)
            _write(_renamed(_with_moments(source), source, said), folder)
            if name == "training":
                _write_features(source, data, inputs, said)
        else:
            _write(_table(source), folder)
    return said


def _say(data: Interactions, said: dict[str, str]) -> None:
    """Add the names of columns that no other input has said, unless they mean something else."""
    for part, name in data.columns:
        if part in _PARTS and name not in said.values():
            said.setdefault(f"{part}_column", name)
    for part in ("user", "item"):
        if f"{part}_column" not in said:
            raise ParameterError(
                f"{part}_column is missing: {getattr(data.columns, part)!r}, the {part} column of "
                "the interactions, is given as another column's name"
            )


def _renamed(table: pa.Table, data: Interactions, said: Mapping[str, str]) -> pa.Table:
    """Return the columns that somebody named, as they are called in the job."""
    names = {
        name: said[f"{part}_column"] for part, name in data.columns if f"{part}_column" in said
    }
    return table.select(list(names)).rename_columns(list(names.values()))


def _write_features(
    training: Interactions, data: Path, inputs: Mapping[str, Any], said: Mapping[str, str]
) -> None:
    """Give the job the tables of items and users that the events bring along."""
    pairs = (
        ("items", said["item_column"], training.items, training.item_features),
        ("users", said["user_column"], training.users, training.user_features),
    )
    for channel, name, ids, table in pairs:
        if table is not None and channel not in inputs:
            (data / channel).mkdir()
            _write(table.add_column(0, name, ids.to_arrow()), data / channel)


def _with_moments(data: Interactions) -> pa.Table:
    """Return the events, with times where the caller had numbers: files have no unit for those."""
    table = _table(data.to_frame())
    name = data.columns.timestamp
    if name is not None and arrow.holds_numbers(table[name].type):
        times = data.events["timestamp"].cast(pa.timestamp("us", "UTC"))
        table = table.set_column(table.column_names.index(name), name, times)
    return table


def _table(frame: Any) -> pa.Table:
    return to_arrow(frame)[0]


def _write(table: pa.Table, folder: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "part-0.parquet")


def _copy(source: Path, folder: Path) -> None:
    if source.is_dir():
        # Links in a folder stay links: the job refuses those that lead out of it.
        shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True, copy_function=_copy_file)
        return
    if not source.exists():
        raise MissingFileError(f"no such file or folder: {source} (in {Path.cwd()})")
    # A job passes over names that begin so, as those of hidden files: this one was asked for.
    _copy_file(source, folder / (source.name.lstrip("._") or "part-0"))


def _copy_file(source: Any, target: Any, **_: Any) -> None:
    """Copy a file, which a second name for it would not do: it may be written anew in place."""
    if not Path(source).is_file():
        raise DataError(f"{source} is not a plain file")
    with open(source, "rb") as given, open(target, "xb") as copy:
        with contextlib.suppress(OSError):  # another file system, or one that cannot do it
            fcntl.ioctl(copy, _FICLONE, given.fileno())
            return
        shutil.copyfileobj(given, copy, 1 << 20)
