"""HTTP as uvicorn speaks it, with limits of what it has none of: time for headers, for reading, and connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_S = 10.0  # in which a connection must have sent the first line and the headers of a request that it began
READING_S = 300.0  # for which a client may take nothing of an answer; a player that pauses does not read on
MORE = 100  # connections beyond those that are answered, which are told so; others are closed


class TimedProtocol(H11Protocol):
    """A connection, which is closed when it asks nothing for too long, or does not read what it asked for.

    What still comes of a request that was answered already, such as a file that was refused, counts as asking nothing:
    else a connection could be held for ever by a byte now and then.
    """

    _waiting: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + MORE:
            transport.abort()
            return
        self._look()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in (self._waiting, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._reading = self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def _look(self) -> None:
        """Let a request that was begun have its time, from the first that came of it."""
        cycle: Any = getattr(self, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            if self._waiting is not None:
                self._waiting.cancel()
            self._waiting = None
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(HEADER_S, self._close_idle)

    def _close_idle(self) -> None:
        self._waiting = None
        cycle: Any = getattr(self, "cycle", None)
        if cycle is None or cycle.response_complete:
            self.transport.abort()
