"""JSON Lines in, a line of answer for each of them out, errors too: as `jobs.Transformer` does."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.batch.jobs import check_paths, opened, report_of
from penchant.batch.models import loaded
from penchant.batch.report import Report
from penchant.batch.requests import cut, from_lines
from penchant.batch.runner import Piece, run
from penchant.batch.sources import Block, Source
from penchant.models import Recommender
from penchant.serving import Requests, Service
from penchant.serving.decode import DEFAULT_COUNT, MAX_LINE_BYTES
from penchant.serving.encode import to_json_lines
from penchant.serving.json_lines import split_lines
from penchant.serving.plain_requests import BadLine

__all__ = ["answer_lines"]


def answer_lines(
    model: Recommender | os.PathLike[str] | str,
    source: os.PathLike[str] | str,
    out: os.PathLike[str] | str,
) -> Report:
    r"""Recommend to every user in a file, a line for each line.

    As `penchant.batch.transform` does, in bounded memory and able to be continued; only the form
    of the output is another, and a file without any request has one too.

    Parameters
    ----------
    model : Recommender or path
    source : path
        JSON Lines such as ``{"user_id": "17850", "k": 5}``, whatever its suffix.
    out : path
        Of the answers, a line for each line in order, but for blank ones: ``{"user_id", "items":
        [{"item_id", "score"}, ...]}``, or ``{"error": "..."}`` for a line that is no request.

    Raises
    ------
    ParameterError
        A file would be written over another.
    DataError
        The source cannot be read.
    ArtifactError
        The model cannot be loaded or the output not written; what was at ``out`` is intact.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from pathlib import Path
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     users, out = Path(folder, "users.jsonl"), Path(folder, "out.jsonl")
    ...     _ = users.write_text('{"k": 1}\n{"user_id": 1, "k": 1}')
    ...     report = answer_lines(pc.Popularity().fit(data), users, out)
    ...     print(out.read_text(), end="")
    {"error": "line 1: user_id is missing"}
    {"user_id": 1, "items": [{"item_id": "jam", "score": 2}]}
    """
    began = time.perf_counter()
    users, target = os.fspath(source), os.fspath(out)
    read = loaded(model)
    check_paths(users, target, None, read.folder)
    given = Source(users, MAX_LINE_BYTES, read.model, lines=True)
    with opened(target, given, read, {"job": "answer_lines"}) as work:
        run(_Job(read.model), given, work, num_threads=None, progress=False)
        report = report_of("answer_lines", given, target, work, read, None, began)
        work.commit()
    return report


class _Part(NamedTuple):
    """Requests, the numbers of their lines, and the lines between them that are none."""

    requests: Requests
    numbers: NDArray[np.int64]
    bad: list[BadLine]


class _Job:
    """The job: lines to lines."""

    def __init__(self, model: Recommender) -> None:
        self._model = model

    def parts(self, block: Block) -> tuple[list[_Part], list[BadLine]]:
        """Decode a block; a part asks for so many records, or is one request."""
        lines = split_lines(block.data, block.first)
        asked = from_lines(lines, DEFAULT_COUNT)
        numbers = lines.numbers
        if asked.bad:  # a search for nothing in a long list takes its time too
            numbers = np.setdiff1d(numbers, [line.number for line in asked.bad])
        parts: list[_Part] = []
        start, bad = 0, asked.bad
        for some in cut(asked.requests):
            end = start + len(some)
            last = numbers[end] if end < len(numbers) else np.inf
            before = [line for line in bad if line.number < last]
            bad = bad[len(before) :]
            parts.append(_Part(some, numbers[start:end], before))
            start = end
        return parts or [_Part(asked.requests, numbers, bad)], []

    def answer(self, part: _Part, num_threads: int | None) -> Piece:
        """Recommend, and put the errors where their lines are."""
        records = Service(self._model, num_threads=num_threads).answer(part.requests)
        output = to_json_lines(records)
        if part.bad:
            numbers = np.append(part.numbers, [line.number for line in part.bad])
            lines = [*output.split(b"\n")[:-1], *map(_error, part.bad)]
            output = b"".join(lines[place] + b"\n" for place in np.argsort(numbers).tolist())
        counts = Counter(requests=len(part.requests), rows=len(records), unknown=records.unknown)
        return Piece(output, counts, part.bad)


def _error(line: BadLine) -> bytes:
    text = f"line {line.number}: {line.error}"
    return json.dumps({"error": text}, ensure_ascii=False).encode("utf-8", "backslashreplace")
