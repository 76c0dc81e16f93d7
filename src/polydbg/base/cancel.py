"""Cooperative cancellation: long loops poll a token, at least every 50 ms of work."""

from __future__ import annotations

import threading

from polydbg.base.errors import Cancelled


class CancelToken:
    """Set from any thread, polled by the engine thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work that polls this token to stop."""
        self._event.set()

    def reset(self) -> None:
        """Make the token usable for the next command."""
        self._event.clear()

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """:raises Cancelled: when :meth:`cancel` was called since the last :meth:`reset`."""
        if self._event.is_set():
            raise Cancelled


class LentToken(CancelToken):
    """The token of work that goes on within other work, *whole*'s: that is not to be forgotten by
    who begins a part of it."""

    def __init__(self, whole: CancelToken) -> None:
        self._event = whole._event

    def reset(self) -> None:
        """:raises Cancelled: the whole is to stop."""
        self.check()
