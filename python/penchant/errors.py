"""The errors and notices of Penchant.

Every error derives from `PenchantError` and from the built-in exception a caller would expect, so
both ``except penchant.errors.PenchantError`` and ``except ValueError`` work. A message says what is
wrong, where (row, column, value) and what to do about it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

__all__ = [
    "ArtifactError",
    "ArtifactNotFoundError",
    "ArtifactWriteError",
    "ColumnError",
    "DataError",
    "DivergenceError",
    "EndpointError",
    "EndpointExistsError",
    "EndpointNotFoundError",
    "HTTPError",
    "JobError",
    "MediaTypeError",
    "MissingExtraError",
    "MissingFileError",
    "NotFittedError",
    "ParameterError",
    "PenchantError",
    "PenchantWarning",
    "RequestError",
    "RequestTooLargeError",
    "UnknownIdError",
    "UnknownModelError",
    "UnsupportedError",
    "choose",
    "closest",
    "notice",
    "require",
]

_LONGEST_NAME = 100  # that is compared with what could have been meant
_PACKAGE_ROOT = str(Path(__file__).parent)


class PenchantError(Exception):
    """Base class of every error Penchant raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument: quotes and backslashes around a sentence.
        return Exception.__str__(self)


class DataError(PenchantError, ValueError):
    """The data cannot be used as they are (nulls, NaN, negative values, too many ids, ...)."""


class ParameterError(PenchantError, ValueError):
    """An argument is outside what the function accepts."""


class DivergenceError(ParameterError):
    """Training diverged: the loss stopped being finite or grew; smaller steps are needed."""


class ColumnError(PenchantError, KeyError):
    """A column is missing from a frame."""


class UnknownIdError(PenchantError, KeyError):
    """An id was not seen during training."""


class UnknownModelError(PenchantError, KeyError):
    """A server has no model of that name."""


class EndpointError(PenchantError, RuntimeError):
    """A local endpoint did not start, is not running, or did not answer."""


class EndpointExistsError(EndpointError, FileExistsError):
    """The name of an endpoint is taken."""


class EndpointNotFoundError(EndpointError, KeyError):
    """There is no endpoint of that name."""


class NotFittedError(PenchantError, ValueError, AttributeError):
    """A model was used before `fit`."""


class ArtifactError(PenchantError, ValueError):
    """A saved artifact is damaged, foreign, newer than this version, or cannot be written."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """There is no artifact at the given path."""


class ArtifactWriteError(ArtifactError, OSError):
    """The operating system refused a write; ``errno`` says why."""

    @classmethod
    def at(cls, path: os.PathLike[str] | str, error: OSError) -> ArtifactWriteError:
        """Describe ``error``, met while saving to ``path``."""
        reason = error.strerror or str(error)
        result = cls(f"cannot save to {os.fspath(path)!r}: {reason}")
        result.errno = error.errno
        return result


class UnsupportedError(PenchantError, NotImplementedError):
    """The model has no answer to this kind of question."""


class RequestError(PenchantError, ValueError):
    """A request that cannot be answered; the message names the line and the field."""


class HTTPError(PenchantError, RuntimeError):
    """What a server answers with a status of its own; `status` and more `headers` say how."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class JobError(PenchantError, RuntimeError):
    """A job failed, or is not where it would have to be."""


class MediaTypeError(RequestError):
    """A body in a format that is not read here (415 over HTTP)."""


class RequestTooLargeError(RequestError):
    """A request, or the answer it asks for, is over a limit of the server: HTTP's status 413."""


class MissingExtraError(PenchantError, ImportError):
    """An optional package is needed and is not installed."""


class MissingFileError(PenchantError, FileNotFoundError):
    """A file or directory does not exist."""


class PenchantWarning(UserWarning):
    """Penchant changed something on the way in (rows dropped, ids turned into text) and says so."""


def require(module: str, extra: str | None = None) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.
    extra : str, optional
        Name of the extra that installs it; None if the package is in none.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the package is not installed. Any other failure inside it is passed on.

    Examples
    --------
    >>> require("json", "all").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] != module.partition(".")[0]:
            raise
        command = f"pip install 'penchant[{extra}]'" if extra else f"pip install {missing}"
        raise MissingExtraError(
            f"this needs the package {missing!r}, which is not installed: {command}",
            name=missing,
        ) from error


def notice(message: str) -> None:
    """Tell the caller about a change to their data: a `PenchantWarning` at the caller's own line.

    Parameters
    ----------
    message : str
        One sentence: what was changed and how much of it.
    """
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE_ROOT):
        frame = frame.f_back
        level += 1
    warnings.warn(message, PenchantWarning, stacklevel=level)


def closest(name: object, options: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the closest option, or nothing if none is close.

    Examples
    --------
    >>> closest("customerid", ["CustomerID", "Price"])
    ", did you mean 'CustomerID'?"
    >>> closest("zzz", ["CustomerID", "Price"])
    ''
    """
    by_fold: dict[str, str] = {}
    # No text is a caller's mistake that the message shows; a long one is no misspelling, and to
    # compare it would hold a server up.
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    for option in options:
        by_fold.setdefault(option.casefold(), option)
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1)
    return f", did you mean {by_fold[found[0]]!r}?" if found else ""


def choose(parameter: str, value: object, options: Iterable[str]) -> None:
    """Check that ``value`` is one of ``options``.

    Raises
    ------
    ParameterError
        Naming the parameter, the value and all options.

    Examples
    --------
    >>> choose("metric", "ip", ["ip", "cosine"])
    >>> choose("metric", "cosin", ["cosine"])
    Traceback (most recent call last):
    ...
    penchant.errors.ParameterError: metric='cosin' is not one of 'cosine', did you mean 'cosine'?
    """
    options = list(options)
    if not isinstance(value, str) or value not in options:
        hint = closest(value, options)
        raise ParameterError(
            f"{parameter}={value!r} is not one of {', '.join(map(repr, options))}{hint}"
        )
