"""One array as a safetensors file, written from and mapped into memory without a copy.

The format (https://github.com/huggingface/safetensors#format) is eight bytes of header length,
a JSON header and raw little-endian data. The ``safetensors`` package reads these files, but
copies every array; mapping is what lets several server processes share one model's memory.
"""

from __future__ import annotations

import io
import json
import math
import struct
from typing import Any

import numpy as np

from penchant.errors import ArtifactError

_CODES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
    "BOOL": "|b1",
}  # fmt: skip
_NAMES = {dtype: code for code, dtype in _CODES.items()}
_TENSOR = "data"
# Data starts at a multiple of a cache line, so the widest SIMD load of a mapped row is aligned.
_ALIGNMENT = 64
_MAX_DIMENSIONS = 32  # numpy 1's limit; numpy 2 allows 64


def encode_array(array: np.ndarray[Any, Any], name: str, file: io.RawIOBase) -> None:
    """Write an array to an open file.

    Parameters
    ----------
    array : ndarray of bool, integers or floats, any shape, any memory order
        Copied only if it is not C-contiguous and little-endian already.
    name : str
        What to call the array in an error.
    file : binary file

    Raises
    ------
    ArtifactError
        For a dtype that safetensors cannot hold (text, objects, dates, complex numbers).
    """
    code = _NAMES.get(array.dtype.newbyteorder("<").str)
    if code is None:
        raise ArtifactError(
            f"array {name!r} has dtype {array.dtype}, which an artifact cannot hold: "
            "store booleans, integers or floats as arrays, and text or dates in a table"
        )
    stored = np.asarray(array, dtype=_CODES[code], order="C")
    entry = {"dtype": code, "shape": list(stored.shape), "data_offsets": [0, stored.nbytes]}
    text = json.dumps({_TENSOR: entry}, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    file.write(stored.reshape(-1).view(np.uint8).data)


def decode_array(buffer: memoryview, name: str) -> np.ndarray[Any, Any]:
    """Return the array in a safetensors file as a view of ``buffer``.

    Parameters
    ----------
    buffer : memoryview of unsigned bytes
        A whole file. The array is read-only if the buffer is.
    name : str
        The file, for errors.

    Returns
    -------
    ndarray, C-contiguous, of the stored dtype and shape

    Raises
    ------
    ArtifactError
        If the file is not exactly one well-formed tensor.
    """
    try:
        (length,) = struct.unpack_from("<Q", buffer)
        header = json.loads(bytes(buffer[8 : 8 + length]))
        entry = header[_TENSOR]
        dtype = np.dtype(_CODES[entry["dtype"]])
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{name}: not a safetensors file of one array ({error})") from error
    start = 8 + length
    if (
        set(header) - {"__metadata__"} != {_TENSOR}
        or not all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        or len(shape) > _MAX_DIMENSIONS
        or begin != 0
        or end != math.prod(shape) * dtype.itemsize
        or start + end != len(buffer)
        or start % dtype.itemsize
    ):
        raise ArtifactError(
            f"{name}: its header (dtype {entry['dtype']}, shape {entry['shape']}) does not "
            f"match its {len(buffer)} bytes"
        )
    return np.ndarray(shape, dtype, buffer, start)
