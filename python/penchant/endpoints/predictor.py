"""An endpoint of this machine, from the caller's side."""

from __future__ import annotations

import html
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.endpoints import client, durations
from penchant.endpoints.process import await_ready, end, launch, remove
from penchant.endpoints.state import Folder, Status, locked_name
from penchant.endpoints.store import keep_only, store
from penchant.errors import (
    ArtifactError,
    EndpointError,
    EndpointNotFoundError,
    RequestError,
    closest,
)
from penchant.serving.pointer import LAG_SECONDS
from penchant.serving.settings import ADMIN_TOKEN

if TYPE_CHECKING:
    import pandas as pd

    from penchant.models import Recommender

__all__ = ["Predictor"]


class Predictor:
    """A local endpoint: a model in a process of its own, found by its name.

    Made by `penchant.deploy` and `penchant.endpoints.get`. As a context manager it deletes the
    endpoint at the end.

    Parameters
    ----------
    name : str

    Raises
    ------
    EndpointNotFoundError
        If there is no endpoint of that name.

    Attributes
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = Folder.of("endpoints", name)
        self._check_exists()

    @property
    def status(self) -> str:
        """How it is: "Creating", "InService", "Stopped" or "Failed"."""
        return self._look().state

    @property
    def reason(self) -> str:
        """Why it is not in service; empty when it is."""
        return self._look().reason

    @property
    def endpoint_url(self) -> str | None:
        """Where it answers, such as ``http://127.0.0.1:43210``; None when it does not.

        For boto3 too: ``boto3.client("sagemaker-runtime", endpoint_url=predictor.endpoint_url)``.
        """
        status = self._look()
        return status.url if status.state == "InService" else None

    @property
    def version(self) -> str:
        """The version being served: 12 hex digits that also come with every answer."""
        self._check_exists()
        return str(self._folder.settings()["version"])

    @property
    def expires_at(self) -> float | None:
        """When it stops by itself, in seconds since 1970; None if it does not."""
        found = self._folder.settings().get("expires_at")
        return None if found is None else float(found)

    @property
    def log_path(self) -> Path:
        """The file that `logs` reads; it goes with the endpoint."""
        return self._folder.log

    def logs(self, n: int = 50) -> str:
        """Return the last lines of what the server said.

        Parameters
        ----------
        n : int, default 50
        """
        self._check_exists()
        return self._folder.tail(n)

    def predict(self, data: Any, *, kind: str = "recommend", timeout: float = 60.0) -> Any:
        """Ask the model.

        Parameters
        ----------
        data : dict or list of dict
            The fields of ``POST /v1/recommend``: ``user_id`` or ``history``, ``top_n`` (or ``k``,
            10 by default), ``where``, ``where_values``, ``candidates``, ``exclude``,
            ``exclude_seen``, ``scores``, ``with_columns``, ``context``; or those of another kind.
        kind : {"recommend", "similar", "predict", "users"}
        timeout : float
            Seconds to wait for the answer.

        Returns
        -------
        dict or list of dict
            For a dict ``{"user_id": ..., "items": [names], "scores": [numbers], "model": ...,
            "version": ...}``, best first; what ``with_columns`` asks for is under "columns", a
            list each. For a list a list, where an error is ``{"error": "..."}`` in its place.
            Kind "users" has "users" in place of "items", "predict" only scores.

        Raises
        ------
        RequestError
            The question is wrong; the message says which field.
        EndpointError
            The endpoint is not in service, or does not answer.
        """
        answer = client.call("POST", f"{self._url()}/v1/{kind}", data, timeout=timeout)
        return (
            [client.flat(one) for one in answer]
            if isinstance(answer, list)
            else client.flat(answer)
        )

    def predict_frame(self, data: Any, *, timeout: float = 60.0) -> pd.DataFrame:
        """Ask for recommendations as a table.

        Parameters
        ----------
        data : dict or list of dict
            As in `predict`.
        timeout : float

        Returns
        -------
        pandas.DataFrame
            user_id, item_id, score, rank (from 1), and what ``with_columns`` asks for.

        Raises
        ------
        RequestError
            A question is wrong; of several, the first one that is.
        EndpointError
            The endpoint is not in service, or does not answer.
        """
        import pandas as pd

        answers = client.call("POST", f"{self._url()}/v1/recommend", data, timeout=timeout)
        rows = []
        for number, answer in enumerate(answers if isinstance(answers, list) else [answers], 1):
            if "error" in answer:
                raise RequestError(f"question {number}: {answer['error']}")
            user = answer.get("user_id")
            for rank, item in enumerate(answer["items"], 1):
                rows.append({"user_id": user, **item, "rank": rank})
        first = ["user_id", "item_id", "score", "rank"]
        frame = pd.DataFrame(rows, columns=None if rows else first)
        return frame[first + [name for name in frame.columns if name not in first]]

    def update(
        self,
        model: Recommender | os.PathLike[str] | str,
        *,
        timeout: float = 600.0,
    ) -> Predictor:
        """Let another version take over, without a request lost.

        The old version answers until the new one is loaded and checked; no answer mixes the two.
        With several workers the others follow the first one within 0.25 s and the time that
        loading takes. This returns when every worker that is asked has the new version.

        Parameters
        ----------
        model : Recommender or path
            As in `penchant.deploy`.
        timeout : float
            Seconds.

        Returns
        -------
        Predictor
            Itself.

        Raises
        ------
        ArtifactError
            The artifact is missing or damaged; the old version goes on.
        EndpointError
            The endpoint is not in service, or the new version does not load.
        """
        with locked_name("endpoint", self.name):
            self._update(model, timeout)
        return self

    def start(
        self, *, expires: str | float | timedelta | None = None, timeout: float = 600.0
    ) -> Predictor:
        """Bring a stopped or failed endpoint back, with the version that it had.

        Parameters
        ----------
        expires : str, number or timedelta, optional
            As in `penchant.deploy`; default: as long as it was given the last time.
        timeout : float
            Seconds until it must be in service.

        Returns
        -------
        Predictor
            Itself; nothing happens if it is in service already.

        Raises
        ------
        EndpointError
            It does not start.
        """
        with locked_name("endpoint", self.name):
            if self._look().state not in ("InService", "Creating"):
                self._start(expires)
        self.wait(timeout=timeout)
        return self

    def wait(self, *, timeout: float = 600.0, progress: bool = False) -> Predictor:
        """Wait until the endpoint is in service.

        Parameters
        ----------
        timeout : float
            Seconds.
        progress : bool, default False
            Tell on stderr that it takes a while.

        Raises
        ------
        EndpointError
            It has failed or stopped, with the end of its log; or the time is up.
        """
        self._check_exists()
        start = self._folder.settings().get("log_start", 0)
        what = f"endpoint {self.name!r}"
        await_ready(self._folder, what, start=start, timeout=timeout, progress=progress)
        return self

    def stop(self) -> None:
        """End the process when it has answered what it was asked; `start` brings it back."""
        with locked_name("endpoint", self.name):
            self._check_exists()
            end(self._folder)

    def delete_endpoint(self) -> None:
        """End the process when it has answered what it was asked, and forget the endpoint.

        Raises
        ------
        EndpointNotFoundError
            It has been deleted.
        """
        with locked_name("endpoint", self.name):
            self._check_exists()
            remove(self._folder)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder.exists():
            self.delete_endpoint()

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self._describe().items() if value)
        return f"Predictor({shown})"

    def _repr_html_(self) -> str:
        cells = (
            f"<tr><th style='text-align:left'>{key}</th><td>{html.escape(str(value))}</td></tr>"
            for key, value in self._describe().items()
            if value
        )
        return f"<table>{''.join(cells)}</table>"

    def _describe(self) -> dict[str, Any]:
        if not self._folder.exists():
            return {"name": self.name, "status": "deleted"}
        status = self._look()
        found: dict[str, Any] = {"name": self.name, "status": status.state}
        found["reason"] = status.reason
        found["version"] = self.version
        found["endpoint_url"] = self.endpoint_url
        if self.expires_at is not None:
            found["expires"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.expires_at))
        return found

    def _check_exists(self) -> None:
        if not self._folder.exists():
            from penchant.endpoints.managed import names

            known = names()
            hint = closest(self.name, known) or (
                f"; endpoints: {', '.join(known)}" if known else ""
            )
            raise EndpointNotFoundError(f"no endpoint {self.name!r:.100}{hint}")

    def _look(self) -> Status:
        self._check_exists()
        return self._folder.status()

    def _url(self) -> str:
        status = self._look()
        if status.state == "InService" and status.url is not None:
            return status.url
        if status.state == "Creating":
            raise EndpointError(f"endpoint {self.name!r} is starting: call wait() first")
        raise EndpointError(
            f"endpoint {self.name!r} is {status.state.lower()} ({status.reason}): start() brings "
            "it back, logs() may say more"
        )

    def _start(self, expires: str | float | timedelta | None = None) -> None:
        """Launch the server as the settings say; the caller holds the lock of the name."""
        folder = self._folder
        end(folder)
        settings = folder.settings()
        if expires is not None:
            settings["expires_seconds"] = durations.seconds(expires)
        lifetime = settings.get("expires_seconds")
        settings["expires_at"] = None if lifetime is None else time.time() + lifetime
        settings["log_start"] = folder.log.stat().st_size if folder.log.exists() else 0
        folder.write_settings(settings)
        arguments = ["-m", "penchant", "serve", f"versions/{settings['version']}"]
        arguments += ["--name", self.name, "--host", "127.0.0.1", "--port", str(settings["port"])]
        arguments += ["--workers", str(settings["workers"])]
        for name, expression in settings.get("filters", {}).items():
            arguments += ["--filter", f"{name}={expression}"]
        if settings.get("record"):
            arguments += ["--record", settings["record"]]
        launch(folder, arguments, {ADMIN_TOKEN: folder.token.read_text()})

    def _update(self, model: Recommender | os.PathLike[str] | str, timeout: float) -> None:
        """See `update`; the caller holds the lock of the name."""
        url = self._url()
        folder = self._folder
        settings = folder.settings()
        old = settings["version"]
        kept = [path.name for path in folder.versions.iterdir()]
        version = store(model, folder.versions)
        place = f"{url}/v1/models/{self.name}"
        began = time.monotonic()
        try:
            client.call(
                "PUT",
                place,
                {"artifact": str(folder.versions / version)},
                timeout=timeout,
                token=folder.token.read_text(),
            )
        except RequestError as error:
            keep_only(folder.versions, *kept)
            raise ArtifactError(f"the version {old} stays: {error}") from error
        except EndpointError as error:
            raise EndpointError(f"{error}; version {old} goes on if the endpoint does") from error
        took = time.monotonic() - began
        folder.write_settings(settings | {"version": version})
        if settings["workers"] > 1:
            _await_workers(place, version, settle=2 * (LAG_SECONDS + took), timeout=timeout)
        keep_only(folder.versions, version, old)  # the old one for a worker that is starting


def _await_workers(place: str, version: str, *, settle: float, timeout: float) -> None:
    """Wait until the workers of a server agree on a version.

    They share one socket, so nobody can choose which of them answers: they agree when all that
    were asked, over new connections and for as long as a worker may lag, say the same.
    """
    now = time.monotonic()
    deadline, agreed = now + timeout, now
    while now - agreed < settle:
        if now > deadline:
            raise EndpointError(f"not all workers serve version {version} after {timeout:g} s")
        if client.call("GET", place, timeout=timeout, fresh=True)["version"] != version:
            agreed = time.monotonic()
        time.sleep(0.01)
        now = time.monotonic()
