"""``model.json``: what an artifact holds, and how to tell that it still does.

Format version 1, an example::

    {
      "class": "BPR",                         what the caller's ``meta`` names as such;
      "created_by": "penchant 0.1.0",         informative
      "files": [
        {"file": "item_factors.3f8a90bb1c2d4e5f.safetensors", "kind": "array",
         "name": "item_factors", "sha256": "3f8a90bb1c2d4e5f...", "size": 1048640}
      ],
      "format": "penchant-artifact",
      "format_version": 1,
      "meta": {...},                          the rest of ``meta``
      "metrics": {"precision@10": 0.21},      these three are on top for people and
      "parameters": {"factors": 64},          for tools that know no model
      "sha256": "9c56cc51b374c3ba..."         of this document without this field
    }

The JSON is canonical (sorted keys, no clock, no host name): equal content gives equal bytes.
``sha256`` is that of the canonical bytes, in every format version: readers check it before they
believe anything else, so the file may be indented differently but not say anything different.
A data file's name carries the start of its own SHA-256, so a name never means two contents and
files are immutable: a new version of an artifact only ever adds files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from penchant._version import __version__
from penchant.errors import ArtifactError

FORMAT = "penchant-artifact"
FORMAT_VERSION = 1
MANIFEST = "model.json"
MAX_MANIFEST_BYTES = 64 * 2**20

SUFFIXES = {"array": "safetensors", "table": "arrow"}
_TOP = ("class", "parameters", "metrics")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FILE = re.compile(r"([a-z][a-z0-9_]{0,63})\.([0-9a-f]{16})\.(safetensors|arrow)")
# Made from an artifact, beside it; see `penchant.storage.derived`.
_DERIVED = re.compile(r"[a-z][a-z0-9_]{0,63}\.[0-9a-f]{16}\.[a-z0-9-]{1,32}\.(prepared|json)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, order=True)
class Entry:
    """One data file of an artifact.

    Attributes
    ----------
    kind : "array" or "table"
    name : str
        The key under which the caller stored it.
    sha256 : str
        Of the whole file, 64 hexadecimal digits.
    size : int
        In bytes.
    """

    kind: str
    name: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """The file's name inside the artifact."""
        return f"{self.name}.{self.sha256[:16]}.{SUFFIXES[self.kind]}"


def data_file(file: str) -> tuple[str, str] | None:
    """Return (kind, name) if ``file`` can be a data file's name, else None."""
    match = _FILE.fullmatch(file)
    if match is None:
        return None
    return ("table" if match[3] == "arrow" else "array"), match[1]


def is_derived(file: str) -> bool:
    """Tell whether ``file`` can be the name of what was made from an artifact, beside it."""
    return _DERIVED.fullmatch(file) is not None


def check_name(name: str) -> None:
    """Refuse a key that cannot be part of a file's name on every system."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ArtifactError(
            f"{name!r} cannot name an array or table: use lower-case letters, digits and _, "
            "a letter first, at most 64"
        )


def build_manifest(meta: Mapping[str, Any], entries: Iterable[Entry]) -> bytes:
    """Return the bytes of ``model.json``.

    Raises
    ------
    ArtifactError
        If ``meta`` holds something that JSON cannot (NaN, infinity, sets, objects, keys that are
        not text); the message says where.
    """
    plain: dict[str, Any] = _plain(meta, "meta")
    document: dict[str, Any] = {key: plain.pop(key) for key in _TOP if key in plain}
    document |= {
        "created_by": f"penchant {__version__}",
        "files": [dataclasses.asdict(entry) | {"file": entry.file} for entry in sorted(entries)],
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "meta": plain,
    }
    try:
        return _canonical(document | {"sha256": _digest(document)})
    except UnicodeEncodeError as error:
        raise ArtifactError(f"meta holds text that is not valid Unicode: {error}") from error


def parse_manifest(data: bytes, where: object) -> tuple[dict[str, Any], list[Entry]]:
    """Return the caller's ``meta`` and the list of files.

    Parameters
    ----------
    data : bytes
        Of ``model.json``; nothing in it is trusted.
    where : path
        For errors.

    Raises
    ------
    ArtifactError
        If this is not the ``model.json`` of an artifact, is damaged, is newer than this version
        of Penchant, or names a file outside the artifact.
    """
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: not a Penchant artifact, or a damaged one: not JSON ({error})"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ArtifactError(f'{where}: not a Penchant artifact: no "format": {FORMAT!r} in it')
    _check_digest(document, where)
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise ArtifactError(f"{where}: damaged: format_version is {version!r}")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{where}: written in format {version} by {document.get('created_by')!s:.80}, and "
            f"Penchant {__version__} reads formats up to {FORMAT_VERSION}: upgrade penchant"
        )
    meta, files = document.get("meta"), document.get("files")
    if not isinstance(meta, dict) or not isinstance(files, list):
        raise ArtifactError(f"{where}: damaged: 'meta' or 'files' is missing or of the wrong kind")
    entries = [_parse_entry(record, where) for record in files]
    if len({(entry.kind, entry.name) for entry in entries}) < len(entries):
        raise ArtifactError(f"{where}: damaged: it lists the same name twice")
    return meta | {key: document[key] for key in _TOP if key in document}, entries


def _canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def version_of(manifest: bytes) -> str:
    """Return the version of an artifact: 12 hex digits of the SHA-256 of its ``model.json``.

    Examples
    --------
    >>> version_of(b"{}")
    '44136fa355b3'
    """
    return hashlib.sha256(manifest).hexdigest()[:12]


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _check_digest(document: dict[str, Any], where: object) -> None:
    rest = {key: value for key, value in document.items() if key != "sha256"}
    try:
        sound = document.get("sha256") == _digest(rest)
    except (ValueError, RecursionError):  # 1e999, half a surrogate pair: never written
        sound = False
    if not sound:
        raise ArtifactError(
            f"{where}: damaged: its content does not match the SHA-256 checksum in it; copy the "
            "artifact again or save the model again (the file is not meant to be edited)"
        )


def _parse_entry(record: Any, where: object) -> Entry:
    if not isinstance(record, dict):
        raise ArtifactError(f"{where}: damaged: an entry of 'files' is {record!r:.80}")
    file, sha256, size = record.get("file"), record.get("sha256"), record.get("size")
    if isinstance(file, str) and _escapes(file):
        raise ArtifactError(f"{where}: refused: it names {file!r:.200}, outside the artifact")
    parts = data_file(file) if isinstance(file, str) else None
    if parts and isinstance(sha256, str) and _SHA256.fullmatch(sha256) and type(size) is int:
        entry = Entry(*parts, sha256, size)
        if size > 0 and record == dataclasses.asdict(entry) | {"file": entry.file}:
            return entry
    raise ArtifactError(f"{where}: damaged: the entry of 'files' for {file!r:.200} makes no sense")


def _escapes(file: str) -> bool:
    path = PurePosixPath(file.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or len(path.parts) > 1 or ":" in file


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _plain(value: Any, where: str) -> Any:
    """Copy ``value`` into plain JSON types, so that reading gives back what was written."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArtifactError(
                f"{where} is {value}, which JSON cannot hold: leave it out or use None"
            )
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ArtifactError(f"{where} has the key {key!r}: keys must be text")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise ArtifactError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: convert it to text, "
        "numbers, lists or dicts, or store it as an array or a table"
    )
