"""Minidumps of Linux, Android, macOS and iOS against what their own tools say of them.

Judges: outputs of lldb 19 (``peer-output``), minidump-stackwalk's snapshots
(``expected/rust-minidump``), and what the writers' tests state (MANIFEST.md).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.exceptions.naming import ExceptionKind, describe_event, exception_kind
from polydbg.engine.session import Session, System
from polydbg.targets.crash_report import crash_report
from polydbg.targets.process_files import process_files

pytestmark = pytest.mark.corpus

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # as in conftest.py
Open = Callable[[str], System]


def _peer_outputs() -> Iterator[str]:
    data = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA)
    for path in sorted((data / "peer-output" / "minidump").rglob("*.dmp.lldb.txt")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not re.search(r"^  Platform: remote-windows", text, re.M):
            yield path.relative_to(data / "peer-output" / "minidump").as_posix()


PEER_OUTPUTS = list(_peer_outputs())


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


@pytest.fixture
def open_system(session: Session, data_dir: Path) -> Open:
    return lambda name: session.open_dump(str(data_dir / "minidump" / name))


def snapshot(data_dir: Path, name: str) -> dict[str, Any]:
    """Return the JSON of a snapshot of minidump-stackwalk's tests."""
    text = (data_dir / "expected" / "rust-minidump" / f"{name}.snap").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text[text.index("\n{") :])
    return found


def lines(session: Session, command: str) -> list[str]:
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return "\n".join(item.text() for item in interpreter.run(command)).splitlines()


@pytest.mark.parametrize("output", PEER_OUTPUTS)
def test_lldb_agrees(output: str, open_system: Open, data_dir: Path) -> None:
    text = (data_dir / "peer-output" / "minidump" / output).read_text(encoding="utf-8")
    system = open_system(output.removesuffix(".lldb.txt"))
    check_process(system, text)
    check_stop(system, text)
    check_registers(system, text)
    check_images(system, text)


def check_process(system: System, text: str) -> None:
    """lldb takes the id from status too; where a dump has none it says 1."""
    found = re.search(r"^Process (\d+) stopped", text, re.M)
    if found and system.target.process_id is not None:
        assert system.target.process_id == int(found[1])
    for tid in re.findall(r"^\*? *thread #\d+: tid = (\w+)", text, re.M):
        assert int(tid, 0) in {thread.id for thread in system.threads}


def check_stop(system: System, text: str) -> None:
    event = system.target.event()
    found = re.search(r"^\* thread #\d+.*, stop reason = (\w+) ?(\S*)", text, re.M)
    if not found or event is None or not event.is_stored:
        return
    words = describe_event(event, system)
    if found[1] == "signal":
        assert words.name == found[2].rstrip(",")
    elif words.name.startswith("EXC_"):
        assert words.name == found[1]


def check_registers(system: System, text: str) -> None:
    """The first register set is the stopped thread's. lldb shows those of macOS's 64-bit dumps as
    zeros, where minidump-stackwalk agrees with this reader (below)."""
    block = re.search(r"^General Purpose Registers:\n((?: +\w+ = 0x.*\n)+)", text, re.M)
    event = system.target.event()
    if block is None or event is None:
        return
    if re.search(r"^ +[er]ip = 0x0+ *$", block[1], re.M) and platform_is_mach(system):
        return
    thread = system.event_thread
    assert thread is not None
    ours = system.target.exception_registers() or system.target.registers(thread)
    names = {"rflags": "efl", "eflags": "efl"}
    compared = 0
    for name, value in re.findall(r"^ +(\w+) = (0x[0-9a-f]+)", block[1], re.M):
        known = ours.get(names.get(name, name))
        if known is not None:
            assert known == int(value, 16), name
            compared += 1
    assert compared >= 8 or not ours


def platform_is_mach(system: System) -> bool:
    return exception_kind(system.target.system()) is ExceptionKind.MACH


def check_images(system: System, text: str) -> None:
    """lldb lists what it could place: of two modules of one id or place only one."""
    modules = {module.base: module for module in system.target.modules()}
    for ident, base, path in re.findall(
        r"^\[ *\d+\] ([0-9A-F-]*) +(0x[0-9a-f]+) (.*?) *(?:\(0x\w+\))? *$", text, re.M
    ):
        module = modules.get(int(base, 16))
        assert module is not None, path
        assert module.file_name == path.rsplit("/", 1)[-1]
        digits = ident.replace("-", "").lower()
        if module.build_id and digits:
            assert module.build_id.hex().startswith(digits[: 2 * len(module.build_id)])


@pytest.mark.parametrize(
    ("name", "dump"),
    [
        ("linux_json_pretty", "rust-minidump/linux-mini.dmp"),
        ("macos_inlines_json_pretty", "rust-minidump/pipeline-inlines-macos-segv.dmp"),
    ],
)
def test_stackwalk_agrees(name: str, dump: str, open_system: Open, data_dir: Path) -> None:
    system, expected = open_system(dump), snapshot(data_dir, name)
    target, info = system.target, system.target.system()
    assert target.process_id == expected["pid"]
    assert [t.id for t in system.threads] == [t["thread_id"] for t in expected["threads"]]
    assert [t.name or "" for t in system.threads] == [
        t["thread_name"] or "" for t in expected["threads"]
    ]
    assert (target.arch, info.processor_count) == (
        expected["system_info"]["cpu_arch"],
        expected["system_info"]["cpu_count"],
    )
    event = target.event()
    assert event is not None
    words = describe_event(event, system)
    assert words.address == int(expected["crash_info"]["address"], 16)
    assert (
        " / ".join(filter(None, (words.name, words.flags_name))) == expected["crash_info"]["type"]
    )
    index = expected["crash_info"]["crashing_thread"]
    assert system.threads[index].id == event.thread_id
    check_stackwalk_modules(system, expected)
    registers = target.exception_registers()
    assert registers is not None
    for register, value in expected["crashing_thread"]["frames"][0]["registers"].items():
        assert registers[register] == int(value, 16), register


def check_stackwalk_modules(system: System, expected: dict[str, Any]) -> None:
    modules = {module.base: module for module in system.target.modules()}
    assert len(modules) == len(expected["modules"])
    for row in expected["modules"]:
        module = modules[int(row["base_addr"], 16)]
        assert module.end == int(row["end_addr"], 16)
        assert module.file_name == row["filename"]
        assert module.debug_id is not None
        assert module.debug_id.key == row["debug_id"]
        code = module.build_id.hex() or module.debug_id.guid.lower()
        assert code == row["code_id"]


def test_files_of_linux_in_the_snapshot(
    open_system: Open, session: Session, data_dir: Path
) -> None:
    system = open_system("rust-minidump/linux-mini.dmp")
    expected = snapshot(data_dir, "linux_json_pretty")
    files, report = process_files(system.target), crash_report(system.target)
    assert files is not None
    assert report is not None
    assert len(files.maps) == expected["linux_memory_map_count"]
    assert len(system.target.regions()) == expected["linux_memory_map_count"]
    release = {key.lower(): value for key, value in expected["lsb_release"].items()}
    assert files.release["DISTRIB_ID"] == release["id"]
    assert files.release["DISTRIB_RELEASE"] == release["release"]
    assert files.release["DISTRIB_CODENAME"] == release["codename"]
    assert files.distribution == release["description"]
    assert json.loads(report.soft_errors or "") == expected["soft_errors"]
    assert lines(session, "vertarget")[0] == (
        "Linux 4.9.60-linuxkit-aufs (#1 SMP Mon Nov 6 16:00:12 UTC 2017 x86_64) "
        "Ubuntu 16.04.3 LTS MP (4 procs) x64"
    )
    assert lines(session, "!linux lsb")[0] == "DISTRIB_ID: Ubuntu"


def test_the_linker_lies_where_the_kernel_put_it(open_system: Open, data_dir: Path) -> None:
    """Two streams by two ways: the dynamic linker's own base, and AT_BASE of the kernel."""
    compared = 0
    for path in sorted((data_dir / "minidump").rglob("*.dmp")):
        system = open_system(str(path))
        files, report = process_files(system.target), crash_report(system.target)
        assert files is not None
        assert report is not None
        base = [e.value for e in files.auxiliary_vector if e.name == "AT_BASE"]
        if base and report.dso_debug is not None:
            assert [report.dso_debug.loader_base] == base, path
            assert base[0] in {entry.address for entry in report.dso_debug.link_map}, path
            compared += 1
        elif base:
            # Its maps were made longer by hand: the streams behind lie elsewhere than it says.
            assert path.name == "linux_executable_stack.dmp"
            assert "dump.bad-stream" in {w.identifier for w in system.target.warnings()}
    assert compared == 16


def test_regions_that_lldb_expects(open_system: Open) -> None:
    """The regions of lldb's own test of LinuxMaps (see MANIFEST.md)."""
    regions = open_system("lldb-yaml/regions-linux-map.dmp").target.regions()
    shown = [
        (r.base, r.end, r.file.permissions[:3], r.file.path) for r in regions if r.file is not None
    ]
    assert len(shown) == 19
    assert shown[0] == (0x400D9000, 0x400DB000, "r-x", "/system/bin/app_process")
    assert shown[1] == (0x400DB000, 0x400DC000, "r--", "/system/bin/app_process")
    assert shown[2] == (0x400DC000, 0x400DD000, "rw-", "")
    assert shown[3] == (0x400DD000, 0x400EC000, "r-x", "/system/bin/linker")
    assert (0x400FC000, 0x400FD000, "rwx", "/system/lib/liblog.so") in shown
    assert (0x40101000, 0x40122000, "r-x", "/system/lib/libc.so") in shown


@pytest.mark.parametrize(
    ("name", "title", "meaning"),
    [
        # Written by Breakpad of 2012 to 2018, which stores no si_code.
        ("breakpad/linux_divide_by_zero.dmp", "SIGFPE at 00000000`00401f27", "No si_code"),
        ("breakpad/linux_write_to_under_4k.dmp", "SIGSEGV at 00000000`00000f93", "No si_code"),
        # si_addr is where the sender's process and user lie: the process sent it to itself.
        ("breakpad/linux_raise_sigabrt.dmp", "SIGABRT", "Sent by process 5be6, user 0n315716"),
        ("breakpad/linux_inline.dmp", "SIGILL (ILL_ILLOPN) at 00000000`002161b6", "Illegal op"),
        ("lldb-yaml/linux-x86_64_null_signal.dmp", "no signal (code 00000000)", ""),
        ("lldb-yaml/no-process-id.dmp", "no exception is stored in the dump", ""),
        ("elfesteem/macos-i386.dmp", "EXC_BAD_INSTRUCTION (EXC_I386_INVOP) at 000025ab", ""),
        (
            "symbolic/crash_macos.dmp",
            "EXC_BAD_ACCESS (KERN_INVALID_ADDRESS) at 00000000`00000045",
            "",
        ),
        # MANIFEST.md calls it simulated; that code is 'CPsx', this one is 'CPnx'.
        ("breakpad/minidump_crashpad_annotation.dmp", "uncaught NSException", ""),
    ],
)
def test_titles(name: str, title: str, meaning: str, open_system: Open) -> None:
    system = open_system(name)
    event = system.target.event()
    assert event is not None
    words = describe_event(event, system)
    assert words.title == title
    assert words.meaning.startswith(meaning)


def test_no_dump_of_another_system_speaks_of_windows(session: Session, data_dir: Path) -> None:
    for path in sorted((data_dir / "minidump").rglob("*.dmp")):
        system = session.open_dump(str(path))
        session.select_system(system.ordinal)
        platform = system.target.system().platform
        if platform != "windows" and system.threads:
            shown = "\n".join(lines(session, ".lastevent") + lines(session, "vertarget"))
            assert not re.search(r"Windows|Unknown|c00000|8000000|chance|NT\b", shown), path
        session.close_system(system.ordinal)


def test_annotations_of_crashpad(open_system: Open, session: Session) -> None:
    open_system("breakpad/minidump_crashpad_annotation.dmp")
    shown = lines(session, "!crashpad")
    assert "    prod = xcuitest" in shown
    assert "    exceptionName = NSRangeException" in shown
    assert "    CounterAnnotation (type 0x802a) = 01 00 00 00" in shown
    at = shown.index("Annotations of ios_crash_xcuitests:")
    assert "index 42 beyond bounds for empty NSArray" in shown[at + 1]


def test_status_gives_the_process_id(open_system: Open, session: Session) -> None:
    open_system("lldb/linux-x86_64.dmp")  # lldb's test: pid 29917
    assert lines(session, "|")[0].split("\t")[1] == "id: 74dd"
    assert lines(session, "!linux status")[0] == "Name: linux-x86_64"


def test_the_program_is_the_module_that_crashpad_marks(open_system: Open, session: Session) -> None:
    open_system("breakpad/minidump_crashpad_annotation.dmp")  # dyld_sim comes first in its list
    assert lines(session, "|")[0].endswith("/ios_crash_xcuitests.app/ios_crash_xcuitests")
