"""Snowflake external functions: train, deploy and ask a model from SQL.

==============================================================  =================================
``invoke_model(model_name, user_id, item_id)``                  the predicted score; null where the
                                                                user or item is unknown or null
``invoke_model(model_name, user_id[, {"k": 10}])``              ``{"user_id", "items": [{"item_id",
                                                                "score"}, ...]}``; null for a null
                                                                user, what is popular for a stranger
``deploy_model(name, artifact_path)``                           ``{"name", "version"}``
``train_and_get_recommendations(input_table, output_table,``    a summary, once the output table is
``model, k, user_col, item_col, value_col[, options])``         written; see `TrainingRun.of`
==============================================================  =================================

Rows are answered independently of each other: one that cannot be answered gets
``{"error": "..."}`` as its value, and the others theirs. Where *no* row of `deploy_model` or
`train_and_get_recommendations` succeeded the request itself fails (400), so that the SQL statement
does; Snowflake does not repeat those.

The functions with effects run once for each batch id (``sf-external-function-query-batch-id``): a
retry, also beside the first request or after its answer, gets that one's answer, an error too; to
try again is a new statement, with a new batch id. `train_and_get_recommendations` answers 202 at
once, `deploy_model` if it takes longer than a moment; both are then polled with GET. More of them
at once than allowed are answered 429, which Snowflake repeats later.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penchant.errors import PenchantError, RequestError, RequestTooLargeError, UnsupportedError
from penchant.serving.decode import Requests, id_text
from penchant.serving.external_ddl import ddl
from penchant.serving.idempotent_runs import Run, Runs
from penchant.serving.protocols import snowflake
from penchant.serving.questions import PLAIN_FIELDS, read_question
from penchant.serving.service import Service
from penchant.serving.warehouse_training import TrainingRun

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["ExternalFunctions", "ddl"]

_MAX_ROWS_WITH_EFFECTS = 100
_log = logging.getLogger(__name__)
_Answer = tuple[int, bytes]  # status and JSON


class ExternalFunctions:
    """The three functions behind one door, `handle`; safe to use from several threads.

    Parameters
    ----------
    models : callable
        Finds the model of a name: a `Service` or a fitted model. Raises `LookupError` or
        `PenchantError` for a name it does not know.
    install : callable
        Loads an artifact and serves it: ``install(name, path) -> version``. Which paths it takes,
        and from whom, is its own to decide.
    connect : callable, optional
        Returns a new DB-API connection to the warehouse: ``lambda: duckdb.connect("shop.db")``.
        Without it nothing can be trained.
    state : path, optional
        File in which batch ids and their answers are kept. Needed where several processes serve
        one port, so that each knows what another was asked. Default: memory.
    max_trainings, max_deployments : int
        At once; more are answered 429.
    max_bytes : int
        Largest request, unpacked.
    max_records : int
        Most recommendations in one answer.
    patience : float
        Seconds after which `deploy_model` answers 202.
    content_md5 : bool
        Add a checksum to answers.
    keep, keep_seconds : int, float
        Answers kept for retries: so many, so long.

    Examples
    --------
    >>> import penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> shop = {"shop": pc.Popularity().fit(data)}
    >>> functions = ExternalFunctions(shop.__getitem__, install=lambda name, path: "1")
    >>> body = b'{"data": [[0, "shop", 1, "milk"], [1, "shop", 1, "ink"], [2, "pub", 1, "tea"]]}'
    >>> status, headers, answer = functions.handle("invoke_model", "POST", {}, body)
    >>> print(status, answer.decode())
    200 {"data": [[0, 1], [1, null], [2, {"error": "no model 'pub'"}]]}
    """

    def __init__(
        self,
        models: Callable[[str], Service | Recommender],
        install: Callable[[str, str], str],
        connect: Callable[[], Any] | None = None,
        *,
        state: os.PathLike[str] | str | None = None,
        max_trainings: int = 2,
        max_deployments: int = 4,
        max_bytes: int = snowflake.MAX_BYTES,
        max_records: int = 1_000_000,
        patience: float = 5.0,
        content_md5: bool = True,
        keep: int = 1000,
        keep_seconds: float = 86400.0,
    ) -> None:
        self._models = models
        self._install = install
        self._connect = connect
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._patience = {"deploy_model": patience, "train_and_get_recommendations": 0.0}
        self._content_md5 = content_md5
        self._rows: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
            "deploy_model": self._deploy,
            "train_and_get_recommendations": self._train,
        }
        self._runs = Runs(
            {"deploy_model": max_deployments, "train_and_get_recommendations": max_trainings},
            lost=snowflake.encode_error("the server stopped during this call; call it again"),
            state=state,
            keep=keep,
            keep_seconds=keep_seconds,
        )

    def handle(
        self, function: str, method: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer one HTTP request.

        Parameters
        ----------
        function : str
            The last part of the path.
        method : str
            POST asks, GET polls.
        headers : mapping of str to str
            Names in any case.
        body : bytes
            As it came, compressed or not.

        Returns
        -------
        status : int
            200 done, 202 not yet, 400 a wrong request or a run that failed, 404 no such function
            or batch, 405 another method, 409 a batch id with other rows than before, 413 too large,
            429 too many at once, 500 a bug.
        headers : dict of str to str
        body : bytes
        """
        asked = {str(name).lower(): value for name, value in headers.items()}
        more: dict[str, str] = {}
        try:
            status, content = self._answer(function, method.upper(), asked, body)
        except RequestTooLargeError as error:
            status, content = 413, snowflake.encode_error(str(error))
        except RequestError as error:
            status, content = 400, snowflake.encode_error(str(error))
        except Exception:
            _log.exception("%s %s failed", method, function)
            status = 500
            content = snowflake.encode_error("internal error; the server's log says more")
        if status == 405:
            more["Allow"] = "POST, GET" if function in self._rows else "POST"
        if status == 429:
            more["Retry-After"] = "5"
        described, content = snowflake.pack(content, asked, content_md5=self._content_md5)
        return status, {**described, **more}, content

    def drain(self, seconds: float | None = None) -> None:
        """Wait for what is being trained and deployed, at most so long for each."""
        self._runs.drain(seconds)

    def close(self) -> None:
        """Close the file of batch ids; what goes on is not waited for: `drain` does that."""
        self._runs.close()

    def _answer(
        self, function: str, method: str, headers: Mapping[str, str], body: bytes
    ) -> _Answer:
        if function == "invoke_model":
            if method != "POST":
                return 405, snowflake.encode_error("invoke_model takes POST")
            return 200, self._invoke(self._decode(body, headers))
        if function not in self._rows:
            names = ", ".join(["invoke_model", *self._rows])
            return 404, snowflake.encode_error(f"no function {function!r:.60}; functions: {names}")
        batch_id = snowflake.batch_id(headers)
        if method == "GET":
            return self._poll(function, batch_id)
        if method != "POST":
            return 405, snowflake.encode_error(f"{function} takes POST and GET")
        return self._start(function, batch_id, self._decode(body, headers))

    def _decode(self, body: bytes, headers: Mapping[str, str]) -> snowflake.Batch:
        return snowflake.decode_batch(body, headers, max_bytes=self._max_bytes)

    # ---- functions with effects -----------------------------------------------------------------

    def _poll(self, function: str, batch_id: str | None) -> _Answer:
        if batch_id is None:
            raise RequestError(f"a GET asks for the answer of a batch: send {snowflake.BATCH_ID}")
        run = self._runs.find(function, batch_id)
        if run is None:
            return 404, snowflake.encode_error(f"no batch {batch_id!r:.80} of {function}")
        return _told(run)

    def _start(self, function: str, batch_id: str | None, batch: snowflake.Batch) -> _Answer:
        if batch_id is None:
            raise RequestError(
                f"{function} needs the header {snowflake.BATCH_ID}: runs once for it"
            )
        if len(batch) > _MAX_ROWS_WITH_EFFECTS:
            raise RequestError(
                f"{function} takes {_MAX_ROWS_WITH_EFFECTS} rows at a time, got {len(batch)}: "
                "create the function with MAX_BATCH_ROWS = 1"
            )
        row = self._rows[function]

        def work() -> _Answer:
            return _each(batch, row)

        run = self._runs.start(function, batch_id, batch.digest, work)
        if run is None:
            return 429, snowflake.encode_error(f"too many calls of {function} at once; try later")
        if run.digest != batch.digest:
            return 409, snowflake.encode_error(f"batch {batch_id!r:.80} had other rows before")
        if run.status is None and self._patience[function]:
            self._runs.wait(function, batch_id, self._patience[function])
            run = self._runs.find(function, batch_id) or run
        return _told(run)

    def _deploy(self, arguments: list[Any]) -> dict[str, Any]:
        if len(arguments) != 2:
            raise RequestError(f"expected name and artifact_path, got {len(arguments)} arguments")
        for what, value in zip(("name", "artifact_path"), arguments, strict=True):
            if not isinstance(value, str) or not value or "\0" in value:
                raise RequestError(f"{what} must be text, got {value!r:.60}")
        name, path = arguments
        return {"name": name, "version": str(self._install(name, path))}

    def _train(self, arguments: list[Any]) -> dict[str, Any]:
        if self._connect is None:
            raise UnsupportedError("this server was started without a warehouse to read from")
        return TrainingRun.of(arguments).work(self._connect)

    # ---- invoke_model ---------------------------------------------------------------------------

    def _invoke(self, batch: snowflake.Batch) -> bytes:
        """Answer all rows about one model, of one kind, by one call of it."""
        values: dict[int, str] = {}
        groups: dict[tuple[str, bool], list[tuple[int, Any]]] = {}
        for row, arguments in enumerate(batch.arguments):
            try:
                name, asked = _read_question(arguments)
            except RequestError as error:
                values[row] = snowflake.encode_error(str(error)).decode()
                continue
            if asked is None:
                values[row] = "null"
            else:
                groups.setdefault((name, isinstance(asked[1], str)), []).append((row, asked))
        self._check_records(groups)
        services: dict[str, Service] = {}  # one version of a model for the whole request
        for (name, pairs), questions in groups.items():
            rows = [row for row, _ in questions]
            try:
                service = services.get(name) or services.setdefault(name, self._find(name))
                answer = _scores if pairs else _recommendations
                found = answer(service, [asked for _, asked in questions])
            except PenchantError as error:
                found = [snowflake.encode_error(str(error)).decode()] * len(rows)
            values.update(zip(rows, found, strict=True))
        return snowflake.encode_values(batch.numbers, [values[row] for row in range(len(batch))])

    def _check_records(self, groups: Mapping[tuple[str, bool], list[tuple[int, Any]]]) -> None:
        records = sum(k for (_, pairs), asked in groups.items() if not pairs for _, (_, k) in asked)
        if records > self._max_records:
            raise RequestTooLargeError(
                f"the rows ask for {records} recommendations, more than {self._max_records}: "
                "create the function with a lower MAX_BATCH_ROWS"
            )

    def _find(self, name: str) -> Service:
        try:
            found = self._models(name)
        except LookupError:
            raise RequestError(f"no model {name!r:.80}") from None
        return found if isinstance(found, Service) else Service(found, num_threads=1)


def _told(run: Run) -> _Answer:
    if run.status is None:
        return 202, b'{"status": "running"}'
    return run.status, run.body


def _each(batch: snowflake.Batch, function: Callable[[list[Any]], dict[str, Any]]) -> _Answer:
    """Do the rows one after the other; 400 where none succeeded."""
    values = []
    errors = []
    for arguments in batch.arguments:
        value, error = _try(function, arguments)
        values.append(value)
        errors += [] if error is None else [error]
    if errors and len(errors) == len(values):
        return 400, snowflake.encode_error("; ".join(dict.fromkeys(errors)))
    return 200, snowflake.encode_values(batch.numbers, values)


def _try(
    function: Callable[[list[Any]], dict[str, Any]], arguments: list[Any]
) -> tuple[str, str | None]:
    """Return a row's value, and what went wrong with it."""
    try:
        return json.dumps(function(arguments), ensure_ascii=False), None
    except (PenchantError, LookupError, OSError) as error:
        message = str(error)
    except Exception:
        _log.exception("a row failed")
        message = "internal error; the server's log says more"
    return snowflake.encode_error(message).decode(), message


def _read_question(
    arguments: Sequence[Any],
) -> tuple[str, tuple[str, str] | tuple[str, int] | None]:
    """Return the model and (user, item), or (user, k), or None where an id is null."""
    if len(arguments) not in (2, 3):
        raise RequestError(
            "expected model_name and user_id and, optionally, item_id or an object such as "
            f'{{"k": 10}}; got {len(arguments)} arguments'
        )
    name, user, *rest = arguments
    if not isinstance(name, str) or not name:
        raise RequestError(f"model_name must be text, got {name!r:.60}")
    if rest and not isinstance(rest[0], dict):
        missing = user is None or rest[0] is None
        return name, None if missing else (id_text(user, "user_id"), id_text(rest[0], "item_id"))
    options = rest[0] if rest else {}
    for option in options:
        if option != "k":
            raise RequestError(f"unknown option {option!r:.60}; options: k")
    return name, None if user is None else _user_and_k(user, options.get("k"))


def _user_and_k(user: Any, k: Any) -> tuple[str, int]:
    question = read_question({"user_id": user, "k": k}, "recommend", fields=PLAIN_FIELDS)
    return str(question.user_id), question.k


def _scores(service: Service, pairs: list[tuple[str, str]]) -> list[str]:
    users, items = zip(*pairs, strict=True)
    return snowflake.score_values(service.predict(users, items))


def _recommendations(service: Service, asked: list[tuple[str, int]]) -> list[str]:
    return snowflake.recommendation_values(service.answer(Requests.of(asked)))
