"""The typed answer of ``!analyze``: what JSON shows and programs read."""

from __future__ import annotations

from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.engine.analysis.model import Analysis
from polydbg.engine.program import process_id, program_module
from polydbg.engine.stack import StackFrame


class AnalysisFrame(Item, frozen=True):
    """A frame of the stack of the fault. *name* is ``mod!function+0x12``, *symbols* the kind of
    symbols that it comes from, *is_unverified* that the module's file may be of another build (see
    the frames of ``k``)."""

    number: int
    pc: Hex
    child_sp: Hex
    name: str
    module: str
    function: str
    file: str
    line: int
    is_inline: bool
    trust: str
    is_guess: bool
    follows_guess: bool
    symbols: str
    is_unverified: bool

    def text(self) -> str:
        return f"{self.number:02x} {self.name}"


class AnalysisWait(Item, frozen=True):
    """What a thread does: *waits_for* is ``""`` where it runs, or where nothing tells (then
    *is_known* is false); *where* is the innermost place in the program's own code."""

    thread: int
    id: Hex
    name: str
    waits_for: str
    is_known: bool
    where: str

    def text(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        place = f" in {self.where}" if self.where else ""
        state = "runs" if self.is_known else "runs or waits, which is not known,"
        if self.waits_for:
            state = f"waits for {self.waits_for}"
        return f"    thread {self.thread}{name} {state}{place}".rstrip(",")


class AnalysisItem(ShownItem, frozen=True):
    """What happened.

    *problem_class* is a stable word; *confidence* ``certain``, ``likely``, ``possible`` or
    ``unknown``; *access* ``read``, ``write``, ``execute`` or ``""``, with *access_address*, which
    *address_is_reported* by the system or else taken from the instruction's operands. *bucket*
    names the failure, by *bucket_rule*; *bucket_hash* is its GUID. *blame* is the number of the
    frame it is named after. *recursion* is the cycle of calls that used the stack up. *waits*
    says which thread waits for what, where that was judged: of the first 512 threads.
    """

    problem_class: str
    summary: str
    confidence: str
    evidence: tuple[str, ...]
    exception_code: Hex | None
    exception_name: str
    exception_detail: str
    exception_address: Hex | None
    exception_parameters: tuple[Hex, ...]
    access: str
    access_address: Hex | None
    address_is_reported: bool
    process_name: str
    process_id: Hex
    thread_id: Hex | None
    thread: int | None
    frames: tuple[AnalysisFrame, ...]
    is_cut: bool
    blame: int | None
    symbol_name: str
    module_name: str
    image_name: str
    file: str
    line: int
    recursion: tuple[str, ...]
    managed_frames: int
    managed_runtime: str
    waits: tuple[AnalysisWait, ...]
    bucket: str
    bucket_rule: str
    bucket_hash: str


def analysis_frame(row: StackFrame) -> AnalysisFrame:
    return AnalysisFrame(
        number=row.number,
        pc=row.frame.pc,
        child_sp=row.frame.sp,
        name=row.place.text,
        module=row.place.module,
        function=row.place.symbol,
        file=row.file,
        line=row.line,
        is_inline=row.is_inline,
        trust=row.trust.name.lower(),
        is_guess=row.trust.is_guess,
        follows_guess=row.frame.follows_guess,
        symbols=row.symbols,
        is_unverified=row.is_unverified,
    )


def waiting_threads(analysis: Analysis) -> tuple[AnalysisWait, ...]:
    return tuple(
        AnalysisWait(
            thread=wait.thread.ordinal,
            id=wait.thread.id,
            name=sanitise_line(wait.thread.name or ""),
            waits_for=wait.waits_for,
            is_known=wait.is_known,
            where=wait.where,
        )
        for wait in analysis.waits
    )


def wait_lines(ctx: CommandContext, analysis: Analysis, limit: int | None = None) -> list[str]:
    """Return a line for each of the waiting threads, at most *limit*, and how many are left."""
    lines = [wait.text() for wait in waiting_threads(analysis)[:limit]]
    left = len(ctx.system.threads) - len(lines)
    return [*lines, f"    ... {left} more threads"] if left else lines


def analysis_item(ctx: CommandContext, analysis: Analysis, shown: str) -> AnalysisItem:
    """Return the item for *analysis* with its text."""
    fault, record, verdict = analysis.fault, analysis.record, analysis.verdict
    blamed = analysis.blame.frame if analysis.blame else None
    return AnalysisItem(
        problem_class=verdict.problem_class,
        summary=verdict.summary,
        confidence=verdict.confidence.value,
        evidence=verdict.evidence,
        exception_code=record.code if record else None,
        exception_name=fault.name,
        exception_detail=fault.detail,
        exception_address=record.address if record else None,
        exception_parameters=record.parameters if record else (),
        access=fault.access.kind.value if fault.access else "",
        access_address=fault.access.address if fault.access else None,
        address_is_reported=fault.access.is_reported if fault.access else False,
        process_name=process_name(ctx),
        process_id=process_id(ctx.system),
        thread_id=analysis.thread.id if analysis.thread else None,
        thread=analysis.thread.ordinal if analysis.thread else None,
        frames=tuple(analysis_frame(row) for row in analysis.frames),
        is_cut=analysis.is_cut,
        blame=blamed.number if blamed else None,
        symbol_name=blamed.place.text if blamed else "",
        module_name=blamed.place.module if blamed else "",
        image_name=image_name(ctx, blamed) if blamed else "",
        file=blamed.file if blamed else "",
        line=blamed.line if blamed else 0,
        recursion=analysis.recursion.functions if analysis.recursion else (),
        managed_frames=analysis.managed_frames,
        managed_runtime=analysis.managed_runtime,
        waits=waiting_threads(analysis),
        bucket=analysis.bucket,
        bucket_rule=analysis.bucket_rule,
        bucket_hash=analysis.bucket_hash,
        shown=shown,
    )


def process_name(ctx: CommandContext) -> str:
    """Return the file name of the process's executable, ``""`` when the dump has no modules."""
    module = program_module(ctx.system)
    return sanitise_line(module.file_name) if module is not None else ""


def image_name(ctx: CommandContext, row: StackFrame) -> str:
    """Return the file name of the image of a frame."""
    if row.place.unloaded:
        return row.place.unloaded
    module = ctx.system.modules.at(row.frame.lookup_pc)
    return sanitise_line(module.info.file_name) if module else ""
