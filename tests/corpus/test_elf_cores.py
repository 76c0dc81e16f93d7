"""ELF cores against what gdb, lldb, elfutils and rizin say of them.

Judges: ``peer-output/core`` and ``samples/linux/cores/*.gdb.txt`` (gdb 13, lldb 19), lldb's own
tests (``expected/lldb-register``), ``eu-readelf -n`` and rizin's tests, and MANIFEST.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from polydbg.arch.registers import sub_register
from polydbg.base.errors import TargetError
from polydbg.targets.elf_core import ElfCoreTarget
from polydbg.targets.open import open_target

pytestmark = pytest.mark.corpus

_IMAGES = re.compile(r"\.(exec\.bz2|out|so|dwz|alt)$|/(crashme|crashme_pie|crash-linux-\w+)$|exec$")
_OTHER_IMAGES = {
    "core/elfutils/testfiledwarfinlines",
    "core/netbsd/1lwp_SIGSEGV.aarch64",
    "core/netbsd/1lwp_SIGSEGV.amd64",
    "core/netbsd/2lwp_t2_SIGSEGV.amd64",
    "core/freebsd-kernel/kernel-amd64.xz",
}
_KERNELS = ("core/freebsd-kernel/vmcore-amd64-full.bz2", "core/freebsd-kernel/vmcore-amd64-mini")


def _data() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("POLYDBG_DATA") or default)


def _names() -> list[str]:
    root = _data()
    found = [path for path in (root / "core").rglob("*") if path.is_file()]
    found += (root / "samples" / "linux" / "cores").glob("*.zst")
    names = sorted(str(path.relative_to(root)) for path in found)
    return [
        name
        for name in names
        if not _IMAGES.search(name) and name not in _OTHER_IMAGES and not name.startswith(_KERNELS)
    ]


NAMES = _names()


def _opened(data_dir: Path, name: str) -> ElfCoreTarget:
    target = open_target(str(data_dir / name))
    assert isinstance(target, ElfCoreTarget)
    return target


def _peer(data_dir: Path, name: str, peer: str) -> str:
    """Return what *peer* prints of the core, ``""`` where it was not asked."""
    stem = name
    for end in (".xz", ".bz2", ".zst"):
        stem = stem.removesuffix(end)
    path = data_dir / "peer-output" / f"{stem}.{peer}.txt"
    if name.startswith("samples/"):
        path = data_dir / f"{stem.removesuffix('.core')}.{peer}.txt"
    return path.read_text(errors="replace") if path.exists() else ""


def _names_with(peer: str, words: str) -> list[str]:
    """Return the cores of which *peer* says something that has *words*."""
    return [name for name in NAMES if words in _peer(_data(), name, peer)]


@pytest.mark.parametrize("name", NAMES)
def test_opens(data_dir: Path, name: str) -> None:
    target = _opened(data_dir, name)
    threads = target.threads()
    assert threads or "more-than-65535" in name
    assert target.event() is not None or not threads
    for thread in threads:
        registers = target.registers(thread)
        assert registers
        assert {"rip", "eip", "pc"} & set(registers)
        assert {"rsp", "esp", "sp"} & set(registers)
    assert target.modules() or not target.notes.auxiliary
    assert target.kind_line.startswith("ELF User Core")
    bases = [module.base for module in target.modules()]
    assert len(bases) == len(set(bases))
    ends = 0
    for region in target.regions():
        assert region.base >= ends
        ends = region.end
    target.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_agrees(data_dir: Path, name: str) -> None:
    row = _manifest_row(data_dir, name)
    target = _opened(data_dir, name)
    threads = target.threads()
    system = target.system().platform
    # Of NetBSD the measurement counted notes of registers.
    if (found := re.search(r"measured: threads (\d+)", row)) and system != "netbsd":
        assert len(threads) == int(found[1])
    if (found := re.search(r"PT_LOAD (\d+)", row)) and "more-than" not in name:
        assert sum(each.type == 1 for each in target.segments) == int(found[1])
    # m68k aligns to two bytes, which the measurement did not know.
    if (found := re.search(r"signal (\d+) tid (\d+)", row)) and target.arch != "m68k":
        event = target.event()
        assert event is not None
        assert event.thread_id == int(found[2]) == threads[0].id
        if int(found[1]):
            assert event.exception.code == int(found[1])
    if found := re.search(r"; pid (\d+)", row):
        assert target.process_id == int(found[1])
    target.close()


def _manifest_row(data_dir: Path, name: str) -> str:
    lines = (data_dir / "MANIFEST.md").read_text().splitlines()
    return next((line for line in lines if line.startswith(f"| {name} |")), "")


_GDB_NAMES = {"eflags": "efl", "s8": "s8", "pswa": "pswa"}
_GDB_LINE = re.compile(r"^(\w+)\s+(0x[0-9a-f]+)(?:\s|$)", re.M)


def _gdb_registers(text: str) -> Iterator[tuple[str, int]]:
    for name, value in _GDB_LINE.findall(text):
        yield _GDB_NAMES.get(name, name), int(value, 16)


@pytest.mark.parametrize("name", _names_with("gdb", "\n#0  0x"))
def test_registers_are_those_of_gdb(data_dir: Path, name: str) -> None:
    text = _peer(data_dir, name, "gdb")
    target = _opened(data_dir, name)
    threads = target.threads()
    # gdb lists the registers of the thread that it stops in: the first.
    ours = dict(target.registers(threads[0]))
    if target.arch == "arm64":
        ours |= {"x29": ours["fp"], "x30": ours["lr"]}
    checked = 0
    for register, value in _gdb_registers(text):
        if target.arch == "s390" and register.endswith("l"):  # r3l is r3, r3 both halves
            register = register[:-1]
        elif not _is_plain(register, target.arch):
            continue
        if register in ours:
            assert ours[register] == value, register
            checked += 1
    if re.search(r"^(rax|eax|r3|s3|x3) +0x", text, re.M):
        assert checked >= 16
    target.close()


def _is_plain(register: str, arch: str) -> bool:
    """Tell whether gdb's line is the register's own: it clears the low bit of ARM's pc, and makes
    up registers of s390."""
    if arch == "arm" and register == "pc":
        return False
    return not (arch == "s390" and re.fullmatch(r"r\d+|pc|orig_r2", register))


@pytest.mark.parametrize(
    "name", ["lldb/linux-mips64el-gnuabi64.core", "rizin/core-linux-mips32el-bin-ls.xz"]
)
def test_registers_of_mips_are_those_of_gdb(data_dir: Path, name: str) -> None:
    """gdb prints them in rows of names with rows of values below."""
    lines = _peer(data_dir, f"core/{name}", "gdb").splitlines()
    target = _opened(data_dir, f"core/{name}")
    ours = dict(target.registers(target.threads()[0]))
    ours["bad"] = ours["badvaddr"]
    checked = 0
    for names, values in pairwise(lines):
        values = re.sub(r"^ *R\d+ ", "", values)
        if not re.fullmatch(r"( +[a-z]+\d?)+", names) or not re.fullmatch(r"[0-9a-f ]+", values):
            continue
        for register, value in zip(names.split(), values.split(), strict=True):
            if register in ours:
                assert ours[register] == int(value, 16), register
                checked += 1
    assert checked >= 37
    target.close()


_LLDB_LINE = re.compile(r"^\s*(\w+) = (0x[0-9a-f]+)\b", re.M)
_SELECTORS = ("cs", "ss", "ds", "es", "fs", "gs")
_LLDB_NAMES = {"rflags": "efl", "eflags": "efl"}
_LLDB_THREAD = re.compile(r"^[* ] thread #\d+: tid = (\d+), (0x[0-9a-f]+)", re.M)


@pytest.mark.parametrize("name", _names_with("lldb", "(lldb) thread list"))
def test_lldb_agrees(data_dir: Path, name: str) -> None:
    text = _peer(data_dir, name, "lldb")
    target = _opened(data_dir, name)
    threads = {thread.id: target.registers(thread) for thread in target.threads()}
    listed = _LLDB_THREAD.findall(text)
    for ident, counter in listed:
        assert int(ident) in threads or target.arch == "m68k"
        registers = threads.get(int(ident), {})
        found = {registers.get(each) for each in ("rip", "eip", "pc", "pswa")}
        if target.arch not in ("arm", "m68k", "sparc64"):
            assert int(counter, 16) in found
    block = text.partition("(lldb) register read")[2].partition("(lldb) image list")[0]
    ours = threads.get(int(listed[0][0]), {}) if listed else {}
    for register, value in _LLDB_LINE.findall(block):
        register = _LLDB_NAMES.get(register, register)
        wide = 16 if register in _SELECTORS else 4 * (len(value) - 2)
        if register in ours and not register.startswith(("st", "xmm")):
            assert ours[register] == int(value, 16) & (1 << wide) - 1, register
    target.close()


_LLDB_IMAGE = re.compile(r"^\[ *\d+\] ([0-9A-F-]+) (0x[0-9a-f]+) (\S+)", re.M)


@pytest.mark.parametrize("name", _names_with("lldb", "(lldb) image list\n[  0]"))
def test_images_are_those_of_lldb(data_dir: Path, name: str) -> None:
    listed = _LLDB_IMAGE.findall(_peer(data_dir, name, "lldb"))
    target = _opened(data_dir, name)
    modules = {module.base: module for module in target.modules()}
    for ident, base, path in listed:
        if not int(base, 16):
            continue
        # lldb's tests give this core the program of another.
        if "thread_crash" in name and path.endswith("linux-i386.out"):
            continue
        assert int(base, 16) in modules, path
        # For system libraries lldb took the files of the machine that it ran on.
        build_id = modules[int(base, 16)].build_id
        if build_id and path.startswith(("core/", "[vdso]")):
            assert build_id.hex().upper().startswith(ident.replace("-", "")[:32])
    target.close()


def _vectors(text: str) -> Iterator[tuple[str, int]]:
    """Yield lldb's registers: numbers, and vectors as bytes, low byte first."""
    for register, value in re.findall(r"^(\w+) = (\{[^}]*\}|0x[0-9a-f]+)", text, re.M):
        if value.startswith("{"):
            yield register, int.from_bytes(bytes.fromhex(value[1:-1].replace("0x", "")), "little")
        else:
            yield register, int(value, 16)


_FP_NAMES = {"fctrl": "fpcw", "fstat": "fpsw", "ftag": "fptw", "rflags": "efl", "eflags": "efl"}
_ABSENT = {"fop", "fiseg", "fioff", "fip", "foseg", "fooff", "fdp", "mxcsrmask"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x86-64-linux-multithread", "x86-64-linux-multithread"),
        ("x86-32-linux-multithread", "x86-32-linux-multithread"),
        ("x86-32-freebsd-multithread", "x86-32-freebsd-multithread"),
        ("aarch64-freebsd-multithread", "aarch64-freebsd-multithread"),
        ("aarch64-freebsd-multithread", "aarch64-freebsd-register-fields"),
        ("x86-64-freebsd", "x86-64-freebsd-gp"),
        ("x86-64-freebsd", "x86-64-freebsd-fp"),
        ("x86-64-freebsd", "x86-64-freebsd-addr"),
        ("x86-64-netbsd", "x86-64-netbsd-gp"),
        ("x86-64-netbsd", "x86-64-netbsd-fp"),
        ("x86-64-netbsd", "x86-64-netbsd-addr"),
        ("x86-32-netbsd", "x86-32-netbsd-gp"),
        ("x86-32-netbsd", "x86-32-netbsd-addr"),
    ],
)
def test_registers_of_lldbs_own_tests(data_dir: Path, name: str, expected: str) -> None:
    target = _opened(data_dir, f"core/lldb-register/{name}.core")
    text = (data_dir / "expected" / "lldb-register" / f"{expected}.txt").read_text()
    checked = 0
    for part in re.split(r"(?m)^\(lldb\) thread select ", text):
        number = int(part[0]) - 1 if part[:1].isdigit() else 0
        thread = target.threads()[number]
        ours = target.registers(thread)
        for register, value in _vectors(part):
            known = _our_value(ours, _FP_NAMES.get(register, register))
            if known is None:
                assert register in _ABSENT, register
                continue
            assert known == value, (number, register)
            checked += 1
    assert checked >= 3
    for ident, counter in re.findall(r"thread #\d: tid = (\d+), (0x[0-9a-f]+)", text):
        thread = next(each for each in target.threads() if each.id == int(ident))
        assert int(counter, 16) in target.registers(thread).values()


def _our_value(ours: Mapping[str, int], register: str) -> int | None:
    """Return our value for lldb's name of a register or of a part of one."""
    if register in ours:
        return ours[register]
    if register.startswith("mm") and f"st{register[2:]}" in ours:
        return ours[f"st{register[2:]}"] & (1 << 64) - 1
    part = sub_register(re.sub(r"^(r\d+)l$", r"\1b", register), ours)
    return part.extract(ours[part.parent]) if part is not None else None


@pytest.mark.parametrize("arch", ["x86", "x86_64", "arm64", "arm32"])
def test_registers_and_maps_of_rizin(data_dir: Path, arch: str) -> None:
    text = (data_dir / "expected" / "rizin" / "elf-core.txt").read_text()
    target = _opened(data_dir, f"core/rizin/core-linux-{arch}")
    ours = dict(target.registers(target.threads()[0]))
    block = text.partition(f"== core regs linux {arch} ")[2].partition("\n\n")[0]
    names = {"eflags": "efl", "rflags": "efl", "oeax": "orig_eax", "x29": "fp", "x30": "lr"}
    checked = 0
    for register, value in re.findall(r"^(\w+) = (0x[0-9a-f]+)", block, re.M):
        if (register := names.get(register, register)) in ours:
            assert ours[register] == int(value, 16), register
            checked += 1
    assert checked > 10
    block = text.partition(f"== core maps linux {arch} ")[2].partition("\n\n")[0]
    rows = re.findall(r"(0x[0-9a-f]+) - (0x[0-9a-f]+) ([r-][w-][x-]) [fm]map\.(\S+)", block)
    files = {region.base: region for region in target.regions()}
    assert rows
    # What rizin calls mmap is the part of a mapping that has no bytes in the core.
    for start, _, _, path in rows:
        base = max((base for base in files if base <= int(start, 16)), default=-1)
        file = files[base].file
        assert file is not None
        assert files[base].end > int(start, 16)
        if not path.startswith("LOAD"):
            assert file.path.rsplit("/", 1)[-1] == path.rsplit("/", 1)[-1]


def test_notes_of_elfutils(data_dir: Path) -> None:
    text = (data_dir / "expected" / "elfutils" / "testfile71.txt").read_text()
    target = _opened(data_dir, "core/elfutils/testfile71")
    rows = re.findall(r"([0-9a-f]{8,})-([0-9a-f]{8,}) ([0-9a-f]{8}) \d+ +(/\S+)", text)
    assert [(each.start, each.end, each.offset, each.path) for each in target.notes.mappings] == [
        (int(a, 16), int(b, 16), int(c, 16), path) for a, b, c, path in rows
    ]
    event = target.event()
    assert event is not None
    assert (event.exception.code, event.exception.flags) == (11, 1)
    assert event.exception.address == 0x12345678
    process = target.notes.process
    assert process is not None
    assert (process.id, process.parent, process.user) == (9664, 2868, 1000)
    ours = target.registers(target.threads()[0])
    for register, value in re.findall(r"\b(r\d+|r[a-ds][xipb]|rip|rsp): +(0x[0-9a-f]+|\d+)", text):
        assert ours[register] == int(value, 0), register


SAMPLES = [name for name in NAMES if name.startswith("samples/")]


@pytest.mark.parametrize("name", SAMPLES)
def test_threads_maps_and_auxiliary_vector_of_gdb(data_dir: Path, name: str) -> None:
    text = _peer(data_dir, name, "gdb")
    target = _opened(data_dir, name)
    block = text.partition("== threads")[2].partition("== backtrace")[0]
    idents = re.findall(r"(?:LWP |process )(\d+)", block)
    assert [str(thread.id) for thread in target.threads()] == idents
    block = text.partition("== maps")[2].partition("== auxv")[0]
    rows = re.findall(r"(0x[0-9a-f]+) +(0x[0-9a-f]+) +0x[0-9a-f]+ +(0x[0-9a-f]+) (\S+)", block)
    ours = [(each.start, each.end, each.offset) for each in target.notes.mappings]
    assert ours == [(int(a, 16), int(b, 16), int(c, 16)) for a, b, c, _ in rows]
    entries = target.process_files.auxiliary_vector
    block = text.partition("== auxv")[2].partition("== shared")[0]
    for kind, value in re.findall(r"^(\d+) .*?(0x[0-9a-f]+|(?<= )\d+)(?: \".*)?$", block, re.M):
        if int(kind):
            assert (int(kind), int(value, 0)) in [(each.kind, each.value) for each in entries]


@pytest.mark.parametrize("name", [name for name in SAMPLES if "mini" not in name])
def test_modules_of_samples_are_where_gdb_has_them(data_dir: Path, name: str) -> None:
    text = _peer(data_dir, name, "gdb").partition("== shared")[2]
    target = _opened(data_dir, name)
    modules = target.modules()
    for start, end, path in re.findall(r"^(0x\w+)\s+(0x\w+)\s+\S+.*?(/\S+)$", text, re.M):
        module = next(each for each in modules if each.image_path == path)
        assert module.base <= int(start, 16) < int(end, 16) <= module.end
        assert len(module.build_id) == 20
    assert all(module.build_id for module in modules)


def test_build_ids(data_dir: Path) -> None:
    target = _opened(data_dir, "core/drgn/crashme.core")
    found = {module.file_name: module for module in target.modules()}
    assert found["crashme"].build_id.hex() == "99a6524c4df01fbff9b43a6ead3d8e8e6201568b"
    assert found["crashme.so"].build_id.hex() == "7bd58f10e741c3c8fbcf2031aa65f830f933d616"
    assert found["libc.so.6"].build_id.hex() == "77c77fee058b19c6f001cf2cb0371ce3b8341211"
    assert found["libc.so.6"].base == 0x7F6112AAE000
    assert found["ld-linux-x86-64.so.2"].base == 0x7F6112CB6000
    assert found["linux-vdso.so.1"].base == 0x7F6112CB4000
    assert found["crashme"].image_path == "/home/osandov/crashme"
    assert found["crashme"].codeview_signature == "BpEL"
    pie = _opened(data_dir, "core/drgn/crashme_pie.core").modules()
    assert (pie[0].base, pie[0].file_name) == (0x557ED343D000, "crashme_pie")
    assert pie[0].build_id.hex() == "eb4ad7aaded3815ab133a6d7784a2c95a4e52998"


def test_program_headers_from_the_copy_in_its_data(data_dir: Path) -> None:
    target = _opened(data_dir, "core/drgn/multithreaded.core.xz")
    paths = [module.image_path for module in target.modules()]
    assert paths[0].endswith("/segfault_random_thread")
    assert "/lib64/libc.so.6" in paths


def test_vector_registers(data_dir: Path) -> None:
    target = _opened(data_dir, "core/lldb/linux-fpr_sse_x86_64.core")
    ours = target.registers(target.threads()[0])
    assert (ours["fpcw"], ours["fpsw"], ours["fptw"], ours["mxcsr"]) == (0x37F, 0, 0xFF, 0x1F80)
    assert ours["st0"] == int.from_bytes(bytes.fromhex("99f7cffb849a209afd3f"), "little")
    assert ours["xmm0"] == int.from_bytes(bytes.fromhex("29316446" * 4), "little")
    assert ours["xmm7"] == int.from_bytes(bytes.fromhex("13f130cd" * 4), "little")
    neon = _opened(data_dir, "core/lldb/linux-aarch64-neon.core")
    ours = neon.registers(neon.threads()[0])
    low = [ours[f"v{index}"].to_bytes(16, "little")[6:8].hex() for index in range(4)]
    assert low == ["e03f", "f83f", "0440", "0c40"]
    sve = _opened(data_dir, "core/lldb/linux-aarch64-sve-full.core")
    ours = sve.registers(sve.threads()[0])
    assert ours["vg"] == 4
    assert all(ours[f"v{i}"] == ours[f"z{i}"] & (1 << 128) - 1 for i in range(32))


def test_netbsd_and_its_first_thread(data_dir: Path) -> None:
    target = _opened(data_dir, "core/netbsd/2lwp_t2_SIGSEGV.amd64.core")
    assert [thread.id for thread in target.threads()] == [2, 1]
    assert (target.process_id, target.system().platform) == (622, "netbsd")
    event = target.event()
    assert event is not None
    assert (event.thread_id, event.exception.code) == (2, 11)


def test_arguments_and_environment(data_dir: Path) -> None:
    files = _opened(data_dir, "core/pyelftools/core_linux64.elf").process_files
    assert files.command_line == ("./coredump_self", "foo", "bar", "42")
    files = _opened(data_dir, "samples/linux/cores/crowd.gcore.core.zst").process_files
    assert files.command_line == ("./crowd", "wait")
    assert files.environment == ("PATH=/usr/bin:/bin", "LANG=C.UTF-8")
    # The program wrote over the list of pointers; the texts are as they were.
    files = _opened(data_dir, "core/lldb/linux-s390x.core").process_files
    assert files.command_line == ("./a.out",)
    assert "SHELL=/bin/bash" in files.environment


@pytest.mark.parametrize(
    ("name", "words"),
    [("vmcore-amd64-full.bz2", "FreeBSD"), ("vmcore-amd64-minidump.bz2", "FreeBSD kernel")],
)
def test_kernels_are_refused_by_name(data_dir: Path, name: str, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        open_target(str(data_dir / "core" / "freebsd-kernel" / name))
    assert caught.value.identifier == "dump.unsupported-format"
    assert words in caught.value.message


def test_more_segments_than_sixteen_bits_count(data_dir: Path) -> None:
    target = _opened(data_dir, "core/rizin/more-than-65535-segments.xz")
    assert len(target.segments) == 131070
