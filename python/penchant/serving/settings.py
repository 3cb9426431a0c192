"""How a server is started: what each of its processes needs to know."""

from __future__ import annotations

import dataclasses
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.data.arrow import leave_pandas_out
from penchant.errors import ParameterError, require

if TYPE_CHECKING:
    from fastapi import FastAPI

    from penchant.serving.catalog import Catalog

__all__ = ["ADMIN_TOKEN", "Settings", "make_app"]

ADMIN_TOKEN = "PENCHANT_ADMIN_TOKEN"
_WAREHOUSE = ("--warehouse", "--secret")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a server process serves, and how.

    Attributes
    ----------
    models : dict of str to str
        Artifacts by the names of their models; the first one is the default.
    pointer : str or None
        A file that says which artifact each model is, which all workers follow.
    record : str or None
        File that questions are recorded in.
    num_threads : int
        Of a call of a model.
    filters : dict of str to str
        Expressions by name, for Personalize's clients.
    warehouse, secret : str or None
        Address of the database that Snowflake's functions train on, and where its password is.
    state : str or None
        File in which the answers of Snowflake's functions outlast the server.
    models_root : str or None
        Folder whose artifacts SageMaker may load: a multi-model container.
    """

    models: dict[str, str]
    pointer: str | None = None
    record: str | None = None
    num_threads: int = 1
    filters: dict[str, str] = dataclasses.field(default_factory=dict)
    warehouse: str | None = None
    secret: str | None = None
    state: str | None = None
    models_root: str | None = None

    def connect(self) -> Any:
        """Open the warehouse, to read and to write."""
        from penchant.warehouse import connect

        assert self.warehouse is not None
        return connect(self.warehouse, self.secret, write=True, names=_WAREHOUSE)

    def check(self) -> None:
        """Find out whether what is only needed later can be used.

        Raises
        ------
        PenchantError
            The state file is none; nothing can be recorded; the warehouse is of no known kind, or
            not there.
        """
        from penchant.serving.idempotent_runs import Runs
        from penchant.warehouse import opener

        if self.record is not None and not Path(self.record).is_fifo():
            try:
                open(self.record, "ab").close()
            except OSError as error:
                raise ParameterError(
                    f"--record: cannot write to {self.record}: {error.strerror}"
                ) from None
        if self.state is not None:
            Runs({}, lost=b"", state=self.state)
        if self.warehouse is not None:
            opener(self.warehouse, self.secret, write=True, names=_WAREHOUSE)
        elif self.secret is not None:
            raise ParameterError("--secret is the password of --warehouse, which is missing")


def make_app(settings: Settings) -> FastAPI:
    """Make the application of one process."""
    leave_pandas_out()  # a process that answers in JSON needs no frames
    # The thread of micro-batches asks for the interpreter again and again, and a busy event loop
    # would let it wait for 5 ms each time.
    sys.setswitchinterval(2e-4)
    # Opening is mostly native code, and to import the framework takes half a second of Python.
    with ThreadPoolExecutor(1) as pool:
        framework = pool.submit(require, "fastapi", "serve")
        catalog = _open_models(settings)
        framework.result()
    from penchant.serving.app import create_app
    from penchant.serving.recorder import Recorder

    state = settings.state
    if state is None and settings.pointer is not None:
        state = f"{settings.pointer}.calls"
    return create_app(
        catalog,
        admin_token=os.environ.get(ADMIN_TOKEN) or None,
        recorder=None if settings.record is None else Recorder(settings.record),
        filters=settings.filters,
        connect=None if settings.warehouse is None else settings.connect,
        state=state,
        models_root=settings.models_root,
    )


def _open_models(settings: Settings) -> Catalog:
    """Open the models, and follow the file that says which ones, where there is one."""
    from penchant.serving.catalog import Catalog
    from penchant.serving.pointer import Follower

    if settings.pointer is None:
        return Catalog(settings.models, num_threads=settings.num_threads)
    follower = Follower(settings.pointer)
    catalog = Catalog(follower.read() or settings.models, num_threads=settings.num_threads)
    follower.follow(catalog)
    return catalog
