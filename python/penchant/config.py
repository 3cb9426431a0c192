"""What this installation is made of: the first thing to paste into a bug report."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from html import escape
from importlib import metadata
from typing import Any

__all__ = ["Config", "read_config", "show_config"]

# Distributions that switch on a part of Penchant, by the extra that brings them.
_OPTIONAL = {
    "matplotlib": "plot",
    "fastapi": "serve",
    "uvicorn": "serve",
    "polars": "polars",
    "lightgbm": "lightgbm",
    "scipy": "",
    "scikit-learn": "",
}
_REQUIRED = ("numpy", "pandas", "pyarrow", "narwhals", "tqdm", "typer")
# Settings that change what the native code does: worth seeing when a machine behaves oddly.
_ENVIRONMENT = ("PENCHANT_NUM_THREADS", "OMP_NUM_THREADS", "PENCHANT_ISA", "PENCHANT_DATA")


@dataclass(frozen=True)
class Config:
    """The installed Penchant, its native core and the packages around it.

    Attributes
    ----------
    version : str
        Penchant's version.
    python, platform : str
        The interpreter and the operating system.
    compiler : str
        What compiled the native core.
    isa : str
        The instruction set picked for the kernels when the core was imported.
    isas_available : tuple of str
        Instruction sets that are both compiled in and supported by this CPU.
    threads : int
        Threads used unless a call says otherwise; CPU affinity, cgroup limits, `OMP_NUM_THREADS`
        and `PENCHANT_NUM_THREADS` are honoured.
    cpus : int
        Logical CPUs of the machine.
    build : dict
        Everything else the core reports about its build.
    packages : dict of str to str
        Versions of the packages Penchant requires.
    optional : dict of str to (str or None)
        Versions of the optional packages; None where one is not installed.
    environment : dict of str to str
        Environment variables that influence Penchant and are set.
    """

    version: str
    python: str
    platform: str
    compiler: str
    isa: str
    isas_available: tuple[str, ...]
    threads: int
    cpus: int
    build: dict[str, Any]
    packages: dict[str, str | None]
    optional: dict[str, str | None]
    environment: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the whole configuration as plain Python values."""
        return asdict(self)

    def to_json(self, indent: int | None = 2) -> str:
        """Return the whole configuration as JSON text."""
        return json.dumps(self.as_dict(), indent=indent, default=str)

    def _rows(self) -> list[tuple[str, str]]:
        optional = [
            f"{name} {version}" if version else f"{name} not found" + _hint(name)
            for name, version in self.optional.items()
        ]
        rows = [
            ("version", self.version),
            ("python", f"{self.python} on {self.platform}"),
            ("compiler", self.compiler),
            ("ISA", f"{self.isa} (available: {', '.join(self.isas_available)})"),
            ("threads", f"{self.threads} of {self.cpus} CPUs (cgroup limits honoured)"),
        ]
        rows += [(name, str(value)) for name, value in self.build.items()]
        rows += [("requires", ", ".join(f"{n} {v or 'MISSING'}" for n, v in self.packages.items()))]
        rows += [("optional" if i == 0 else "", text) for i, text in enumerate(optional)]
        rows += [(name, value) for name, value in self.environment.items()]
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(["Penchant", *(f"  {name:<{width}}  {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>Penchant</caption><tbody>{cells}</tbody></table>"


def show_config() -> None:
    """Print what this installation is: version, compiler, instruction set, threads, packages.

    `penchant.config.read_config` returns the same as an object.

    Examples
    --------
    >>> import penchant
    >>> penchant.show_config()  # doctest: +ELLIPSIS
    Penchant
      version ...
    """
    print(repr(read_config()))


def read_config() -> Config:
    """Return what `show_config` prints.

    Returns
    -------
    Config
        With `as_dict()` and `to_json()` for machines.

    Examples
    --------
    >>> from penchant.config import read_config
    >>> config = read_config()
    >>> config.isa in config.isas_available
    True
    >>> config.threads >= 1
    True
    """
    from penchant import __version__, _core

    build = dict(_core.build_info())
    return Config(
        version=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}",
        compiler=str(build.pop("compiler", "unknown")),
        isa=_core.isa(),
        isas_available=tuple(_core.available_isas()),
        threads=_core.default_num_threads(),
        cpus=os.cpu_count() or 1,
        build=build,
        packages={name: _version(name) for name in _REQUIRED},
        optional={name: _version(name) for name in _OPTIONAL},
        environment={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )


def _version(distribution: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _hint(distribution: str) -> str:
    extra = _OPTIONAL[distribution]
    return f" (pip install 'penchant[{extra}]')" if extra else ""
