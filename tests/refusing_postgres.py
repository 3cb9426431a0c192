"""A PostgreSQL server that lets nobody in, and says with which password they tried."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while True:
            size, code = struct.unpack("!ii", self.rfile.read(8))
            self.rfile.read(size - 8)
            if code == 196608:  # version 3.0 of the protocol, and no wish for encryption
                break
            self.wfile.write(b"N")
        self.wfile.write(b"R" + struct.pack("!ii", 8, 3))  # the password, as clear text
        _, size = struct.unpack("!ci", self.rfile.read(5))
        password = self.rfile.read(size - 4).rstrip(b"\0")
        fields = b"SFATAL\0VFATAL\0C28P01\0Mthis is not the password: " + password + b"\0\0"
        self.wfile.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)


@contextlib.contextmanager
def refusing_postgres() -> Iterator[str]:
    """Yield the URL of a database at such a server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"postgresql://me@127.0.0.1:{server.server_address[1]}/shop?sslmode=disable"
        server.shutdown()
        thread.join()
