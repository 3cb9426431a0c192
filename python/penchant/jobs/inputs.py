"""The inputs of a job as channels: files, frames and interactions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penchant.data.interactions import Interactions
from penchant.errors import MissingFileError, ParameterError, closest

__all__ = ["write_channels"]

_CHANNELS = ("training", "validation", "testing")
_PARTS = ("user", "item", "value", "timestamp")


def write_channels(data: Path, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Put every input into the folder of its channel.

    Parameters
    ----------
    data : Path
        The folder of the channels.
    inputs : mapping
        Paths of files or folders (linked to where they lie on the same file system, copied
        elsewhere), frames, or `Interactions`.

    Returns
    -------
    dict of str to str
        Hyperparameters that name the columns, where `Interactions` tell them.

    Raises
    ------
    ParameterError
        A channel of another name, or an input that is none.
    MissingFileError
        There is no file at a path.
    """
    if not isinstance(inputs, Mapping):
        raise ParameterError('inputs must be a mapping such as {"training": "sales.parquet"}')
    said: dict[str, str] = {}
    for name, source in inputs.items():
        if name not in _CHANNELS:
            raise ParameterError(
                f"there is no use for an input {name!r:.80}{closest(name, _CHANNELS)}; inputs are "
                f"{', '.join(_CHANNELS)}"
            )
        folder = data / name
        folder.mkdir(parents=True)
        if isinstance(source, str | os.PathLike):
            _link(Path(source).expanduser(), folder)
        elif isinstance(source, Interactions):
            for part, column in _named(source).items():
                said.setdefault(f"{part}_column", column)
            _write(source.to_frame(), folder)
        else:
            _write(source, folder)
    return said


def _named(data: Interactions) -> dict[str, str]:
    return {part: name for part, name in data.columns if part in _PARTS}


def _write(frame: Any, folder: Path) -> None:
    import pyarrow.parquet as pq

    from penchant.data.frames import to_arrow

    table, _ = to_arrow(frame)
    pq.write_table(table, folder / "part-0.parquet")


def _link(source: Path, folder: Path) -> None:
    if source.is_file():
        _link_file(source.resolve(), folder / source.name)
        return
    if not source.is_dir():
        raise MissingFileError(f"no such file or folder: {source} (in {Path.cwd()})")
    # Links in a folder stay links: the job refuses those that lead out of it.
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True, copy_function=_link_file)


def _link_file(source: Any, target: Any, **_: Any) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
