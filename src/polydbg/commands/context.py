"""What a command may use: the session, the cancel token, the way to read its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.commands.cursor import Cursor
from polydbg.commands.flow import Flow
from polydbg.commands.output import Item
from polydbg.engine.evaluation import Evaluator
from polydbg.engine.session import Session, System
from polydbg.engine.settings import CPP
from polydbg.expr.context import EvaluationContext, ExtraCharacterError
from polydbg.expr.evaluator import evaluate, evaluate_prefix
from polydbg.expr.lexer import skip_blanks
from polydbg.expr.ranges import Range, Reader, parse_range


class CommandContext(msgspec.Struct, frozen=True):
    """Passed to every command.

    *run* executes a further command line in the same session (``~*k``, ``-cf``); *progress* reports
    work done of work to do, both in the same unit, for commands that take long. *block* runs the
    commands of a block in braces: one that fails ends the blocks around it, too.
    """

    session: Session
    cancel: CancelToken
    run: Callable[[str], Iterator[Item]]
    progress: Callable[[str, int, int], None]
    block: Callable[[str], Iterator[Item]]
    flow: Flow

    @property
    def system(self) -> System:
        """Return the current system (the dump that commands are about)."""
        return self.session.current

    def evaluate(self, text: str) -> int:
        """Return the value of a whole expression, as 64 bits. :raises ExpressionError:"""
        if self._read is evaluate_prefix:
            return evaluate(text, self.session.evaluator)
        value, end = self._read(text, 0, self.session.evaluator)
        if skip_blanks(text, end, len(text)) < len(text):
            raise ExtraCharacterError(skip_blanks(text, end, len(text)), value)
        return value

    @property
    def _read(self) -> Reader:
        """Return what reads expressions: MASM's or C++'s, as ``.expr`` says."""
        if self.session.settings.evaluator == CPP:
            return _read_cpp
        return evaluate_prefix

    def expression(self, cursor: Cursor) -> int:
        """Read one expression at the cursor. :raises ExpressionError:"""
        cursor.skip_blanks()
        value, cursor.position = self._read(cursor.text, cursor.position, self.session.evaluator)
        return value

    def range(
        self,
        cursor: Cursor,
        *,
        element_size: int,
        default_count: int | None,
        default_start: int | None = None,
        limit: int = 256 << 20,
        overflow: int | None = 0xFFFF_FFFF,
    ) -> Range:
        """Read an address or range at the cursor; sizes in bytes. See :mod:`polydbg.expr.ranges`.

        :raises ExpressionError: it is missing, backward, too large or has no value.
        """
        cursor.skip_blanks()
        found, cursor.position = parse_range(
            cursor.text,
            cursor.position,
            self.session.evaluator,
            element_size=element_size,
            default_count=default_count,
            default_start=default_start,
            limit=limit,
            overflow=overflow,
            read=self._read,
        )
        return found


def _read_cpp(
    text: str, position: int, context: EvaluationContext, *, end: int | None = None
) -> tuple[int, int]:
    assert isinstance(context, Evaluator)
    return context.evaluate_cpp(text, position, end=end)
