"""The sections of ``!analyze -v``, each ``NAME:`` and two blanks, as programs read them."""

from __future__ import annotations

from polydbg.base.error_codes import ntstatus_meaning
from polydbg.base.errors import DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.analysis_items import image_name, process_name, wait_lines
from polydbg.commands.context import CommandContext
from polydbg.commands.events import exception_item
from polydbg.commands.source_listing import source_listing
from polydbg.commands.stack import Layout, frame_row
from polydbg.commands.stop_display import registers_and_instruction
from polydbg.commands.target_info import description
from polydbg.engine.analysis.model import AccessKind, Analysis
from polydbg.engine.exceptions.naming import ExceptionKind, exception_kind
from polydbg.targets.dump_file import shown_path

_SHOWN_FRAMES = 64
_AROUND = 5
_ADDRESS_SECTIONS = {
    AccessKind.READ: "READ_ADDRESS",
    AccessKind.WRITE: "WRITE_ADDRESS",
    AccessKind.EXECUTE: "EXECUTE_ADDRESS",
    AccessKind.UNKNOWN: "ACCESS_ADDRESS",
}


def _section(name: str, value: str) -> list[str]:
    return [f"{name}:  {value}", ""]


def head_sections(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return the pairs that programs look for, and what is known about the file."""
    pairs = [
        ("Analysis.Problem", analysis.verdict.problem_class),
        ("Analysis.Confidence", analysis.verdict.confidence.value),
    ]
    access = analysis.fault.access
    if access is not None:
        pairs.append(("AV.Type", access.kind.value.capitalize()))
        if analysis.verdict.problem_class.startswith("NULL_POINTER"):
            pairs.append(("AV.Dereference", "NullPtr"))
    if analysis.record is not None:
        pairs.append(("Failure.Exception.Code", f"0x{analysis.record.code:x}"))
    pairs += [("Failure.Bucket", analysis.bucket), ("Failure.Hash", analysis.bucket_hash)]
    lines = ["KEY_VALUES_STRING: 1", ""]
    for key, value in pairs:
        lines += [f"    Key  : {key}", f"    Value: {value}", ""]
    target = ctx.system.target
    lines += _section("FILE_IN_CAB", sanitise_line(target.member)) if target.member else []
    lines += _section("DUMP_FILE", sanitise_line(shown_path(target.path, target.member)))
    if analysis.thread is not None:
        lines += _section("FAULTING_THREAD", f"{analysis.thread.id:08x}")
    return lines


def context_sections(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return the registers of the fault with the instruction."""
    if not analysis.registers:
        return []
    lines = ["CONTEXT:  (.ecxr)" if analysis.is_of_event else "CONTEXT:  (of the thread)"]
    try:
        for item in registers_and_instruction(ctx, analysis.registers):
            lines.append(item.text())
    except DebuggerError as error:  # code of a processor that is not decoded
        lines.append(error.message)
    return [*lines, ""]


def exception_sections(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return the record, the process, the address and the code with its text."""
    record, size = analysis.record, ctx.system.pointer_size
    lines = []
    if record is not None:
        lines += ["EXCEPTION_RECORD:  (.exr -1)", exception_item(ctx.system, record).text(), ""]
    lines += _section("PROCESS_NAME", process_name(ctx) or "<unavailable>")
    access = analysis.fault.access
    if access is not None and access.address is not None:
        origin = "" if access.is_reported else " (from the operands)"
        name = _ADDRESS_SECTIONS[access.kind]
        lines += _section(name, f"{address_text(access.address, size)}{origin}")
    if record is None:
        return lines
    if exception_kind(ctx.system.target.system()) is ExceptionKind.WINDOWS:
        found = ntstatus_meaning(record.code)
        text = f" - {found.text}" if found.text else ""
        # WinDbg sets this one off with a single blank.
        lines += [f"ERROR_CODE: (NTSTATUS) 0x{record.code:08x}{text}", ""]
        lines += _section("EXCEPTION_CODE_STR", f"{record.code:08x}")
    else:
        detail = f" ({analysis.fault.detail})" if analysis.fault.detail else ""
        lines += _section("EXCEPTION_CODE", f"{record.code:08x} {analysis.fault.name}{detail}")
        lines += _section("EXCEPTION_CODE_STR", analysis.fault.name)
    for number, value in enumerate(record.parameters[:4], 1):
        lines += _section(f"EXCEPTION_PARAMETER{number}", f"{value:0{2 * size}x}")
    return lines


def stack_section(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return the stack in the layout of ``kb``, without its heading."""
    lines = []
    if analysis.recursion is not None:
        cycle = " -> ".join(analysis.recursion.functions)
        lines += _section("RECURSION", f"{cycle} ({analysis.recursion.repeats} times)")
    if analysis.waits:
        lines += ["BLOCKED_THREADS:", *wait_lines(ctx, analysis), ""]
    layout = Layout.of(ctx, "v")
    lines.append("STACK_TEXT:  ")
    previous = None
    for row in analysis.frames[:_SHOWN_FRAMES]:
        shown = frame_row(ctx.system, row, layout, previous).text()
        lines.append(shown.partition(" ")[2].lstrip() if shown[:2].strip() else shown)
        previous = row.frame.sp
    if len(analysis.frames) > _SHOWN_FRAMES:
        more = len(analysis.frames) - _SHOWN_FRAMES
        tail = "more" if not analysis.is_cut else "more that were walked, and the stack goes on"
        lines.append(f"... {more} {tail}")
    return [*lines, ""]


def source_sections(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return the source line of the blamed frame, with the text where the file is at hand."""
    row = analysis.blame.frame if analysis.blame else None
    if row is None or not row.file:
        return []
    lines = _section("FAULTING_SOURCE_LINE", row.file)
    lines += _section("FAULTING_SOURCE_FILE", row.file)
    lines += _section("FAULTING_SOURCE_LINE_NUMBER", str(row.line))
    listing = source_listing(ctx, row.file, row.line, row.frame.lookup_pc, (_AROUND, _AROUND))
    if listing is None:
        return [
            *lines,
            f"FAULTING_SOURCE_CODE:  No source found for '{row.file}'",
            "",
        ]
    return [*lines, "FAULTING_SOURCE_CODE:  ", listing.text(), "", ""]


def tail_sections(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return whom to blame, the bucket and the system."""
    lines = []
    blamed = analysis.blame
    if blamed is not None:
        place = blamed.frame.place
        lines += _section("SYMBOL_STACK_INDEX", f"{blamed.frame.number:x}")
        lines += _section("SYMBOL_NAME", place.text.replace("+0x", "+"))
        lines += _section("MODULE_NAME", place.module or place.unloaded or "unknown")
        lines += _section("IMAGE_NAME", image_name(ctx, blamed.frame) or "unknown")
    thread = analysis.thread.ordinal if analysis.thread else 0
    context = " .ecxr ;" if analysis.is_of_event else ""
    lines += _section("STACK_COMMAND", f"~{thread}s;{context} kb")
    lines += _section("FAILURE_BUCKET_ID", analysis.bucket)
    lines += _section("BUCKET_RULE", analysis.bucket_rule)
    info = ctx.system.target.system()
    if info.major or info.minor or info.build:  # Breakpad leaves them out on Linux
        lines += _section("OS_VERSION", f"{info.major}.{info.minor}.{info.build}")
    if info.build_string:
        lines += _section("BUILDLAB_STR", sanitise_line(info.build_string))
    lines += _section("OSPLATFORM_TYPE", {"amd64": "x64"}.get(info.arch, info.arch))
    lines += _section("OSNAME", description(ctx.system).os)
    lines += _section("FAILURE_ID_HASH", analysis.bucket_hash)
    return [*lines, "Followup:     MachineOwner", "---------"]
