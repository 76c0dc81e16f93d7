"""The error tree: every failure that a user can cause or a file can hold.

Errors carry a message of one line, a stable ``identifier`` for scripts, and a ``hint`` that says
what to try next. Nothing below the service prints; it raises one of these::

    DebuggerError
      FormatError            bytes are not what their format promises
      MemoryReadError        the target has no byte at an address
      TargetError            the debuggee cannot be opened or reached
        UnsupportedOperation what this kind of target cannot do
      UnwindError            unwind data exists but makes no sense
      ExpressionError        an expression that cannot be evaluated
      CommandError           a command that cannot be read or carried out

``Cancelled`` stands outside the tree, so that no handler of errors swallows an interrupt.
"""

from __future__ import annotations


class DebuggerError(Exception):
    """Base of everything that is reported to the user in one line."""

    identifier = "error"

    def __init__(self, message: str, *, hint: str = "", identifier: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if identifier is not None:
            self.identifier = identifier


class FormatError(DebuggerError):
    """Bytes are not what the format promises. *offset* is where, in bytes from the start."""

    identifier = "format.damaged"

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        hint: str = "",
        identifier: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, identifier=identifier)
        self.offset = offset


class MemoryReadError(DebuggerError):
    """The address space has no byte at *address*, the first missing one."""

    identifier = "memory.absent"

    def __init__(self, address: int) -> None:
        super().__init__(f"address {address:#x} is not present")
        self.address = address


class TargetError(DebuggerError):
    """A debuggee cannot be opened or reached."""

    identifier = "target.error"


class UnsupportedOperation(TargetError):  # noqa: N818 - as io.UnsupportedOperation
    """This kind of target cannot do what was asked."""

    identifier = "target.unsupported"


class UnwindError(DebuggerError):
    """There are unwind rules for an address but they do not make sense."""

    identifier = "unwind.damaged"


class ExpressionError(DebuggerError):
    """An expression cannot be evaluated. The message is WinDbg's (section 26 of its vocabulary).

    *column* is the index in the expression of the token that failed, ``None`` where it is not one.
    """

    identifier = "expression.error"
    column: int | None = None

    def __init__(
        self,
        message: str,
        *,
        column: int | None = None,
        hint: str = "",
        identifier: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, identifier=identifier)
        self.column = column


class CommandError(DebuggerError):
    """A command cannot be read or carried out.

    *caret* is the index in the command text of the last character read, where WinDbg points,
    or ``None`` for messages that stand alone. *quote_end* is where the command's quotation ends
    when reading stopped there; then the message goes straight before it: ``^ TEXT 'x foo'``.
    """

    identifier = "command.error"

    def __init__(
        self,
        message: str,
        *,
        caret: int | None = None,
        quote_end: int | None = None,
        hint: str = "",
        identifier: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, identifier=identifier)
        self.caret = caret
        self.quote_end = quote_end


class Cancelled(BaseException):
    """The user asked to stop (Ctrl+C). No handler of errors swallows a BaseException."""
