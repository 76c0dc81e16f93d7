"""``vertarget``, ``version``, ``.time``, ``.effmach``: what machine and process this is."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg import __version__
from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.times import duration_text, session_time_text
from polydbg.engine.session import System
from polydbg.engine.system_names import system_name
from polydbg.engine.windows_process import is_windows
from polydbg.targets.dump_file import shown_path
from polydbg.targets.process_files import process_files
from polydbg.targets.target import SystemInfo

_MACHINE_WORDS = {
    "amd64": "x64",
    "x86": "x86 compatible",
    "arm64": "ARM 64-bit (AArch64)",
    "arm": "ARM (NT) Thumb-2",
}
_FOREIGN_MACHINES = {"x86": "x86", "arm": "ARM"}
"""Words of systems that are not Windows, where they differ."""
_EFFECTIVE = {
    "amd64": "x64 (AMD64)",
    "x86": "x86 compatible (x86)",
    "arm64": "ARM 64-bit (AArch64) (ARM64)",
    "arm": "ARM (NT) Thumb-2 (ARM)",
}
PRODUCTS = {1: "WinNt", 2: "LanManNt", 3: "Server"}
SUITES = {
    0x1: "SmallBusiness",
    0x2: "Enterprise",
    0x4: "BackOffice",
    0x8: "CommunicationServer",
    0x10: "TerminalServer",
    0x20: "SmallBusinessRestricted",
    0x40: "EmbeddedNT",
    0x80: "DataCenter",
    0x100: "SingleUserTS",
    0x200: "Personal",
    0x400: "Blade",
    0x800: "EmbeddedRestricted",
    0x1000: "SecurityAppliance",
    0x2000: "StorageServer",
    0x4000: "ComputeServer",
    0x8000: "HomeServer",
}


class TargetDescription(ShownItem, frozen=True):
    """The operating system of the dump, its build, product and processors."""

    os: str
    product: str
    build_lab: str
    machine_name: str
    processors: int
    architecture: str


class TargetTimes(ShownItem, frozen=True):
    """When the dump was written, and how long system and process had run."""

    session_time: str
    system_uptime: str
    process_uptime: str
    kernel_time: str
    user_time: str


def windows_name(system: SystemInfo) -> str:
    """Return the marketing name of a Windows version as the engine words it."""
    version = (system.major, system.minor)
    if version == (10, 0):
        if system.product_type in (2, 3):
            return "Windows Server 2016 or later" if system.build < 17763 else "Windows Server"
        return "Windows 11" if system.build >= 22000 else "Windows 10"
    is_server = system.product_type in (2, 3)
    names = {
        (5, 0): ("Windows 2000", "Windows 2000"),
        (5, 1): ("Windows XP", "Windows XP"),
        (5, 2): ("Windows XP", "Windows Server 2003"),
        (6, 0): ("Windows Vista", "Windows Server 2008"),
        (6, 1): ("Windows 7", "Windows 7"),
        (6, 2): ("Windows 8", "Windows 8"),
        (6, 3): ("Windows 8.1", "Windows 8.1"),
    }
    name = names.get(version)
    return name[is_server] if name else f"Windows {system.major}.{system.minor}"


def description(system: System) -> TargetDescription:
    """Return the target lines of the banner and of ``vertarget``."""
    info = system.target.system()
    processors = f"MP ({info.processor_count} procs)" if info.processor_count > 1 else "UP"
    machine = _MACHINE_WORDS.get(system.target.arch, system.target.arch)
    pack = f" ({sanitise_line(info.service_pack)})" if info.service_pack else ""
    if info.platform == "windows":
        os_line = f"{windows_name(info)} Version {info.build}{pack} {processors} Free {machine}"
    else:
        files = process_files(system.target)
        words = [system_name(info, files.distribution if files is not None else "")]
        words += [processors] if info.processor_count else []
        os_line = " ".join([*words, _FOREIGN_MACHINES.get(system.target.arch, machine)])
    lines = [os_line]
    product = PRODUCTS.get(info.product_type, "") if info.platform == "windows" else ""
    if product:
        suites = " ".join(name for bit, name in SUITES.items() if info.suite_mask & bit)
        lines.append(f"Product: {product}" + (f", suite: {suites}" if suites else ""))
    lab = sanitise_line(info.build_string)
    if lab:
        lines.append(f"Edition build lab: {lab}")
    lines.append(
        f"Machine Name:{' ' + sanitise_line(info.machine_name) if info.machine_name else ''}"
    )
    return TargetDescription(
        os=os_line,
        product=product,
        build_lab=lab,
        machine_name=sanitise_line(info.machine_name),
        processors=info.processor_count,
        architecture=system.target.arch,
        shown="\n".join(lines),
    )


def times(system: System, *, with_cpu: bool) -> TargetTimes:
    """Return the time lines; *with_cpu* adds the process's kernel and user time."""
    info = system.target.system()

    def shown(ticks: int | None) -> str:
        return "not available" if ticks is None else duration_text(ticks)

    when = "not available"
    if info.dump_time_unix is not None:
        when = session_time_text(info.dump_time_unix, info.time_zone_bias_minutes)
    lines = [
        f"Debug session time: {when}",
        f"System Uptime: {shown(info.system_uptime)}",
        f"Process Uptime: {shown(info.process_uptime)}",
    ]
    if with_cpu and info.process_kernel_time is not None:
        lines.append(f"  Kernel time: {shown(info.process_kernel_time)}")
        lines.append(f"  User time: {shown(info.process_user_time)}")
    return TargetTimes(
        session_time=when,
        system_uptime=shown(info.system_uptime),
        process_uptime=shown(info.process_uptime),
        kernel_time=shown(info.process_kernel_time),
        user_time=shown(info.process_user_time),
        shown="\n".join(lines),
    )


@command(
    "vertarget",
    summary="Show the operating system and times of the target.",
    syntax="vertarget",
    example="vertarget",
    family="target_info",
)
def vertarget(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield description(ctx.system)
    yield times(ctx.system, with_cpu=True)


@command(
    "version",
    summary="Show the target and the debugger's own version.",
    syntax="version",
    example="version",
    family="target_info",
)
def version(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if ctx.session.has_target:
        yield from vertarget(ctx, cursor)
        target = ctx.system.target
        path = sanitise_line(shown_path(target.path, target.member))
        yield Text(value=f"{target.kind_short}: {path}")
    yield Text(value=f"polydbg {__version__}")


@command(
    ".time",
    summary="Show when the dump was written and how long things had run.",
    syntax=".time",
    example=".time",
    family="target_info",
)
def time_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield times(ctx.system, with_cpu=True)


@command(
    ".effmach",
    summary="Show or choose the processor that registers, stacks and code are shown for.",
    syntax=".effmach [. | # | x86 | amd64 | arm | arm64]",
    example=".effmach x86    the 32-bit side of a WOW64 dump; . is the dump's own, # the event's",
    family="target_info",
)
def effective_machine(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    word = cursor.word().lower()
    if word:
        _choose_machine(ctx.system, word)
    machine = ctx.system.machine
    yield Text(value=f"Effective machine: {_EFFECTIVE.get(machine, machine)}")


def _choose_machine(system: System, word: str) -> None:
    """Make the machine that *word* means the effective one. :raises CommandError: none is."""
    windows = is_windows(system)
    special = {".": system.target.arch, "#": system.event_machine, "x64": "amd64"}
    machine = special.get(word, word)
    if machine not in system.machines:
        if machine not in _EFFECTIVE:
            raise CommandError(
                f"Unknown machine '{word}'",
                identifier="target.unknown-machine",
                hint=f"this dump has {', '.join(system.machines)}",
            )
        raise CommandError(
            f"this dump's threads have no {machine} registers",
            identifier="target.unsupported",
            hint=(
                "a 64-bit dump of a 32-bit process (WOW64) has x86 and amd64; " if windows else ""
            )
            + f"this one has {', '.join(system.machines)}",
        )
    system.select_machine(machine)


@command(
    "!sw",
    summary="Change between the 64-bit and the 32-bit side of a WOW64 dump.",
    syntax="!wow64exts.sw",
    example="!sw; k    the other stack of the same thread",
    family="target_info",
)
def switch_side(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    if not system.is_wow64:
        raise CommandError(
            "this is no 64-bit dump of a 32-bit process",
            identifier="target.unsupported",
            hint=f"it has one machine, {system.machine}",
        )
    is_guest = system.machine == system.target.arch
    system.select_machine("x86" if is_guest else system.target.arch)
    yield Text(value=f"Switched to {'Guest (WoW)' if is_guest else 'Host'} mode")
