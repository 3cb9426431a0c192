"""The router's process: one for all endpoints, in the background like theirs."""

from __future__ import annotations

import html
import time
from datetime import timedelta

from penchant.endpoints import durations
from penchant.endpoints.process import await_ready, end, launch
from penchant.endpoints.state import Folder, locked_name
from penchant.errors import EndpointError, ParameterError, require
from penchant.home import make_private

__all__ = ["Router", "router"]

_PORT = 8080
_NAME = "router"


class Router:
    """One address for all endpoints of this machine; made by `penchant.endpoints.router`."""

    def __init__(self) -> None:
        self._folder = Folder.of("routers", _NAME)

    @property
    def status(self) -> str:
        """How it is: "Creating", "InService", "Stopped" or "Failed"."""
        return self._folder.status().state

    @property
    def url(self) -> str | None:
        """The ``endpoint_url`` for boto3; None when it is not in service."""
        status = self._folder.status()
        return status.url if status.state == "InService" else None

    def logs(self, n: int = 50) -> str:
        """Return the last lines of its log.

        Parameters
        ----------
        n : int, default 50
        """
        return self._folder.tail(n)

    def stop(self) -> None:
        """End it when it has answered what it was asked; the endpoints go on."""
        with locked_name("router", _NAME):
            end(self._folder)

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Router(status={self.status!r}, url={self.url!r})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def router(
    port: int | None = None,
    *,
    host: str = "127.0.0.1",
    expires: str | float | timedelta | None = None,
    timeout: float = 600.0,
    progress: bool = True,
) -> Router:
    """Give all endpoints of this machine one address, or return the router that does so already.

    ``boto3.client("sagemaker-runtime", endpoint_url=router.url, region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="x")`` then invokes each endpoint by its name, and
    ``personalize-runtime`` by ``campaignArn="arn:aws:personalize:::campaign/NAME"``. Signatures are
    not checked.

    Parameters
    ----------
    port : int, optional
        8080 by default; 0 takes a free one.
    host : str, default "127.0.0.1"
        Address to listen on. Others may use whatever endpoints are there: "0.0.0.0" is for
        networks that are trusted.
    expires : str, number or timedelta, optional
        It stops itself after this time, as in `penchant.deploy`.
    timeout : float
        Seconds until it must be in service.
    progress : bool, default True
        Tell on stderr that it takes a while.

    Returns
    -------
    Router

    Raises
    ------
    EndpointError
        The port is in use, or a router runs elsewhere.

    Examples
    --------
    >>> import os, tempfile
    >>> import penchant as pc
    >>> home = tempfile.TemporaryDirectory()
    >>> os.environ["PENCHANT_HOME"] = home.name
    >>> with pc.endpoints.router(port=0, progress=False) as router:
    ...     router.status
    'InService'
    >>> del os.environ["PENCHANT_HOME"]
    >>> home.cleanup()
    """
    if port is not None and not 0 <= port <= 65535:
        raise ParameterError(f"port={port} is not from 0 to 65535")
    lifetime = None if expires is None else durations.seconds(expires)
    for package in ("aiohttp", "starlette", "uvicorn"):
        require(package, "serve")
    found = Router()
    folder = found._folder
    make_private(folder.path)
    with locked_name("router", _NAME):
        settings = folder.settings()
        status = folder.status()
        start = settings.get("log_start", 0)
        if folder.alive() and status.state in ("Creating", "InService"):
            if port not in (None, settings["port"]):
                raise EndpointError(
                    f"a router runs on {status.url or settings['port']}: stop it first, or use it"
                )
        else:
            end(folder)
            port = _PORT if port is None else port
            start = folder.log.stat().st_size if folder.log.exists() else 0
            until = None if lifetime is None else time.time() + lifetime
            folder.write_settings({"port": port, "expires_at": until, "log_start": start})
            arguments = ["-m", "penchant.endpoints.routing", "--host", host, "--port", str(port)]
            launch(folder, arguments)
        await_ready(folder, "the router", start=start, timeout=timeout, progress=progress)
    return found
