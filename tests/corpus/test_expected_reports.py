"""What Breakpad and rust-minidump print of ``minidump2.dmp``, and words of MANIFEST.md that are not
measured figures: what tests of others state of a dump."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.exceptions.naming import describe_event
from polydbg.engine.session import Session, System
from polydbg.symbols.store import SymbolPath
from polydbg.targets.crash_report import crash_report
from polydbg.targets.minidump import MinidumpTarget
from polydbg.targets.target import ModuleInfo

pytestmark = pytest.mark.corpus

Open = Callable[[str], System]


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


@pytest.fixture
def open_system(session: Session, data_dir: Path) -> Open:
    return lambda name: session.open_dump(str(data_dir / "minidump" / f"{name}.dmp"))


@pytest.fixture
def system(open_system: Open) -> System:
    return open_system("breakpad/minidump2")


def lines(session: Session, command: str) -> list[str]:
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return "\n".join(item.text() for item in interpreter.run(command)).splitlines()


def version_of(module: ModuleInfo) -> str:
    return ".".join(map(str, module.version.file_version)) if module.version else ""


def debug_key(module: ModuleInfo) -> str:
    return module.debug_id.key if module.debug_id else ""


def cpu_of(system: System) -> str:
    """Family, model and stepping as all tools of Breakpad spell them."""
    info = system.target.system()
    model, stepping = info.processor_revision >> 8, info.processor_revision & 0xFF
    return f"{info.cpu_vendor} family {info.processor_level} model {model} stepping {stepping}"


def fields(block: str) -> dict[str, str]:
    """Return ``name = value`` lines; of values with a comment the first word."""
    return dict(re.findall(r'^ +(\S.*?) += "?([^" \n]*)', block, re.M))


# Breakpad's minidump_stackwalk and minidump_dump


def test_machine_readable_report(system: System, data_dir: Path) -> None:
    text = (data_dir / "expected/breakpad/minidump2.stackwalk.machine_readable.out").read_text()
    rows = [line.split("|") for line in text.splitlines()]
    info, event = system.target.system(), system.target.event()
    assert event is not None
    (os,) = (row[1:] for row in rows if row[0] == "OS")
    version = f"{info.major}.{info.minor}.{info.build} {info.service_pack}"
    assert os == ["Windows NT", version]
    (cpu,) = (row[1:] for row in rows if row[0] == "CPU")
    assert cpu == [system.machine, cpu_of(system), str(info.processor_count)]
    (crash,) = (row[1:] for row in rows if row[0] == "Crash")
    kind, address = event.exception.parameters
    assert (crash[0], kind) == ("EXCEPTION_ACCESS_VIOLATION_WRITE", 1)
    assert crash[1:] == [f"0x{address:x}", str(system.event_thread and system.event_thread.ordinal)]
    expected = [tuple(row[1:]) for row in rows if row[0] == "Module"]
    main = system.target.modules()[0]
    found = [
        (
            *(module.file_name, version_of(module)),
            *((module.pdb_path or "").rsplit("\\", 1)[-1], debug_key(module)),
            *(f"0x{module.base:08x}", f"0x{module.end - 1:08x}", str(int(module is main))),
        )
        for module in sorted(system.target.modules(), key=lambda module: module.base)
    ]
    assert sorted(found) == sorted(expected)


def test_dump_of_all_streams(system: System, data_dir: Path) -> None:
    text = (data_dir / "expected/breakpad/minidump2.dump.out").read_text()
    target = system.target
    assert isinstance(target, MinidumpTarget)
    sections = re.split(r"^(?=MD[A-Z])", text, flags=re.M)
    by_kind: dict[str, list[dict[str, str]]] = {}
    for section in sections:
        by_kind.setdefault(section.split("\n")[0], []).append(fields(section))
    threads = by_kind["MDRawThread"]
    for thread, row, context in zip(
        target.threads(), threads, by_kind["MDRawContextX86"], strict=False
    ):
        assert thread.id == int(row["thread_id"], 16)
        assert thread.teb == int(row["teb"], 16)
        assert thread.stack_base == int(row["stack.start_of_memory_range"], 16)
        assert thread.stack_size == int(row["stack.memory.data_size"], 16)
        check_registers(target.registers(thread), context)
    crash = target.exception_registers()
    assert crash is not None
    check_registers(crash, by_kind["MDRawContextX86"][2])
    assert len(by_kind["MDRawModule"]) == len(target.modules()) == 13
    for module, row in zip(target.modules(), by_kind["MDRawModule"], strict=True):
        check_module(module, row)
    check_memory(target, text)
    check_rest(target, {kind: rows[0] for kind, rows in by_kind.items()})


def check_registers(ours: Any, row: dict[str, str]) -> None:
    names = ("eax ebx ecx edx esi edi ebp esp eip", "cs ds es fs gs ss", "dr0 dr1 dr2 dr3 dr6 dr7")
    for name in " ".join(names).split():
        assert ours[name] == int(row[name], 16), name
    assert ours["efl"] == int(row["eflags"], 16)


def check_module(module: ModuleInfo, row: dict[str, str]) -> None:
    assert module.base == int(row["base_of_image"], 16)
    assert module.size == int(row["size_of_image"], 16)
    assert module.checksum == int(row["checksum"], 16)
    assert module.timestamp == int(row["time_date_stamp"], 16)
    assert module.image_path == row["(code_file)"]
    assert f"{module.timestamp:08X}{module.size:x}" == row["(code_identifier)"]
    assert module.pdb_path == row["(cv_record).pdb_file_name"]
    assert debug_key(module) == row["(debug_identifier)"]
    assert version_of(module) == row["(version)"]


def check_memory(target: MinidumpTarget, text: str) -> None:
    """Every byte of it: Breakpad prints what it read."""
    found = re.findall(
        r"^MDMemoryDescriptor\n  start_of_memory_range = 0x(\w+)\n"
        r"  memory.data_size      = 0x(\w+)\n.*\nMemory\n0x(\w+)$",
        text,
        re.M,
    )
    assert len(found) == len(target.dump.memory_list) == 3
    for start, size, data in found:
        assert target.memory.read(int(start, 16), int(size, 16)).hex() == data


def check_rest(target: MinidumpTarget, rows: dict[str, dict[str, str]]) -> None:
    info = target.system()
    system, misc = rows["MDRawSystemInfo"], rows["MDRawMiscInfo"]
    assert info.processor_revision == int(system["processor_revision"], 16)
    assert info.suite_mask == int(system["suite_mask"], 16)
    assert info.product_type == int(system["product_type"])
    assert info.platform_id == int(system["platform_id"], 16)
    assert info.cpu_vendor == system["(cpu_vendor)"]
    assert info.cpu_version == int(system["cpu.x86_cpu_info.version_information"], 16)
    assert info.cpu_features == int(system["cpu.x86_cpu_info.feature_information"], 16)
    extended = int(system["cpu.x86_cpu_info.amd_extended_cpu_features"], 16)
    assert info.cpu_extended_features == extended
    assert target.process_id == int(misc["process_id"])
    assert info.process_create_unix == int(misc["process_create_time"], 16)
    assert info.dump_time_unix == int(rows["MDRawHeader"]["time_date_stamp"], 16)
    event = target.event()
    assert event is not None
    exception = rows["MDException"]
    assert event.thread_id == int(exception["thread_id"], 16)
    assert event.exception.code == int(exception["exception_record.exception_code"], 16)
    report = crash_report(target)
    assert report is not None
    assert report.breakpad_info is not None
    breakpad = rows["MDRawBreakpadInfo"]
    assert report.breakpad_info.dump_thread_id == int(breakpad["dump_thread_id"], 16)
    requesting = report.breakpad_info.requesting_thread_id
    assert requesting == int(breakpad["requesting_thread_id"], 16)


# rust-minidump


def test_json_report(system: System, data_dir: Path) -> None:
    text = (data_dir / "expected/rust-minidump/json-pretty.snap").read_text("utf-8")
    expected = json.loads(text[text.index("\n{") :])
    info, event = system.target.system(), system.target.event()
    assert event is not None
    assert system.target.process_id == expected["pid"]
    assert [thread.id for thread in system.threads] == [
        thread["thread_id"] for thread in expected["threads"]
    ]
    assert expected["system_info"]["cpu_info"] == cpu_of(system)
    assert expected["system_info"]["cpu_count"] == info.processor_count
    assert event.exception.parameters[1] == int(expected["crash_info"]["address"], 16)
    assert system.event_thread is not None
    assert system.event_thread.ordinal == expected["crash_info"]["crashing_thread"]
    assert info.dump_time_unix is not None
    assert info.process_create_unix is not None
    assert info.dump_time_unix - info.process_create_unix == expected["process_uptime"]
    modules = {module.base: module for module in system.target.modules()}
    assert len(modules) == len(expected["modules"])
    for row in expected["modules"]:
        module = modules[int(row["base_addr"], 16)]
        assert module.end == int(row["end_addr"], 16)
        assert module.file_name == row["filename"]
        assert version_of(module) == (row["version"] or "")
        assert f"{module.timestamp:x}{module.size:x}" == row["code_id"]
        assert debug_key(module) == row["debug_id"]


# Words of MANIFEST.md


def test_threads_have_their_names(open_system: Open) -> None:
    """The stream gives three of the six threads one."""
    system = open_system("breakpad/thread_name_list")
    names = {thread.id: thread.name for thread in system.threads if thread.name}
    assert names == {0x19A4: "main thread", 0x2274: "sleep thread", 0x2AE0: "overflow thread"}


def test_fast_fail_is_named(open_system: Open, session: Session) -> None:
    """TestFastFailException: 4 threads, FAST_FAIL_FATAL_APP_EXIT."""
    system = open_system("breakpad/tiny-exe-fastfail")
    assert len(system.threads) == 4
    shown = lines(session, ".exr -1")
    assert "Subcode: 0x7 FAST_FAIL_FATAL_APP_EXIT" in [line.strip() for line in shown]


def test_a_used_up_stack_is_called_so(open_system: Open) -> None:
    system = open_system("breakpad/stack_exhaustion")
    event = system.target.event()
    assert event is not None
    assert event.exception.code == 0xC00000FD
    assert describe_event(event, system).title.startswith("Stack overflow")


def test_registers_that_lldb_expects_of_arm(open_system: Open) -> None:
    target = open_system("lldb-yaml/arm-linux").target
    (thread,) = target.threads()
    registers = target.registers(thread)
    for number in range(11):
        assert registers[f"r{number}"] == number + 1
    found = {name: registers[name] for name in ("r11", "r12", "sp", "lr", "pc")}
    assert found == {"r11": 0xC, "r12": 0xD, "sp": 0xE, "lr": 0xF, "pc": 0x10}
    assert registers["cpsr"] == 0x11223344
    assert registers["fpscr"] == 0x55667788AABBCCDD
    event = target.event()
    assert event is None or not event.is_stored


def test_registers_that_lldb_expects_of_arm64(open_system: Open) -> None:
    target = open_system("lldb-yaml/arm64-macos").target
    (thread,) = target.threads()
    registers = target.registers(thread)
    found = {name: registers[name] for name in ("pc", "cpsr", "fpsr", "fpcr")}
    assert found == {"pc": 0x1000, "cpsr": 0x11223344, "fpsr": 0x55667788, "fpcr": 0x99AABBCC}
    event = target.event()
    assert event is None or not event.is_stored


def test_an_image_is_found_beside_its_dump(open_system: Open, session: Session) -> None:
    """lldb's test wants the file found by its name. It has another size than the dump says, which
    lldb does not look at: as the engine does, we say so and leave the file out."""
    open_system("lldb-yaml/find-module")
    (shown,) = (line for line in lines(session, "lmv") if "Check Image" in line)
    assert "Size mismatch - Dump: 0x5000, File: 0x4000" in shown
    assert shown.endswith("minidump/lldb-yaml/find-module.exe")


def test_an_image_with_broken_unwind_information(session: Session, data_dir: Path) -> None:
    """lldb's test: it must not crash. The stack is walked, every caller marked."""
    folder = data_dir / "minidump/lldb-yaml"
    session.settings.image_path = SymbolPath.parse(str(folder))
    system = session.open_dump(str(folder / "broken-unwind.dmp"))
    registers = system.target.registers(system.threads[0])
    rows = list(session.stack(system, registers, 50))
    assert [row.frame.pc - 0xB0000 for row in rows] == [0x1092, 0x1079, 0x1085]
    assert all(row.trust.is_guess for row in rows[1:])


def test_what_others_state_of_dumps(open_system: Open) -> None:
    assert open_system("lldb-yaml/no-process-id").target.process_id is None
    node = open_system("node-minidump/windows").target
    assert (len(node.threads()), len(node.modules())) == (14, 58)
    assert any(module.image_path.endswith("\\electron.exe") for module in node.modules())
    event = open_system("orbit/hello_ggp_stand.core").target.event()
    assert event is not None
    assert event.exception.code == 4  # made by kill -4
    event = open_system("rust-minidump/invalid-parameter").target.event()
    assert event is not None
    assert (event.exception.code, event.exception.address) == (0xC000000D, 0)
    relative = open_system("lldb-yaml/relative_module_name").target.modules()[0]
    assert not re.match(r"[/\\]|.:", relative.image_path)
    assert not any(
        module.debug_id or module.build_id
        for module in open_system("lldb-yaml/linux-arm-zero-uuids").target.modules()
    )


def test_symbolicators_crash(open_system: Open, session: Session) -> None:
    """EXCEPTION_ACCESS_VIOLATION_WRITE / 0x45, told in the engine's words."""
    system = open_system("symbolicator/windows")
    assert (len(system.threads), len(system.target.modules())) == (4, 17)
    assert "Attempt to write to address 00000045" in lines(session, ".exr -1")
