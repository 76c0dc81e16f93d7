"""What all objects of one open dump share, and what tells them that it is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken, LentToken
from polydbg.base.errors import TargetError
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.library.records import Frame
from polydbg.targets.target import ThreadInfo

if TYPE_CHECKING:
    from polydbg.library.variables import Locals

MAX_FRAMES = 0xFFFF
"""How many rows of a stack there are at most, unless fewer are asked for."""


class Handle:
    """The engine's session and its dump, until :meth:`close`."""

    def __init__(self, session: Session, system: System, whole: CancelToken | None = None) -> None:
        """Keep the session of *system*. With *whole* it is lent: what is done in it is a part of
        the work of that token, and closing only gives it back."""
        self._session: Session | None = session
        self._system: System | None = system
        self._is_lent = whole is not None
        self.cancel = CancelToken() if whole is None else LentToken(whole)

    @property
    def session(self) -> Session:
        """:raises TargetError: the session is closed."""
        if self._session is None:
            raise TargetError("the session is closed", identifier="session.closed")
        return self._session

    @property
    def system(self) -> System:
        """:raises TargetError: the session is closed."""
        if self._system is None:
            raise TargetError("the session is closed", identifier="session.closed")
        if self.session.files.downloads.has_finished():
            from polydbg.engine.arrivals import take_arrivals

            take_arrivals(self.session)  # what came too late for the question that wanted it
        return self._system

    @property
    def is_open(self) -> bool:
        return self._session is not None

    def close(self) -> None:
        session, self._session, self._system = self._session, None, None
        if session is not None and not self._is_lent:
            session.close()

    def frames(
        self, registers: Mapping[str, int], limit: int, thread: ThreadInfo | None = None
    ) -> Iterator[Frame]:
        """Yield the stack that *registers* begin, unwound as far as it is asked for; *thread* is
        whose it is, where that is known."""
        self.cancel.reset()
        for row in self.session.stack(self.system, registers, limit, self.cancel):
            yield Frame.of(row, partial(self._locals, row, thread))

    def _locals(self, row: StackFrame, thread: ThreadInfo | None) -> Locals:
        from polydbg.library.variables import Locals

        return Locals(self, row, thread)
