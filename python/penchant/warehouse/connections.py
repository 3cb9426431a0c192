"""Training data out of a database: which, and as whom."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from penchant.errors import DataError, MissingExtraError, MissingFileError, ParameterError, require
from penchant.warehouse.credentials import Secret, read_secret
from penchant.warehouse.tables import quoted

__all__ = ["connect", "opened", "opener", "select"]

_SCHEMES = ("duckdb", "sqlite", "postgresql", "postgres", "snowflake")
_DRIVERS = ("psycopg", "psycopg2", "pg8000")
_NAMES = ("data_url", "secret")  # of the hyperparameters of a container
_OPTIONS = ("sslmode", "sslrootcert", "connect_timeout")
_SNOWFLAKE_OPTIONS = ("warehouse", "role", "authenticator", "login_timeout")


def select(table: str, columns: list[str]) -> str:
    """Return the query for columns of a table, all names quoted.

    Parameters
    ----------
    table : str
        Perhaps with a schema: ``shop.sales``.
    columns : list of str

    Raises
    ------
    ParameterError
        The name has an empty part.

    Examples
    --------
    >>> select("shop.sales", ["who", "what"])
    'SELECT "who", "what" FROM "shop"."sales"'
    """
    parts = table.split(".")
    if not all(parts) or "\0" in table:
        raise ParameterError(f"table must be a name such as sales or shop.sales, got {table!r:.80}")
    return f"SELECT {', '.join(map(quoted, columns))} FROM {'.'.join(map(quoted, parts))}"


def connect(
    url: str,
    secret: str | None = None,
    *,
    write: bool = False,
    names: tuple[str, str] = _NAMES,
) -> Any:
    """Open a database for reading, or for reading and writing.

    Parameters
    ----------
    url : str
        ``duckdb:///shop.db`` or ``sqlite:///shop.db`` (a path relative to the working directory
        or, where there is none, from the root; four slashes for one from the root),
        ``postgresql://user@host:5432/name?sslmode=require``, or
        ``snowflake://user@account/database/schema?warehouse=name&role=name``.
    secret : str, optional
        Where the password is, as `read_secret` takes it.
    write : bool, default False
        Whether tables may be changed; a file is only ever opened for reading otherwise.
    names : (str, str)
        What the caller calls `url` and `secret`, for messages.

    Returns
    -------
    connection
        Of DuckDB or of DB-API; to be closed.

    Raises
    ------
    ParameterError
        Another kind of URL, or one with a password in it, which does not belong there.
    MissingFileError, DataError
        There is no such file; the database lets nobody in.
    MissingExtraError
        No driver of the database is installed.
    """
    return _opened(opener(url, secret, write=write, names=names))


def opener(
    url: str,
    secret: str | None = None,
    *,
    write: bool = False,
    names: tuple[str, str] = _NAMES,
) -> Callable[[], Any]:
    """Check all that can be known of a database before it is opened; return what opens it.

    Parameters
    ----------
    url, secret, write, names
        As of `connect`.

    Raises
    ------
    ParameterError, MissingFileError, DataError, MissingExtraError
        As of `connect`, but for a database that lets nobody in: nobody has knocked yet.

    Examples
    --------
    >>> opener("nonsense://x", names=("--warehouse", "--secret"))
    Traceback (most recent call last):
    ...
    penchant.errors.ParameterError: --warehouse is of the kind 'nonsense'; known are \
duckdb:///FILE, sqlite:///FILE, postgresql://USER@HOST/NAME and \
snowflake://USER@ACCOUNT/DATABASE/SCHEMA
    """
    what, hidden = names
    try:
        parts = urlsplit(url)
        password, port = parts.password, parts.port
    except ValueError:
        raise ParameterError(f"{what} is not a URL") from None
    if parts.scheme not in _SCHEMES:
        raise ParameterError(
            f"{what} is of the kind {parts.scheme or 'none'!r:.40}; known are duckdb:///FILE, "
            "sqlite:///FILE, postgresql://USER@HOST/NAME and "
            "snowflake://USER@ACCOUNT/DATABASE/SCHEMA"
        )
    options = dict(parse_qsl(parts.query))
    if password is not None or "password" in options:
        raise ParameterError(
            f"{what} holds a password, which everyone who sees the job would read: leave it out, "
            f"and say where it is with {hidden}=env:NAME, file:PATH or aws:ARN"
        )
    if parts.scheme in ("postgresql", "postgres", "snowflake"):
        found = read_secret(secret, hidden) if secret else None
        if parts.scheme == "snowflake":
            return _snowflake(parts, options, found, what)
        return _postgresql(parts, port, options, found, what)
    if secret is not None:
        raise ParameterError(f"a {parts.scheme} file has no password: leave out {hidden}")
    path = _file(parts, what)
    if parts.scheme == "sqlite":
        address = f"{path.absolute().as_uri()}?mode={'rw' if write else 'ro'}"
        return lambda: sqlite3.connect(address, uri=True)
    duckdb = require("duckdb", "duckdb")
    return lambda: duckdb.connect(str(path), read_only=not write)


def _file(parts: SplitResult, what: str) -> Path:
    if parts.netloc or not parts.path.strip("/"):
        raise ParameterError(f"{what} must name a file, as {parts.scheme}:///shop.db")
    text = unquote(parts.path)
    for path in (Path(text[1:]), Path(text)):
        if path.is_file():
            return path
    raise MissingFileError(f"there is no database file {text[1:]} (in {os.getcwd()})")


def _opened(call: Any) -> Any:
    try:
        return call()
    except Exception as error:  # drivers have errors of their own
        raise DataError(f"the database cannot be opened: {str(error).strip()}") from error


def _postgresql(
    parts: SplitResult,
    port: int | None,
    options: Mapping[str, str],
    secret: Secret | None,
    what: str,
) -> Callable[[], Any]:
    _check_options(options, _OPTIONS, what)
    name = unquote(parts.path.strip("/"))
    if not parts.hostname or not name:
        raise ParameterError(f"{what} must be postgresql://USER@HOST/NAME")
    username = unquote(parts.username or "") or (secret.username if secret else None)
    said: dict[str, Any] = {"host": parts.hostname, "user": username, "port": port}
    said["password"] = secret.password if secret else None
    said = {key: value for key, value in said.items() if value is not None}
    driver = next((name for name in _DRIVERS if importlib.util.find_spec(name)), None)
    if driver is None:
        raise MissingExtraError(
            "this needs a driver of PostgreSQL, and none is installed: "
            "pip install 'psycopg[binary]'",
            name=_DRIVERS[0],
        )
    module = importlib.import_module("pg8000.dbapi" if driver == "pg8000" else driver)
    if driver == "pg8000":
        if options.get("sslmode", "prefer") not in ("disable", "prefer"):
            said["ssl_context"] = True
        return lambda: module.connect(database=name, **said)
    return lambda: module.connect(dbname=name, **said, **options)


def _check_options(options: Mapping[str, str], known: tuple[str, ...], what: str) -> None:
    for name in options:
        if name not in known:
            raise ParameterError(
                f"{what} has the option {name!r:.40}; known are {', '.join(known)}"
            )


def _snowflake(
    parts: SplitResult, options: Mapping[str, str], secret: Secret | None, what: str
) -> Callable[[], Any]:
    """Return what opens a database of Snowflake; the form of the URL is that of SQLAlchemy's."""
    _check_options(options, _SNOWFLAKE_OPTIONS, what)
    database, *schema = (unquote(part) for part in parts.path.strip("/").split("/"))
    host = parts.netloc.rpartition("@")[2]
    if not host or ":" in host or not database or len(schema) > 1:
        raise ParameterError(
            f"{what} must be snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME, where the "
            "account is such as myorg-shop, without .snowflakecomputing.com"
        )
    said: dict[str, Any] = {"account": host, "database": database, **options}
    if "login_timeout" in options:
        if not options["login_timeout"].isdecimal():
            raise ParameterError(f"{what}: login_timeout must be whole seconds")
        said["login_timeout"] = int(options["login_timeout"])
    said["schema"] = schema[0] if schema else None
    said["user"] = unquote(parts.username or "") or (secret.username if secret else None)
    said["password"] = secret.password if secret else None
    module = require("snowflake.connector", "snowflake")
    return lambda: module.connect(**{key: one for key, one in said.items() if one is not None})


@contextlib.contextmanager
def opened(url: str, secret: str | None = None) -> Any:
    """Open a database as `connect` does, for a block."""
    connection = connect(url, secret)
    try:
        yield connection
    finally:
        connection.close()
