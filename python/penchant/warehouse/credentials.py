"""Secrets: where they come from, and that they never get into a log or a failure's reason."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from penchant.errors import DataError, MissingFileError, ParameterError, require

__all__ = ["Secret", "hide", "read_secret"]

_hidden: list[str] = []
_FORMS = "env:NAME, file:PATH or aws:ARN"


@dataclass(frozen=True, repr=False)
class Secret:
    """A password and, where the secret holds one, the user it belongs to."""

    password: str
    username: str | None = None


def read_secret(source: str, what: str = "secret") -> Secret:
    """Read a secret from where a hyperparameter says it is.

    Parameters
    ----------
    source : str
        ``env:NAME``, an environment variable; ``file:PATH``, a file; ``aws:ARN``, a secret in AWS
        Secrets Manager. It is the password, or a JSON object with ``password`` and, optionally,
        ``username``.
    what : str, default "secret"
        What the caller calls `source`, for messages.

    Raises
    ------
    ParameterError
        `source` has another form. It is not repeated: it may be the secret itself.
    MissingFileError, DataError
        There is no secret there.
    MissingExtraError
        ``aws:`` without boto3.

    Examples
    --------
    >>> import os
    >>> os.environ["SHOP_PASSWORD"] = "hunter2"
    >>> read_secret("env:SHOP_PASSWORD").password
    'hunter2'
    """
    kind, separator, place = source.partition(":")
    readers = {"env": _from_environment, "file": _from_file, "aws": _from_aws}
    if not separator or kind not in readers or not place:
        raise ParameterError(f"{what} must say where it is, as {_FORMS}; it is never given itself")
    text = readers[kind](place).strip()
    if not text:
        raise DataError(f"the secret {source} is empty")
    _hidden.append(text)
    found = _parse(text, source)
    _hidden.append(found.password)
    return found


def _parse(text: str, source: str) -> Secret:
    if not text.startswith("{"):
        return Secret(text)
    try:
        document = json.loads(text)
    except ValueError:
        return Secret(text)
    password, username = document.get("password"), document.get("username")
    if not isinstance(password, str) or not password:
        raise DataError(f"the secret {source} is an object without a 'password'")
    return Secret(password, username if isinstance(username, str) else None)


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise DataError(f"the environment has no variable {name} for the secret")
    return os.environ[name]


def _from_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path} for the secret") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file {path} for the secret cannot be read: {error}") from error


def _from_aws(name: str) -> str:
    boto3 = require("boto3", "aws")
    parts = name.split(":")
    region = parts[3] if len(parts) > 5 and parts[0] == "arn" else None
    try:
        client = boto3.client("secretsmanager", region_name=region)
        text = client.get_secret_value(SecretId=name).get("SecretString")
    except Exception as error:  # boto3 makes the classes of its errors as it runs
        raise DataError(f"AWS Secrets Manager did not give the secret {name}: {error}") from error
    if not isinstance(text, str):
        raise DataError(f"the secret {name} holds bytes; it must be text")
    return text


def hide(text: str) -> str:
    """Return a text with every secret that was read replaced by stars."""
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
