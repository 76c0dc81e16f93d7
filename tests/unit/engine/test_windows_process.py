"""PEB, TEB, loader lists and environment of both widths, absent fields, and damaged lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.errors import TargetError
from polydbg.engine.session import Session, System
from polydbg.engine.windows_process import (
    MAX_LOADER_ENTRIES,
    other_peb,
    other_teb,
    peb,
    split_variable,
    teb,
)
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context
from polydbg.testing.process_builder import ProcessBuilder

ENVIRONMENT = ("=C:=C:\\work", "PATH=C:\\bin", "Temp=C:\\t", "EMPTY=")


def opened(tmp_path: Path, builder: MinidumpBuilder) -> System:
    path = tmp_path / "process.dmp"
    path.write_bytes(builder.build())
    return Session().open_dump(str(path))


def a_process(arch: str) -> ProcessBuilder:
    process = ProcessBuilder(arch=arch)
    texts = {
        "command_line": 'app.exe "a b"',
        "image_path": "C:\\app.exe",
        "current_directory": "C:\\work\\",
        "window_title": "title",
        "dll_path": "C:\\dlls",
    }
    heaps = process.place(b"".join(process.pointer(h) for h in (0x500000, 0x600000)))
    block = process.peb(
        being_debugged=1,
        image_base=0x400000,
        ldr=process.loader([(0x400000, "C:\\app.exe"), (0x770000, "C:\\w\\ntdll.dll")]),
        parameters=process.parameters(texts, ENVIRONMENT),
        process_heap=0x500000,
        heap_count=2,
        heaps=heaps,
        os_major=10,
        os_build=19045,
        session_id=3,
    )
    slots = process.place(b"".join(process.pointer(i * 16) for i in range(1024)))
    process.thread(
        0x2B40,
        block,
        stack_base=0x130000,
        stack_limit=0x12D000,
        last_error=2,
        last_status=0xC0000034,
        owned=1,
        locale=0x409,
        deallocation_stack=0x30000,
        guaranteed=0x10000,
        sub_process_tag=0x77,
        tls_slots=0x1234,
        tls_expansion=slots,
    )
    return process


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_every_field(tmp_path: Path, arch: str) -> None:
    system = opened(tmp_path, a_process(arch).dump)
    thread = teb(system)
    assert thread.self_pointer == thread.address
    assert (thread.process_id, thread.thread_id) == (0x1A2C, 0x2B40)
    assert (thread.stack_base, thread.stack_limit) == (0x130000, 0x12D000)
    assert (thread.last_error, thread.last_status) == (2, 0xC0000034)
    assert (thread.owned_critical_sections, thread.current_locale) == (1, 0x409)
    assert (thread.deallocation_stack, thread.guaranteed_stack_bytes) == (0x30000, 0x10000)
    assert thread.sub_process_tag == 0x77
    assert (thread.tls_slot(0), thread.tls_slot(64), thread.tls_slot(65)) == (0x1234, 0, 16)
    with pytest.raises(TargetError):
        thread.tls_slot(64 + 1024)
    process = peb(system)
    assert process.being_debugged == 1
    assert process.inherited_address_space == 0
    assert (process.image_base, process.process_heap) == (0x400000, 0x500000)
    assert process.heaps() == [0x500000, 0x600000]
    assert (process.os_major, process.os_build, process.session_id) == (10, 19045, 3)
    parameters = process.parameters
    assert parameters is not None
    assert parameters.command_line == 'app.exe "a b"'
    assert parameters.image_path == "C:\\app.exe"
    assert parameters.current_directory == "C:\\work\\"
    assert (parameters.window_title, parameters.dll_path) == ("title", "C:\\dlls")
    environment = parameters.environment
    assert environment is not None
    assert environment.variables == ENVIRONMENT
    assert environment.is_complete
    assert environment.values("TEMP") == ["C:\\t"]
    loader = process.loader
    assert loader is not None
    for order in ("load", "memory", "init"):
        found = [(e.dll_base, e.full_name) for e in loader.entries(order)]
        assert found == [(0x400000, "C:\\app.exe"), (0x770000, "C:\\w\\ntdll.dll")]


def test_fields_that_are_absent(tmp_path: Path) -> None:
    """A TEB cut in the middle: what lies before the cut is still read."""
    builder = MinidumpBuilder().system().thread(1, amd64_context(), teb=0x5000)
    builder.memory(0x5000, bytes(8) + (0x9000).to_bytes(8, "little") + bytes(0x60))
    system = opened(tmp_path, builder)
    block = teb(system)
    assert block.stack_base == 0x9000
    assert block.last_error == 0
    assert block.last_status is None
    assert block.tls_slot(3) is None
    with pytest.raises(TargetError, match="PEB") as caught:
        peb(system)
    assert caught.value.identifier == "process.no-peb"


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_lists_that_never_end(tmp_path: Path, arch: str) -> None:
    process = ProcessBuilder(arch=arch)
    loader = process.loader([(i << 16, "x.dll") for i in range(1, 6)], endless=True)
    process.thread(1, process.peb(ldr=loader))
    lists = peb(opened(tmp_path, process.dump)).loader
    assert lists is not None
    assert len(list(lists.entries("load"))) == 5
    # A chain without a cycle is cut too.
    step, count = 0x40, MAX_LOADER_ENTRIES + 50
    chain = ProcessBuilder(arch=arch)
    at = 0x2000000
    pointers = (chain.pointer(at + step * (i + 1)).ljust(step, b"\0") for i in range(count))
    chain.dump.memory(at, b"".join(pointers) + bytes(0x100))
    head = chain.place(bytes(0x10 if chain.size == 8 else 0x0C) + chain.pointer(at) + bytes(0x40))
    chain.thread(1, chain.peb(ldr=head))
    lists = peb(opened(tmp_path, chain.dump)).loader
    assert lists is not None
    assert len(list(lists.entries())) == MAX_LOADER_ENTRIES


def test_a_32_bit_thread_of_a_64_bit_process(tmp_path: Path) -> None:
    process = ProcessBuilder()
    wide = process.thread(0x11, exception_list=0x3002000)
    narrow = ProcessBuilder(arch="x86", start=0x8000000)
    narrow.dump = process.dump
    narrow.teb(0x3002000, thread_id=0x11, last_error=5, peb=0x3F0000, wow_teb_offset=-0x2000)
    system = opened(tmp_path, process.dump)
    assert teb(system).address == wide
    system.machine = "x86"
    block = teb(system)
    assert (block.address, block.pointer_size, block.last_error) == (0x3002000, 4, 5)
    assert peb(system).address == 0x3F0000
    assert other_teb(block) is None, "the block before it is not there"


def test_no_block_of_the_other_width(tmp_path: Path) -> None:
    process = a_process("amd64")
    system = opened(tmp_path, process.dump)
    assert other_teb(teb(system)) is None
    system.machine = "x86"
    with pytest.raises(TargetError, match="32-bit block"):
        teb(system)


def test_strings_of_parameters_that_are_not_normalised(tmp_path: Path) -> None:
    """Their buffers count from the block's start."""
    process = ProcessBuilder()
    block = bytearray(0x500)
    text = "cmd".encode("utf-16-le")
    block[0x70:0x80] = b"\6\0\6\0\0\0\0\0" + (0x400).to_bytes(8, "little")
    block[0x400:0x406] = text
    process.thread(1, process.peb(parameters=process.place(bytes(block))))
    parameters = peb(opened(tmp_path, process.dump)).parameters
    assert parameters is not None
    assert parameters.command_line == "cmd"
    assert parameters.environment is None


def test_not_windows(tmp_path: Path) -> None:
    builder = MinidumpBuilder().system(platform=0x8201).thread(1, amd64_context(), teb=0x5000)
    system = opened(tmp_path, builder)
    for ask in (teb, peb):
        with pytest.raises(TargetError, match="linux"):
            ask(system)


def test_a_variable_may_begin_with_the_sign() -> None:
    assert split_variable("=C:=C:\\x") == ("=C:", "C:\\x")
    assert split_variable("A=b=c") == ("A", "b=c")
    assert split_variable("odd") == ("odd", "")


@pytest.mark.corpus
def test_a_process_of_real_windows(data_dir: Path) -> None:
    """node-minidump's dump of Windows 10 14393: what vertarget and the module list say, again."""
    system = Session().open_dump(str(data_dir / "minidump" / "node-minidump" / "windows.dmp"))
    thread = teb(system)
    assert thread.self_pointer == thread.address == 0x6399F75000
    assert thread.thread_id == system.threads[0].id
    assert thread.process_id == system.target.process_id
    process = peb(system)
    modules = system.target.modules()
    assert process.image_base == modules[0].base
    assert process.os_build == system.target.system().build == 14393
    parameters = process.parameters
    assert parameters is not None
    assert parameters.image_path is not None
    assert parameters.image_path.lower() == modules[0].image_path.lower()
    environment = parameters.environment
    assert environment is not None
    assert environment.is_complete
    assert environment.values("ChocolateyInstall") == ["C:\\ProgramData\\chocolatey"]


@pytest.mark.corpus
def test_a_wow64_process_of_real_windows(data_dir: Path) -> None:
    """kdlib's stacktest: both widths' blocks of one process, Windows 10 17134."""
    path = data_dir / "minidump" / "kdlib" / "stacktest_wow64.dmp.xz"
    system = Session().open_dump(str(path))
    assert system.machine == "x86"
    thread, process = teb(system), peb(system)
    assert (thread.pointer_size, thread.address, process.address) == (4, 0x5DB000, 0x5D8000)
    assert thread.process_id == system.target.process_id
    assert (thread.stack_limit, thread.stack_base) == (0x6FD000, 0x700000)
    registers = system.thread_registers(system.threads[0])
    assert 0x6FD000 <= registers["esp"] < 0x700000
    wide = other_teb(thread)
    assert wide is not None
    assert wide.address == system.threads[0].teb == 0x5D9000
    assert (process.image_base, process.os_build) == (0x850000, 17134)
    other = other_peb(system)
    assert other is not None
    assert (other.address, other.image_base, other.os_build) == (0x5D7000, 0x850000, 17134)
    loader = process.loader
    assert loader is not None
    known = {m.base: m.size for m in system.target.modules()}
    entries = list(loader.entries("load"))
    assert [e.base_name for e in entries][:2] == ["targetapp.exe", "ntdll.dll"]
    for order in ("load", "memory", "init"):
        for entry in loader.entries(order):
            assert known[entry.dll_base or 0] == entry.size_of_image
    parameters = process.parameters
    assert parameters is not None
    environment = parameters.environment
    assert environment is not None
    assert environment.values("PROCESSOR_ARCHITEW6432") == ["AMD64"]
    system.machine = "amd64"
    assert teb(system).address == 0x5D9000
    assert peb(system).address == 0x5D7000


@pytest.mark.corpus
def test_a_process_with_full_memory(sample_dump: Callable[[str], Path]) -> None:
    system = Session().open_dump(str(sample_dump("lockstep-full")))
    for thread in system.threads:
        block = teb(system, thread)
        assert block.thread_id == thread.id
        registers = system.target.registers(thread)
        limit, base = block.stack_limit, block.stack_base
        assert limit is not None
        assert base is not None
        assert limit <= registers["rsp"] < base
    loader = peb(system).loader
    assert loader is not None
    bases = sorted(m.base for m in system.target.modules())
    assert sorted(e.dll_base or 0 for e in loader.entries("load")) == bases
    assert next(e.base_name for e in loader.entries("init")) == "ntdll.dll"
    parameters = peb(system).parameters
    assert parameters is not None
    assert parameters.command_line == "C:\\samples\\lockstep.exe run"
