"""Connections of the server: closed when nobody asks anything on them, so that a thousand of such
do not keep others out."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_TIME = 20.0
"""Seconds in which a request must be there, from the connection or the answer before it on."""


class PatientConnection(H11Protocol):
    """A connection whose requests come in time, however few bytes of them come now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._due: asyncio.TimerHandle | None = None
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._expect_nothing()

    def on_response_complete(self) -> None:
        self._expect_request()
        super().on_response_complete()

    def _expect_request(self) -> None:
        self._expect_nothing()
        self._due = self.loop.call_later(REQUEST_TIME, self._close_if_unasked)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _close_if_unasked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
