"""Batch transform with a job's model: a file of requests in, a file of answers out."""

from __future__ import annotations

import os
from pathlib import Path

from penchant.errors import MissingFileError, ParameterError

__all__ = ["Transformer"]


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
    ...     _ = Path(name, "in.jsonl").write_text('{"user_id": 1, "k": 1}')
    ...     out = pc.jobs.Transformer(Path(name, "artifact")).transform(Path(name, "in.jsonl"))
    ...     print(out.name, out.read_text(), end="")
    in.jsonl.out {"user_id": 1, "items": [{"item_id": "jam", "score": 2}]}
    """

    def __init__(self, artifact: os.PathLike[str] | str) -> None:
        self.artifact = Path(artifact)

    def transform(
        self, source: os.PathLike[str] | str, out: os.PathLike[str] | str | None = None
    ) -> Path:
        """Answer a file of JSON Lines such as ``{"user_id": "17850", "k": 5}``, in bounded memory.

        Parameters
        ----------
        source : path
        out : path, optional
            Default: `source` with ``.out`` behind it. It appears when it is complete; a run that
            was cut short goes on from there when the same call is made again.

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
            `out` is `source`, or in the model's folder.
        DataError
            The source cannot be read.
        ArtifactError
            The model cannot be loaded, or the answers not written.
        """
        from penchant.batch.line_by_line import answer_lines

        path = Path(source)
        target = Path(f"{path}.out" if out is None else out)
        if not path.is_file():
            raise MissingFileError(f"no such file: {path} (in {Path.cwd()})")
        if target.resolve() == path.resolve():
            raise ParameterError(f"the answers would replace the requests: {path}")
        answer_lines(self.artifact, path, target)
        return target
