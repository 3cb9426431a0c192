"""Connections on which no request comes: uvicorn waits for ever for the head of one that was begun.

`http` ends the wait for a body; a head that is not complete has no request that could be answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penchant.serving.http import WAIT_SECONDS

__all__ = ["TimedProtocol"]


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for clients that never finish the head of a request.

    What is looked at now and then is whether the connection still waits behind the same answered
    request (or none at all): requests themselves cost nothing more. uvicorn ends connections
    without a byte of the next request long before.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look after the connection."""
        super().connection_made(transport)
        self._behind: Any = None  # the last request
        self._since = self.loop.time()
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """End it."""
        self._looking.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol, which has rules of its own."""
        self._looking.cancel()
        super().handle_websocket_upgrade()

    def _look_again(self) -> None:
        self._looking = self.loop.call_later(WAIT_SECONDS / 10, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.cycle is not self._behind:
            self._behind, self._since = self.cycle, now
        elif now - self._since > WAIT_SECONDS:
            self.transport.close()  # which sends what is left of the last answer
            return
        self._look_again()
