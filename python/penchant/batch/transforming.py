"""`transform`: a file of users in, a file of recommendations out."""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from penchant.batch.formats import csv_header, encode, output_format, to_parquet
from penchant.batch.jobs import check_paths, opened, report_of
from penchant.batch.models import loaded
from penchant.batch.report import Report
from penchant.batch.requests import MAX_TOP_N, cut, from_lines, from_table
from penchant.batch.runner import Piece, run
from penchant.batch.sources import Block, Source
from penchant.errors import DataError, ParameterError
from penchant.serving import Requests, Service
from penchant.serving.decode import DEFAULT_COUNT, MAX_LINE_BYTES
from penchant.serving.json_lines import split_lines
from penchant.serving.plain_requests import BadLine

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["transform"]


def transform(
    model: Recommender | os.PathLike[str] | str,
    source: os.PathLike[str] | str,
    out: os.PathLike[str] | str,
    *,
    top_n: int = DEFAULT_COUNT,
    header: bool = False,
    errors: os.PathLike[str] | str | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> Report:
    """Recommend to every user in a file, in bounded memory.

    ``out`` appears when it is complete. Until then it grows in a hidden folder beside it; a run
    that was cut short, even by ``kill -9``, goes on from there when the same call is made again.
    What is new about the input, the model or the options begins afresh, with a notice.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the artifact of one. Only jobs with an artifact can be continued.
    source : path
        Users, by suffix as JSON Lines (``{"user_id": "17850", "k": 5}``), CSV or Parquet (with
        columns ``user_id``, or the user column of the training data, and perhaps ``k``, or
        ``top_n``, which means the same); JSON Lines and CSV may be compressed as ``.gz``; ``"-"``
        is stdin. Users may repeat: each line is answered. Users the model does not know get the
        most popular items.
    out : path
        ``user_id,item_id,score`` in the order of the input and best first, by suffix as CSV, JSON
        Lines or Parquet; ``"-"`` is stdout.
    top_n : int, default 10
        For requests that do not say how many.
    header : bool, default False
        Begin a CSV file with a line of names.
    errors : path, optional
        Where lines that are no requests go, as JSON Lines. Default: ``out`` + ".errors.jsonl".
    num_threads : int, optional
        Default: the cores of this process.
    progress : bool, default False
        Show a bar on stderr.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError
        `top_n` is out of range, a suffix is not known, or a file would be written over another.
    DataError
        The source cannot be read, or no line of it is a request.
    ArtifactError
        The model cannot be loaded or the output not written; what was at ``out`` is intact.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from pathlib import Path
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> model = pc.Popularity().fit(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     users, out = Path(folder, "users.jsonl"), Path(folder, "out.csv")
    ...     _ = users.write_text('{"user_id": 1}')
    ...     report = pc.batch.transform(model, users, out)
    ...     print(out.read_text(), report, sep="")
    1,jam,2
    1,milk,1
    2 recommendations for 1 request
    """
    if type(top_n) is not int or not 1 <= top_n <= MAX_TOP_N:
        raise ParameterError(f"top_n must be from 1 to {MAX_TOP_N}, got {top_n}")
    began = time.perf_counter()
    users, target = os.fspath(source), os.fspath(out)
    own = errors is None and target != "-"
    side = Path(f"{target}.errors.jsonl") if own else None if errors is None else Path(errors)
    form = output_format(target)
    folder = Path(model) if isinstance(model, str | os.PathLike) else None
    check_paths(users, target, side, folder)
    read = loaded(model)
    given = Source(users, MAX_LINE_BYTES, read.model)
    options = {"job": "transform", "top_n": top_n, "format": form, "header": header}
    with opened(target, given, read, options) as work:
        if header and not work.continued and form.startswith("csv"):
            work.output.write(csv_header(form))
        job = _Transform(read.model, form, top_n)
        run(job, given, work, num_threads=num_threads, progress=progress)
        report = report_of("transform", given, target, work, read, side, began)
        work.commit_errors(side, own=own)
        if report.failed and not report.requests:
            first = report.first_errors[0]
            raise DataError(f"no line of {users!r} is a request ({first}): nothing was written")
        parquet = form == "parquet"
        work.commit(partial(to_parquet, read.model, work.counts) if parquet else None)
    return report


class _Transform:
    """The job: requests to the model's answers, encoded."""

    def __init__(self, model: Recommender, form: str, top_n: int) -> None:
        self._model = model
        self._form = form
        self._top_n = top_n

    def parts(self, block: Block) -> tuple[list[Requests], list[BadLine]]:
        """Decode a block; a part asks for so many records, or is one request."""
        if isinstance(block.data, bytes):
            asked = from_lines(split_lines(block.data, block.first), self._top_n)
        else:
            asked = from_table(block.data, block.row_numbers(), self._top_n)
        return cut(asked.requests), asked.bad

    def answer(self, part: Requests, num_threads: int | None) -> Piece:
        """Recommend, and encode it."""
        records = Service(self._model, num_threads=num_threads).answer(part)
        counts = Counter(requests=len(part), rows=len(records), unknown=records.unknown)
        counts["text_users"] = int(np.count_nonzero(~np.asarray(records.users.literal)))
        return Piece(encode(self._form, records), counts)
