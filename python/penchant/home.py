"""Where Penchant keeps what is this user's: jobs, endpoints, and what was made from artifacts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["given_home", "home", "make_private"]


def given_home() -> Path | None:
    """Return the folder that ``PENCHANT_HOME`` names, as an absolute path; None without one.

    Examples
    --------
    >>> import os
    >>> os.environ["PENCHANT_HOME"] = "state"
    >>> given_home() == Path.cwd() / "state"
    True
    >>> del os.environ["PENCHANT_HOME"]
    """
    given = os.environ.get("PENCHANT_HOME")
    # Absolute, since processes that are started work in other folders.
    return Path(os.path.abspath(given)) if given else None


def home() -> Path:
    """Return the folder of this user's state: ``PENCHANT_HOME``, or ``~/.penchant``.

    Examples
    --------
    >>> home().is_absolute()
    True
    """
    return given_home() or Path.home() / ".penchant"


def make_private(path: Path) -> Path:
    """Make a folder, and missing ones above it, for this user alone.

    Those that are there already are left as they are.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path
        The same.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = make_private(Path(folder) / "a" / "b")
    ...     oct(made.parent.stat().st_mode & 0o777)
    '0o700'
    """
    if not path.is_dir():
        make_private(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    return path
