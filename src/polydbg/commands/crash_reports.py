"""``!crashpad``: what Crashpad, Breakpad or Mozilla's writer put into the dump of their own."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.engine.session import System
from polydbg.formats.minidump.foreign import (
    ANNOTATION_STRING,
    Annotation,
    BreakpadAssertion,
    BreakpadInfo,
    CrashpadInfo,
    CrashpadModule,
    MacosCrashRecord,
)
from polydbg.targets.crash_report import CrashReport, crash_report

_ASSERTIONS = {1: "invalid parameter", 2: "pure virtual function call"}
_SHOWN_BYTES = 64


class CrashpadReport(ShownItem, frozen=True):
    """Crashpad's identifiers. *address_mask* is of pointer authentication, 0 where not used."""

    version: int
    report_id: str
    client_id: str
    address_mask: Hex


class AnnotationRow(ShownItem, frozen=True):
    """A note of the program. *module* is ``""`` for the process; *kind* is ``simple``, ``list``,
    ``string`` or the number of a type of the program's own, whose *value* is hex."""

    module: str
    kind: str
    name: str
    value: str


class BreakpadThreads(ShownItem, frozen=True):
    """The threads that wrote and that asked for the dump, ``None`` where it does not say."""

    dump_thread: Hex | None
    requesting_thread: Hex | None


class AssertionItem(ShownItem, frozen=True):
    """The assertion or runtime check that ended the program."""

    kind: str
    expression: str
    function: str
    file: str
    line: int


class MacosCrashInfo(ShownItem, frozen=True):
    """What a library on macOS says about the crash (``__crash_info``); empty fields say nothing."""

    module: str
    thread: Hex
    message: str
    message2: str
    signature: str
    backtrace: str


@command(
    "!crashpad",
    summary="Show what the crash reporter wrote: ids, annotations, assertion, its own errors.",
    syntax="!crashpad",
    example="!crashpad    annotations of the process and of its modules",
    family="target_info",
    aliases=("!breakpad",),
)
def crashpad(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.expect_end()
    report = crash_report(ctx.system.target)
    found = False
    for item in _everything(ctx.system, report) if report is not None else ():
        ctx.cancel.check()
        found = True
        yield item
    if not found:
        raise CommandError(
            "the dump holds no records of a crash reporter's own",
            identifier="target.no-crash-report",
            hint="Crashpad, Breakpad and Mozilla's writer may write some; !linux shows copies of "
            "/proc, .lastevent why the target stopped",
        )


def _everything(system: System, report: CrashReport) -> Iterator[Item]:
    if (info := report.crashpad_info) is not None:
        yield from _crashpad(system, info)
    if (threads := report.breakpad_info) is not None:
        yield _threads(system, threads)
    # A writer may leave room for an assertion that never came.
    if (assertion := report.assertion) is not None and (assertion.expression or assertion.kind):
        yield _assertion(assertion)
    for record in report.macos_crash_info:
        yield _crash_info(record)
    if report.boot_arguments:
        yield Text(value=f"Boot arguments: {sanitise_line(report.boot_arguments)}")
    if report.soft_errors:
        yield Text(value="Errors of the writer:")
        for line in report.soft_errors.splitlines():
            yield Text(value=f"    {sanitise_line(line)}")


def _crashpad(system: System, info: CrashpadInfo) -> Iterator[Item]:
    lines = [f"Report id: {info.report_id}", f"Client id: {info.client_id}"]
    if info.address_mask:
        lines.append(f"Address mask: {info.address_mask:016x}")
    yield CrashpadReport(
        version=info.version,
        report_id=str(info.report_id),
        client_id=str(info.client_id),
        address_mask=info.address_mask,
        shown="\n".join(lines),
    )
    if info.annotations:
        yield Text(value="Annotations of the process:")
    for name, value in info.annotations.items():
        yield _annotation("", "simple", name, value)
    for module in info.modules:
        if module.list_annotations or module.simple_annotations or module.objects:
            yield from _module(system, module)


def _module(system: System, module: CrashpadModule) -> Iterator[Item]:
    modules = system.target.modules()
    known = module.index < len(modules)
    name = sanitise_line(modules[module.index].name) if known else f"module {module.index}"
    yield Text(value=f"Annotations of {name}:")
    for value in module.list_annotations:
        yield _annotation(name, "list", "", value)
    for key, value in module.simple_annotations.items():
        yield _annotation(name, "simple", key, value)
    for item in module.objects:
        yield _object(name, item)


def _object(module: str, item: Annotation) -> AnnotationRow:
    if item.kind == ANNOTATION_STRING:
        return _annotation(module, "string", item.name, item.value.decode("utf-8", "replace"))
    more = "..." if len(item.value) > _SHOWN_BYTES else ""
    value = item.value[:_SHOWN_BYTES].hex(" ") + more
    return _annotation(module, f"{item.kind:#x}", item.name, value)


def _annotation(module: str, kind: str, name: str, value: str) -> AnnotationRow:
    name, value = sanitise_line(name), sanitise_line(value)
    label = f"{name} (type {kind})" if kind.startswith("0x") else name
    shown = f"    {label} = {value}" if label else f"    {value}"
    return AnnotationRow(module=module, kind=kind, name=name, value=value, shown=shown)


def _threads(system: System, info: BreakpadInfo) -> BreakpadThreads:
    def words(ident: int | None) -> str:
        if ident is None:
            return "not recorded"
        number = next((f"~{t.ordinal}, " for t in system.threads if t.id == ident), "")
        return f"{number}id {ident:x}"

    return BreakpadThreads(
        dump_thread=info.dump_thread_id,
        requesting_thread=info.requesting_thread_id,
        shown=f"Thread that wrote the dump: {words(info.dump_thread_id)}\n"
        f"Thread that asked for it: {words(info.requesting_thread_id)}",
    )


def _assertion(assertion: BreakpadAssertion) -> AssertionItem:
    kind = _ASSERTIONS.get(assertion.kind, f"type {assertion.kind}")
    expression = sanitise_line(assertion.expression)
    function, file = sanitise_line(assertion.function), sanitise_line(assertion.file)
    lines = [f"Assertion ({kind}): {expression}".rstrip(": ")]
    where = f"[{file} @ {assertion.line}]" if file else ""
    if function or where:
        lines.append(f"    {function} {where}".rstrip())
    return AssertionItem(
        kind=kind,
        expression=expression,
        function=function,
        file=file,
        line=assertion.line,
        shown="\n".join(lines),
    )


def _crash_info(record: MacosCrashRecord) -> MacosCrashInfo:
    module = sanitise_line(record.module_path)
    texts = {
        "Message": sanitise_line(record.message),
        "Message 2": sanitise_line(record.message2),
        "Signature": sanitise_line(record.signature_string),
        "Backtrace": sanitise_line(record.backtrace),
    }
    lines = [f"Crash information of {module or '<unnamed>'}, thread {record.thread:x}:"]
    lines += [f"    {label}: {text}" for label, text in texts.items() if text]
    message, message2, signature, backtrace = texts.values()
    return MacosCrashInfo(
        module=module,
        thread=record.thread,
        message=message,
        message2=message2,
        signature=signature,
        backtrace=backtrace,
        shown="\n".join(lines),
    )
