"""One table as an uncompressed Arrow IPC file, mapped without a copy."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from penchant.errors import ArtifactError

if TYPE_CHECKING:
    import pyarrow as pa


def encode_table(table: pa.Table, file: io.RawIOBase) -> None:
    """Write ``table`` to an open file: as one batch, so equal tables give equal bytes."""
    import pyarrow as pa

    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def decode_table(buffer: memoryview, name: str, *, validate: bool) -> pa.Table:
    """Return the table in an Arrow IPC file as a view of ``buffer``.

    Parameters
    ----------
    buffer : memoryview of unsigned bytes
        A whole file.
    name : str
        The file, for errors.
    validate : bool
        Check every offset and all text. A matching checksum does not make that superfluous: it
        says nothing about who made the file.

    Raises
    ------
    ArtifactError
        If the file is not sound.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.py_buffer(buffer)).read_all()
        if validate:
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"{name}: not a sound Arrow file ({error})") from error
    return table
