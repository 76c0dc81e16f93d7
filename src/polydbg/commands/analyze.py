"""``!analyze``: what happened, with the evidence; WinDbg's sections and a verdict before them."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.analysis_items import analysis_item, wait_lines
from polydbg.commands.analysis_sections import (
    context_sections,
    exception_sections,
    head_sections,
    source_sections,
    stack_section,
    tail_sections,
)
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.analysis.model import Analysis
from polydbg.symbols.store.hostpath import base_name

_STARS = "*" * 79
_SHORT_STACK = 8
_SHORT_WAITS = 10


class CodeMeaning(ShownItem, frozen=True):
    """What an exception code stands for (``!analyze -show``)."""

    code: Hex
    name: str
    meaning: str


def _box(title: str) -> list[str]:
    blank = f"*{'':77}*"
    return [_STARS, blank, f"*{title:^77}*", blank, _STARS, ""]


@command(
    "!analyze",
    summary="Say what happened: a verdict with its evidence, the stack, a bucket. -v shows all "
    "sections, -hang what threads wait for, -show what a code means; -f changes nothing.",
    syntax="!analyze [-v] [-f] [-hang] | !analyze -show code",
    example="!analyze -v    everything that is known about the crash",
    family="analysis",
    aliases=("!ext.analyze",),
)
def analyze_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    verbose = hang = False
    while True:
        cursor.skip_blanks()
        if cursor.match(r"-v\d*(?=\s|;|$)"):
            verbose = True
        elif cursor.match(r"-hang(?=\s|;|$)"):
            hang = True
        elif cursor.match(r"-f(?=\s|;|$)"):
            continue  # without an exception the analysis is made all the same
        elif cursor.match(r"-show(?=\s)"):
            yield _show(ctx.expression(cursor))
            return
        elif cursor.at_end:
            break
        else:
            raise cursor.error("Invalid option", hint="!analyze takes -v, -f, -hang, -show CODE")
    from polydbg.engine.analysis.analyze import analyze

    with ctx.system.machine_of_event():
        analysis = analyze(ctx.session, ctx.system, ctx.cancel, ctx.progress, hang=hang)
        lines = _box("Hang Analysis" if analysis.is_hang else "Exception Analysis")
        lines += _verdict_lines(analysis)
        if verbose:
            lines += _verbose_lines(ctx, analysis)
        else:
            lines += _brief_lines(ctx, analysis)
        item = analysis_item(ctx, analysis, "\n".join(lines))
    yield item


def _show(code: int) -> Item:
    from polydbg.base.error_codes import ntstatus_meaning
    from polydbg.engine.exceptions.windows import FAST_FAIL_CODES, exception_name

    code &= 0xFFFFFFFF
    found = ntstatus_meaning(code)
    name = found.name or exception_name(code) or FAST_FAIL_CODES.get(code, "")
    words = found.text or exception_name(code) or "no meaning is known"
    shown = f"{name or 'Unknown'} ({code:x})\n{words}"
    return CodeMeaning(code=code, name=name, meaning=words, shown=shown)


def _verdict_lines(analysis: Analysis) -> list[str]:
    verdict = analysis.verdict
    lines = [f"VERDICT:  {sanitise_line(verdict.summary)}  [{verdict.confidence.value}]"]
    lines += [f"    because {sanitise_line(each)}" for each in verdict.evidence]
    if analysis.managed_frames:
        lines.append(
            f"    note: {analysis.managed_frames} frames are managed code "
            f"({analysis.managed_runtime}), which is not decoded"
        )
    return [*lines, ""]


def _verbose_lines(ctx: CommandContext, analysis: Analysis) -> list[str]:
    return [
        *head_sections(ctx, analysis),
        *context_sections(ctx, analysis),
        *exception_sections(ctx, analysis),
        *stack_section(ctx, analysis),
        *source_sections(ctx, analysis),
        *tail_sections(ctx, analysis),
    ]


def _brief_lines(ctx: CommandContext, analysis: Analysis) -> list[str]:
    """Return what fits one screen: where, the top of the stack, the bucket."""
    lines: list[str] = []
    size = ctx.system.pointer_size
    if analysis.waits:
        lines += [*wait_lines(ctx, analysis, _SHORT_WAITS), ""]
    for row in analysis.frames[:_SHORT_STACK]:
        # A row shall fit an 80 column terminal; the whole path is in -v, k and JSON.
        source = f" [{base_name(row.file)} @ {row.line}]" if row.file else ""
        guess = " (guess)" if row.trust.is_guess else ""
        at = "(Inline)" if row.is_inline else address_text(row.frame.pc, size)
        lines.append(
            f"    {row.number:02x} {at:<{2 * size + (size == 8)}} {row.place.text}{source}{guess}"
        )
    if len(analysis.frames) > _SHORT_STACK:
        lines.append("    ...")
    lines += ["", f"FAILURE_BUCKET_ID:  {analysis.bucket}", ""]
    lines += ["Use !analyze -v to get detailed debugging information.", ""]
    lines += ["Followup:     MachineOwner", "---------"]
    return lines
