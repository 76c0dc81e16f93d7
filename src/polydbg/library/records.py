"""What the library hands out by value: frames, exceptions, the results of commands.

Addresses are numbers. Names and texts from dumps have their control characters escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import CommandError
from polydbg.commands.output import Failure, Item
from polydbg.engine.analysis.model import Analysis
from polydbg.engine.stack import StackFrame

if TYPE_CHECKING:
    from polydbg.library.variables import Locals


class Frame(msgspec.Struct, frozen=True):
    """One row of a stack, innermost first; inlined calls are rows too (*is_inline*).

    *module* and *symbol* are ``""`` where not known, *displacement* counts from the symbol, else
    from the module. *file* and *line* are ``""`` and 0 without line information; the line is that
    of the call, not of the return address. *symbols* is the kind of symbols that the name comes
    from (``pdb``, ``breakpad``, ``dwarf``, ``elf``, ``macho``, ``coff``, ``export``). *trust* says
    how the frame was found (``context``, ``unwind info``, ``scan``, ...); *is_guess* that no table
    vouches for it, *follows_guess* that a frame before it was one: both may be wrong.
    *is_unverified* says that the module's file may be of another build. *registers* are those known
    in the frame: calls do not keep all.
    """

    number: int
    pc: int
    sp: int
    return_address: int | None
    module: str
    symbol: str
    displacement: int
    file: str
    line: int
    is_inline: bool
    trust: str
    is_guess: bool
    follows_guess: bool
    registers: Mapping[str, int]
    name: str  # as k prints it: module!symbol+0x12
    symbols: str = ""
    is_unverified: bool = False
    _locals: Callable[[], Locals] | None = None

    @property
    def locals(self) -> Locals:
        """Return the variables in scope here by name, looked up when this is asked.

        :raises DebuggerError: the symbols have no records of variables, or the session is closed.
        """
        if self._locals is None:
            raise CommandError(
                "this frame is not part of a stack, so it has no variables",
                identifier="types.no-locals",
            )
        return self._locals()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return msgspec.structs.astuple(self)[:-1] == msgspec.structs.astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash((self.number, self.pc, self.sp))

    @classmethod
    def of(cls, row: StackFrame, variables: Callable[[], Locals] | None = None) -> Frame:
        """Return the record of a row of the engine's; *variables* looks up those in scope."""
        place = row.place
        return cls(
            number=row.number,
            pc=row.frame.pc,
            sp=row.frame.sp,
            return_address=row.frame.return_address,
            module=place.module,
            symbol=place.symbol,
            displacement=place.displacement,
            file=row.file,
            line=row.line,
            is_inline=row.is_inline,
            trust=row.trust.value,
            is_guess=row.trust.is_guess,
            follows_guess=row.frame.follows_guess,
            registers=row.registers,
            name=place.text,
            symbols=row.symbols,
            is_unverified=row.is_unverified,
            _locals=variables,
        )

    def __repr__(self) -> str:
        return f"<Frame {self}>"

    def __str__(self) -> str:
        source = f" [{self.file} @ {self.line}]" if self.file else ""
        return f"{self.number:02x} {self.name}{source}"


class ExceptionInfo(msgspec.Struct, frozen=True):
    """The exception that the dump stores, in its system's own numbers and names.

    *name* is ``Access violation``, ``SIGSEGV``, ...; *meaning* what an access violation tried,
    ``""`` for other exceptions. *thread_id* is the system's id of the thread. *registers* are those
    of the moment, which a thread's own may not be (it may have gone on to write the dump); empty
    where the dump has none. *address* is ``None`` where the dump has none.
    """

    code: int
    name: str
    address: int | None
    flags: int
    parameters: tuple[int, ...]
    meaning: str
    thread_id: int
    registers: Mapping[str, int]

    def __repr__(self) -> str:
        at = f" at {self.address:#x}" if self.address is not None else ""
        return f"<ExceptionInfo {self.code:#x} {self.name}{at}>"


class ThreadWait(msgspec.Struct, frozen=True):
    """What a thread does: *thread* is its number, *waits_for* ``""`` where it runs, or where
    nothing tells (then *is_known* is false), *where* the innermost place in the program's own
    code."""

    thread: int
    waits_for: str
    is_known: bool
    where: str


class CrashAnalysis(msgspec.Struct, frozen=True):
    """What ``!analyze`` says, see docs/analysis.md.

    *confidence* is ``certain``, ``likely``, ``possible`` or ``unknown``. *access* is ``read``,
    ``write``, ``execute``, ``access`` where the direction is not known, or ``""`` where no access
    failed; *address* is what it was to, ``None`` when nothing tells, and *address_is_reported*
    whether the system said it or the operands of the instruction do. *blame* is the frame that
    *bucket* is named after; *waits* has each thread (of the first 512) where waiting was judged.
    """

    problem_class: str
    summary: str
    confidence: str
    evidence: tuple[str, ...]
    access: str
    address: int | None
    address_is_reported: bool
    frames: tuple[Frame, ...]
    blame: Frame | None
    recursion: tuple[str, ...]
    waits: tuple[ThreadWait, ...]
    managed_frames: int
    bucket: str
    bucket_rule: str
    bucket_hash: str

    @classmethod
    def of(cls, found: Analysis) -> CrashAnalysis:
        """Return the record of the engine's analysis."""
        access = found.fault.access
        return cls(
            problem_class=found.verdict.problem_class,
            summary=found.verdict.summary,
            confidence=found.verdict.confidence.value,
            evidence=found.verdict.evidence,
            access=access.kind.value if access else "",
            address=access.address if access else None,
            address_is_reported=access.is_reported if access else False,
            frames=tuple(Frame.of(row) for row in found.frames),
            blame=Frame.of(found.blame.frame) if found.blame else None,
            recursion=found.recursion.functions if found.recursion else (),
            waits=tuple(
                ThreadWait(wait.thread.ordinal, wait.waits_for, wait.is_known, wait.where)
                for wait in found.waits
            ),
            managed_frames=found.managed_frames,
            bucket=found.bucket,
            bucket_rule=found.bucket_rule,
            bucket_hash=found.bucket_hash,
        )


class CommandResult(msgspec.Struct, frozen=True):
    """What a line of commands said.

    *items* are typed objects, one for each thing shown; each has ``text()``. Their fields are those
    that docs/json.md describes.
    """

    line: str
    items: Sequence[Item]

    @property
    def text(self) -> str:
        """Return the output as the terminal shows it; nothing in it can steer one."""
        from polydbg.commands.output import joined
        from polydbg.service.render import text_of

        return joined(self.items, text_of).removesuffix("\n")

    @property
    def failures(self) -> list[Failure]:
        """Return the errors among the items."""
        return [item for item in self.items if isinstance(item, Failure)]

    @property
    def ok(self) -> bool:
        return not self.failures

    def json(self) -> list[dict[str, object]]:
        """Return the items as plain data, as ``--json`` prints them."""
        from polydbg.commands.output import Heading
        from polydbg.service.render import json_of

        return [json_of(item) for item in self.items if not isinstance(item, Heading)]

    def __str__(self) -> str:
        return self.text
