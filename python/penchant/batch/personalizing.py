"""Amazon Personalize's batch jobs: JSON Lines in, one line of answer for each."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from penchant.batch.answers import ANSWERS, Question, check_filter
from penchant.batch.jobs import check_paths, opened, report_of
from penchant.batch.models import loaded
from penchant.batch.report import Report
from penchant.batch.runner import Piece, run
from penchant.batch.sources import Block, Source
from penchant.errors import DataError, ParameterError
from penchant.retrieval.expression_parser import parse_personalize, parse_where
from penchant.retrieval.tokens import tokenize
from penchant.serving.json_lines import split_lines
from penchant.serving.plain_requests import BadLine
from penchant.serving.protocols.personalize_lines import (
    MAX_LINE_BYTES,
    MAX_RESULTS,
    BatchLines,
    Kind,
    decode_lines,
    encode_lines,
)

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["rank", "recommend", "related", "segment"]

_PART_LINES = 2048
_PART_RECORDS = 1_000_000
_KEY = {"recommend": "userId", "rank": "userId and itemList", "related": "itemId"}

Path_ = os.PathLike[str] | str


def recommend(
    model: Recommender | Path_,
    source: Path_,
    out: Path_ | None = None,
    *,
    num_results: int = 25,
    where: str | None = None,
    exclude_seen: bool = True,
    num_threads: int | None = None,
    progress: bool = False,
) -> Report:
    """Recommend items to users as a batch inference job of Amazon Personalize does.

    ``{"userId": "4638"}`` is answered by ``{"input": {"userId": "4638"}, "output":
    {"recommendedItems": [...], "scores": [...]}, "error": null}``: ids as text, scores the softmax
    over the whole catalogue. A line that cannot be answered has ``"output": null`` and the reason.
    The output appears when it is complete, and a run that was cut short continues; see
    `transform`.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the artifact of one. Only jobs with an artifact can be continued.
    source : path
        JSON Lines with ``userId`` and, perhaps, ``numResults`` and ``filterValues`` (what ``$NAME``
        of the filter stands for); ``.gz`` may be at the end of its name; ``"-"`` is stdin. Users
        that the model does not know get the most popular items.
    out : path, optional
        A file, or a folder to put it in; default: `source` + ".out", beside it.
    num_results : int, default 25
        For lines that do not say how many.
    where : str, optional
        Filter: an expression of Amazon Personalize, or as `Recommender.recommend` takes it.
    exclude_seen : bool, default True
        Leave out the items of the user's own training data.
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
        `num_results` or the filter is wrong, or a file would be written over another.
    DataError
        The source cannot be read, or no line of it is a request of this kind.
    UnsupportedError
        The model has no softmax.
    ArtifactError
        The model cannot be loaded or the output not written; what was at ``out`` is intact.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from pathlib import Path
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> model = pc.Popularity().fit(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     users = Path(folder, "users.jsonl")
    ...     _ = users.write_text('{"userId": "x"}')
    ...     report = pc.batch.recommend(model, users, num_results=1)
    ...     print(Path(report.out).read_text(), end="")
    {"input":{"userId": "x"},"output":{"recommendedItems":["tea"],"scores":[0.5]},"error":null}
    """
    options = {"num_results": num_results, "where": where, "exclude_seen": exclude_seen}
    return _run("recommend", model, source, out, options, num_threads, progress)


def rank(
    model: Recommender | Path_,
    source: Path_,
    out: Path_ | None = None,
    *,
    where: str | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> Report:
    """Put lists of items in each user's order, as a ranking job of Amazon Personalize does.

    ``{"userId": "891", "itemList": ["27", "886"]}`` is answered by the items in their new order,
    with scores that are the softmax over the list. Items that the model does not know come last,
    with a score of 0; a list without any that it knows is an error. See `recommend`.

    Parameters
    ----------
    model, source, out, where, num_threads, progress
        As in `recommend`.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError, DataError, UnsupportedError, ArtifactError
        As in `recommend`.
    """
    options = {"num_results": 1, "where": where, "exclude_seen": False}
    return _run("rank", model, source, out, options, num_threads, progress)


def related(
    model: Recommender | Path_,
    source: Path_,
    out: Path_ | None = None,
    *,
    num_results: int = 25,
    where: str | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> Report:
    """Find items like items, as a related-items job of Amazon Personalize does.

    ``{"itemId": "105"}`` is answered by ``{"recommendedItems": [...]}``, most alike first; see
    `Recommender.similar_items`. An item that the model does not know is an error.

    Parameters
    ----------
    model, source, out, num_results, where, num_threads, progress
        As in `recommend`; lines have ``itemId``.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError, DataError, UnsupportedError, ArtifactError
        As in `recommend`; the model cannot compare items.
    """
    options = {"num_results": num_results, "where": where, "exclude_seen": False}
    return _run("related", model, source, out, options, num_threads, progress)


def segment(
    model: Recommender | Path_,
    source: Path_,
    out: Path_ | None = None,
    *,
    num_results: int = 100,
    where: str | None = None,
    exclude_seen: bool = True,
    num_threads: int | None = None,
    progress: bool = False,
) -> Report:
    """Find the users who would want items, as a batch segment job of Amazon Personalize does.

    ``{"itemId": "105"}`` is answered by ``{"recommendedUsers": [...]}``, keenest first; see
    `Recommender.recommend_users`. An item that the model does not know is an error.

    Parameters
    ----------
    model, source, out, num_threads, progress
        As in `recommend`; lines have ``itemId``.
    num_results : int, default 100
        For lines that do not say how many.
    where : str, optional
        Filter of users, such as ``INCLUDE UserID WHERE Users.AGE >= 18``.
    exclude_seen : bool, default True
        Leave out users who have the item.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError, DataError, ArtifactError
        As in `recommend`.
    """
    options = {"num_results": num_results, "where": where, "exclude_seen": exclude_seen}
    return _run("segment", model, source, out, options, num_threads, progress)


def _run(
    kind: Kind,
    model: Recommender | Path_,
    source: Path_,
    out: Path_ | None,
    options: dict[str, Any],
    num_threads: int | None,
    progress: bool,
) -> Report:
    began = time.perf_counter()
    results = options["num_results"]
    if type(results) is not int or not 1 <= results <= MAX_RESULTS:
        raise ParameterError(f"num_results must be from 1 to {MAX_RESULTS}, got {results!r:.50}")
    users, target = os.fspath(source), _target(os.fspath(source), out)
    folder = Path(model) if isinstance(model, str | os.PathLike) else None
    check_paths(users, target, None, folder)
    read = loaded(model)
    where = options["where"]
    if where is not None:
        _check_expression(kind, read.model, where)
    given = Source(users, MAX_LINE_BYTES, read.model, lines=True)
    with opened(target, given, read, {"job": kind, **options}) as work:
        job = _Job(kind, Question(read.model, where, options["exclude_seen"], num_threads), results)
        run(job, given, work, num_threads=num_threads, progress=progress)
        report = report_of(kind, given, target, work, read, None, began)
        if work.counts["foreign"] and not report.requests:
            raise DataError(
                f"no line of {users!r} is a request to {kind}, with {_KEY.get(kind, 'itemId')} "
                f"({report.first_errors[0]}): nothing was written"
            )
        work.commit()
    return report


def _target(source: str, out: Path_ | None) -> str:
    if out is None:
        if source == "-":
            raise ParameterError("out is missing: a name cannot be made of stdin")
        return f"{source}.out"
    target = os.fspath(out)
    if target != "-" and (target.endswith("/") or Path(target).is_dir()):
        Path(target).mkdir(parents=True, exist_ok=True)
        return str(Path(target, ("stdin" if source == "-" else Path(source).name) + ".out"))
    return target


def _check_expression(kind: Kind, model: Recommender, where: str) -> None:
    """Find out at once what is wrong with a filter; one with ``$NAMES`` only as far as it goes."""
    if any(token.kind == "parameter" for token in tokenize(where)):
        statement = where.lstrip()[:7].lower() in ("include", "exclude")
        parse_personalize(where) if statement else parse_where(where)
    else:
        check_filter(kind, model, where, None)


class _Job:
    """The job: lines to answers of the model, encoded."""

    def __init__(self, kind: Kind, question: Question, num_results: int) -> None:
        self._kind = kind
        self._question = question
        self._num_results = num_results

    def parts(self, block: Block) -> tuple[list[BatchLines], list[BadLine]]:
        """Decode a block; a part asks for so many results, or is one line."""
        lines = decode_lines(split_lines(block.data, block.first), self._kind, self._num_results)
        model = self._question.model
        most = len(model.users_ if self._kind == "segment" else model.items_)
        sizes = np.minimum(lines.wanted, max(most, 1)) + np.diff(lines.starts)
        part = (np.cumsum(sizes) - 1) // _PART_RECORDS
        cuts = np.flatnonzero(np.diff(part, prepend=-1))
        starts = np.union1d(cuts, np.arange(0, len(lines), _PART_LINES)).tolist()
        ends = [*starts[1:], len(lines)] if starts else []
        return [lines.part(a, b) for a, b in zip(starts, ends, strict=True)], []

    def answer(self, part: BatchLines, num_threads: int | None) -> Piece:
        """Answer some lines, and encode it."""
        question = self._question._replace(num_threads=num_threads)
        found = ANSWERS[self._kind](question, part)
        users = self._kind == "segment"
        output = encode_lines(part, users, found.starts, found.ids, found.scores, found.errors)
        failed = found.errors.is_valid()
        places = np.flatnonzero(np.asarray(failed))
        bad = [BadLine(int(part.numbers[i]), found.errors[i].as_py(), "") for i in places.tolist()]
        counts = Counter(
            requests=len(part) - len(places),
            rows=int(found.starts[-1]),
            unknown=found.unknown,
            foreign=len(part) - part.errors.null_count,
        )
        return Piece(output, counts, bad)
