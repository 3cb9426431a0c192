"""Runs a job: blocks are read, cut into parts, answered in parallel, and written in order."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, NamedTuple, Protocol

from penchant.batch.sources import Block, Source
from penchant.batch.work import Place, Stream, Work
from penchant.retrieval.exact import worker_count
from penchant.serving.plain_requests import BadLine

__all__ = ["Job", "Piece", "run"]

_PREFETCHED = 2  # parts that wait for a worker, or to be written, beside those being answered


class Piece(NamedTuple):
    """What comes of a part of a block.

    Attributes
    ----------
    output : bytes
    counts : Counter
        What the report adds up.
    bad : list of BadLine
        Lines that turned out to have no answer.
    """

    output: bytes
    counts: Counter[str]
    bad: list[BadLine] = []  # noqa: RUF012 - never changed


class Job(Protocol):
    """What a job does with a block."""

    def parts(self, block: Block) -> tuple[list[Any], list[BadLine]]:
        """Decode a block, the same each time, into parts that can be answered on their own."""

    def answer(self, part: Any, num_threads: int | None) -> Piece:
        """Answer a part; called from several threads at once."""


class _Task(NamedTuple):
    part: Any
    bad: list[BadLine]
    next: Place
    size: int


def run(
    job: Job,
    source: Source,
    work: Work | Stream,
    *,
    num_threads: int | None,
    progress: bool,
) -> None:
    """Answer all that is not answered yet.

    Parameters
    ----------
    job : Job
    source : Source
    work : Work or Stream
        Where the output goes, and how far an earlier run has come.
    num_threads : int, optional
        Parts answered at a time. Default: as many as the machine has cores for this process.
    progress : bool
        Show a bar on stderr.
    """
    workers = worker_count(num_threads)
    waiting: deque[tuple[_Task, Future[Piece] | None]] = deque()

    def write() -> None:
        task, answer = waiting.popleft()
        piece = Piece(b"", Counter()) if answer is None else answer.result()
        work.output.write(piece.output)
        bad = [*piece.bad, *task.bad]
        _set_aside(bad, work.errors)
        work.advance(task.next, piece.counts + Counter(bad=len(bad)))
        bar.update(task.size)

    with _bar(source, progress) as bar, ThreadPoolExecutor(workers) as pool:
        try:
            warm = False
            for task in _tasks(job, source, work.place, bar):
                if task.part is None:
                    waiting.append((task, None))
                elif not warm:
                    # Indexes are made at the first answer: once, with all threads.
                    answer: Future[Piece] = Future()
                    answer.set_result(job.answer(task.part, num_threads))
                    waiting.append((task, answer))
                    warm = True
                else:
                    threads = 1 if workers > 1 else num_threads
                    waiting.append((task, pool.submit(job.answer, task.part, threads)))
                while len(waiting) > workers + _PREFETCHED:
                    write()
            while waiting:
                write()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tasks(job: Job, source: Source, done: Place, bar: Any) -> Iterator[_Task]:
    """Yield what is left to do; the last part of a block carries its bad lines."""
    for number, block in enumerate(source.blocks()):
        if number < done.block:
            bar.update(block.size)
            bar.initial = bar.n
            continue
        parts, bad = job.parts(block)
        bad += [BadLine(row, "more or fewer fields than columns", text) for row, text in block.odd]
        bad.sort(key=lambda line: line.number)
        first = done.part if number == done.block else 0
        for place, part in enumerate(parts[first:], first):
            last = place + 1 == len(parts)
            yield _Task(
                part,
                bad if last else [],
                Place(number + 1) if last else Place(number, place + 1),
                block.size if last else 0,
            )
        if not parts:
            yield _Task(None, bad, Place(number + 1), block.size)


def _set_aside(bad: list[BadLine], errors: IO[bytes]) -> None:
    for line in bad:
        record = {"line": line.number, "error": line.error, "input": line.line}
        errors.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


@contextlib.contextmanager
def _bar(source: Source, wanted: bool) -> Iterator[Any]:
    from tqdm.std import tqdm

    bar = tqdm(
        total=source.total if wanted else None,
        unit=source.unit,
        unit_scale=True,
        dynamic_ncols=True,
        leave=False,
        disable=not wanted,
        file=sys.stderr,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
    )
    try:
        yield bar
    finally:
        bar.close()
