"""Batch transform with a job's model: a file of requests in, a file of answers out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from penchant.errors import MissingFileError, ParameterError

if TYPE_CHECKING:
    from penchant.serving import Service

__all__ = ["Transformer"]

_LINES = 4096  # held in memory at a time
_PART_RECORDS = 1_000_000
_MAX_TOP_N = 100_000


class Transformer:
    """Answers files of requests with a model, as SageMaker's batch transform does.

    Parameters
    ----------
    artifact : path
        Of the model.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from pathlib import Path
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> with tempfile.TemporaryDirectory() as name:
    ...     pc.Popularity().fit(data).save(Path(name, "artifact"))
    ...     _ = Path(name, "in.jsonl").write_text('{"user_id": 1, "top_n": 1}')
    ...     out = pc.jobs.Transformer(Path(name, "artifact")).transform(Path(name, "in.jsonl"))
    ...     print(out.name, out.read_text(), end="")
    in.jsonl.out {"user_id": 1, "items": [{"item_id": "jam", "score": 2}]}
    """

    def __init__(self, artifact: os.PathLike[str] | str) -> None:
        self.artifact = Path(artifact)

    def transform(
        self, source: os.PathLike[str] | str, out: os.PathLike[str] | str | None = None
    ) -> Path:
        """Answer a file of JSON Lines such as ``{"user_id": "17850", "top_n": 5}``.

        Parameters
        ----------
        source : path
        out : path, optional
            Default: `source` with ``.out`` behind it. It appears when it is complete.

        Returns
        -------
        Path
            Of the answers, a line for each line in order: ``{"user_id", "items": [{"item_id",
            "score"}, ...]}``, or ``{"error": "..."}`` for a line that is no request.

        Raises
        ------
        MissingFileError
            There is no `source`.
        ParameterError
            `out` is `source`.
        ArtifactError
            The model cannot be loaded, or the answers not written.
        """
        from penchant.serving import Service
        from penchant.storage.files import replaced_file

        path = Path(source)
        target = Path(f"{path}.out" if out is None else out)
        if not path.is_file():
            raise MissingFileError(f"no such file: {path} (in {Path.cwd()})")
        if target.resolve() == path.resolve():
            raise ParameterError(f"the answers would replace the requests: {path}")
        service = Service(self.artifact)
        with path.open("rb") as lines, replaced_file(target) as sink:
            numbered = enumerate(_whole_lines(lines), 1)
            while chunk := list(islice(numbered, _LINES)):
                _answer(service, chunk, sink)
        return target


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, of those that are far too long no more than is needed to refuse them."""
    from penchant.serving.decode import MAX_LINE_BYTES

    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line


def _answer(service: Service, chunk: list[tuple[int, bytes]], sink: IO[bytes]) -> None:
    """Write an answer for each line that is not blank."""
    from penchant.serving.encode import to_json_lines
    from penchant.serving.plain_requests import decode_lines

    requests, bad = decode_lines(chunk, max_top_n=_MAX_TOP_N)
    answers = (
        line
        for part in requests.split(_PART_RECORDS)
        for line in to_json_lines(service.answer(part)).splitlines(keepends=True)
    )
    errors = {line.number: line.error for line in bad}
    for number, line in chunk:
        if number in errors:
            text = f"line {number}: {errors[number]}"
            sink.write(json.dumps({"error": text}, ensure_ascii=False).encode() + b"\n")
        elif line.strip():
            sink.write(next(answers))
