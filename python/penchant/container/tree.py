"""The tree of files that a container and SageMaker share, ``/opt/ml``."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from penchant.errors import DataError, MissingFileError, ParameterError, closest
from penchant.warehouse.credentials import hide

__all__ = ["CHANNELS", "Tree", "now", "say"]

CHANNELS = ("training", "validation", "testing", "items", "users")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FAILURE = 1024  # characters that SageMaker shows
_DEFAULT = "/opt/ml"


class Tree:
    """The files of one training job, or of one server.

    Parameters
    ----------
    root : path, optional
        Default: the environment's ``PENCHANT_ML_ROOT``, or ``/opt/ml``.

    Attributes
    ----------
    root, data, model, models, output : Path
        The tree; the folders of the channels, of the model, of the models of a multi-model
        server, and of what a job tells about itself.
    """

    def __init__(self, root: os.PathLike[str] | str | None = None) -> None:
        self.root = Path(root or os.environ.get("PENCHANT_ML_ROOT") or _DEFAULT)
        self.data = self.root / "input" / "data"
        self.model = self.root / "model"
        self.models = self.root / "models"
        self.output = self.root / "output"

    @property
    def failure(self) -> Path:
        """The file that says why a job failed."""
        return self.output / "failure"

    @property
    def archive(self) -> Path:
        """The model as one file, as SageMaker uploads it."""
        return self.output / "model.tar.gz"

    @property
    def summary(self) -> Path:
        """The JSON file that tells what a job has done."""
        return self.output / "data" / "training.json"

    def config(self, name: str) -> dict[str, Any]:
        """Return a document of ``input/config``, empty where there is none.

        Raises
        ------
        DataError
            It is no JSON object.
        """
        path = self.root / "input" / "config" / f"{name}.json"
        try:
            found = json.loads(path.read_bytes().decode("utf-8-sig"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise DataError(f"input/config/{name}.json is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise DataError(f"input/config/{name}.json must hold an object, not {found!r:.60}")
        return found

    def check(self) -> None:
        """Find out whether there is a tree and whether this job is for one machine.

        Raises
        ------
        MissingFileError
            There is no ``input`` in it.
        ParameterError
            Several hosts are to train, where each would train the same model.
        """
        if not (self.root / "input").is_dir():
            raise MissingFileError(
                f"{self.root} has no folder 'input': --root or PENCHANT_ML_ROOT names the tree"
            )
        hosts = self.config("resourceconfig").get("hosts")
        if isinstance(hosts, list) and len(hosts) > 1:
            raise ParameterError(
                f"{len(hosts)} hosts are to train, and a model is trained on one: ask for "
                "instance_count=1"
            )

    def channels(self) -> dict[str, dict[str, Any]]:
        """Return the channels there are, with their settings in ``inputdataconfig.json``.

        Raises
        ------
        DataError
            A channel has another name than those of `CHANNELS`, or settings that do not go.
        """
        said = self.config("inputdataconfig")
        names = set(said)
        with contextlib.suppress(FileNotFoundError):
            names |= {path.name for path in self.data.iterdir() if not path.name.startswith(".")}
        found: dict[str, dict[str, Any]] = {}
        for name in sorted(names):
            if not _NAME.fullmatch(name) or name not in CHANNELS:
                raise DataError(
                    f"there is no use for a channel {name!r:.80}{closest(name, CHANNELS)}; "
                    f"channels are {', '.join(CHANNELS)}"
                )
            settings = said.get(name, {})
            if not isinstance(settings, dict):
                raise DataError(f"inputdataconfig.json: {name} must be an object")
            mode = settings.get("TrainingInputMode", "File")
            if mode not in ("File", "FastFile"):
                raise DataError(f"channel {name}: input mode {mode!r:.40} is not read: use File")
            found[name] = settings
        return found

    def clear(self) -> None:
        """Remove what an earlier job in this tree has told, which SageMaker's trees never have.

        Else its archive would lie beside the failure of this one. The model itself stays until
        there is another: somebody may be serving it.
        """
        for path in (self.failure, self.archive, self.summary):
            path.unlink(missing_ok=True)

    def manifest(self) -> bytes | None:
        """Return the bytes that tell the model in `model` from any other; None without one."""
        with contextlib.suppress(OSError):
            return (self.model / "model.json").read_bytes()
        return None

    def fail(self, message: str) -> None:
        """Write what failed to `failure`, the beginning where SageMaker shows it."""
        with contextlib.suppress(OSError):  # the log has it too
            self.output.mkdir(parents=True, exist_ok=True)
            self.failure.write_text(
                hide(message)[: 16 * _FAILURE], encoding="utf-8", errors="replace"
            )


def now() -> str:
    """Return the time as log lines begin with it: UTC, with milliseconds."""
    time = datetime.datetime.now(datetime.timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(text: str) -> None:
    """Print a line of the log, without the secrets that were read."""
    print(f"{now()} {hide(text)}", file=sys.stdout, flush=True)
