"""Stacks of ELF cores against gdb's and lldb's: address, function, file and line of each frame.

gdb had the executables beside the cores and the libraries of the machine where they were made, but
no debug files for these: so of code in libraries it knows addresses and, for some, names.
"""

from __future__ import annotations

import bz2
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from polydbg.engine.code import decoder_at
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.symbols.store.path import SymbolPath
from polydbg.targets.open import open_target

pytestmark = pytest.mark.corpus


class Peer(NamedTuple):
    """A frame as a peer has it: the address is ``None`` where it says none."""

    number: int
    address: int | None
    name: str
    file: str
    line: int
    offset: int | None = None


def _data() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("POLYDBG_DATA") or default)


SAMPLES = sorted(
    path.name.removesuffix(".gdb.txt")
    for path in (_data() / "samples" / "linux" / "cores").glob("*.gdb.txt")
)

EXECUTABLES = {
    "drgn/crashme.core": ("crashme", "crashme.so"),
    "drgn/crashme_pie.core": ("crashme_pie", "crashme.so"),
    **{
        f"elfutils/backtrace.{cpu}.core.bz2": (f"backtrace.{cpu}.exec.bz2",)
        for cpu in ("aarch64", "i386", "ppc", "s390", "s390x", "x32", "x86_64", "x86_64.fp")
    },
    "elfutils/test-core.core": ("test-core.exec", "test-core-lib.so"),
    "elfutils/testfiledwarfinlines.core": ("testfiledwarfinlines",),
    **{
        f"lldb/linux-{cpu}.core": (f"linux-{cpu}.out",)
        for cpu in (
            "aarch64", "i386", "mips64el-gnuabi64", "mips64el-gnuabin32", "ppc64le", "riscv64",
            "s390x", "x86_64",
        )
    },
    "netbsd/1lwp_SIGSEGV.aarch64.core": ("1lwp_SIGSEGV.aarch64",),
    "netbsd/1lwp_SIGSEGV.amd64.core": ("1lwp_SIGSEGV.amd64",),
    "netbsd/2lwp_t2_SIGSEGV.amd64.core": ("2lwp_t2_SIGSEGV.amd64",),
    "rizin/core-linux-arm32": ("crash-linux-arm32",),
    "rizin/core-linux-arm64": ("crash-linux-arm64",),
    "rizin/core-linux-x86_64": ("crash-linux-x86_64",),
}  # fmt: skip
"""Cores under ``data/core`` with the files that belong to them, the program first."""

REPEATS = {("elfutils/backtrace.i386.core.bz2", "lldb", 23100): 5}
"""The frame in which a peer goes wrong: lldb shows ``_start``, which nobody called, twice."""

# -- what the peers print --------------------------------------------------------------------

_THREAD = re.compile(r"Thread \d+ \((?:Thread 0x[0-9a-f]+ \()?(?:LWP|process) (\d+)")
_FRAME = re.compile(r"^#(\d+)\s+(?:0x([0-9a-f]+) in )?(.*)$")
_PLACE = re.compile(r" at (\S+):(\d+)$")


def gdb_threads(text: str) -> dict[int, list[Peer]]:
    """Return the frames of each thread that ``thread apply all backtrace`` prints."""
    whole = re.search(r"^== backtrace$(.*?)^== full", text, re.S | re.M)
    threads: dict[int, list[Peer]] = {}
    frames: list[Peer] | None = None
    for line in (whole[1] if whole else text).splitlines():
        if thread := _THREAD.match(line):
            frames = threads.setdefault(int(thread[1]), [])
        elif frames is not None and (found := _FRAME.match(line)):
            frames.append(_gdb_frame(found))
    return threads


def _gdb_frame(found: re.Match[str]) -> Peer:
    place = _PLACE.search(found[3])
    file, line = (place[1].rsplit("/", 1)[-1], int(place[2])) if place else ("", 0)
    address = int(found[2], 16) if found[2] else None
    return Peer(int(found[1]), address, _without_arguments(found[3]), file, line)


def _without_arguments(text: str) -> str:
    """Return the function of ``f<(a) (b)> (x=1) at ...``: up to the blank before its arguments."""
    depth = 0
    for index, letter in enumerate(text):
        if letter == " " and depth == 0 and text[index : index + 2] == " (" and index:
            name = text[:index]
            return name if name.endswith("operator()") else name.removesuffix("()")
        depth += (letter in "<({[") - (letter in ">)}]" and text[index - 1 : index + 1] != "->")
    return text


_LLDB_THREAD = re.compile(r"^[* ] thread #(\d+): tid = (\d+)", re.M)
_LLDB_STACK = re.compile(r"^[* ] thread #(\d+)")
_LLDB_FRAME = re.compile(r"^ +\*? ?frame #(\d+): 0x([0-9a-f]+)(?: [^`]+`(.*))?$")
_LLDB_PLACE = re.compile(r"(?: \+ (\d+))?(?: at ([^:]+):(\d+)(?::\d+)?)?(?: \[.*\])?$")


def lldb_threads(text: str) -> dict[int, list[Peer]]:
    """Return the frames of each thread that ``bt all`` prints."""
    listed, _, rest = text.partition("(lldb) bt all")
    ids = {int(number): int(ident) for number, ident in _LLDB_THREAD.findall(listed)}
    threads: dict[int, list[Peer]] = {}
    frames: list[Peer] = []
    for line in rest.partition("(lldb) register read")[0].splitlines():
        if thread := _LLDB_STACK.match(line):
            frames = threads.setdefault(ids[int(thread[1])], [])
        elif found := _LLDB_FRAME.match(line):
            frames.append(_lldb_frame(found))
    return threads


def _lldb_frame(found: re.Match[str]) -> Peer:
    text = found[3] or "??"
    place = _LLDB_PLACE.search(text)
    assert place is not None
    name = re.sub(r"\(.*", "", text[: place.start()].rpartition("[inlined] ")[2])
    file = (place[2] or "").rsplit("/", 1)[-1]
    offset = int(place[1]) if place[1] else None
    return Peer(int(found[1]), int(found[2], 16), name, file, int(place[3] or 0), offset)


# -- ours ------------------------------------------------------------------------------------


class Opened:
    """A core in a session of its own."""

    def __init__(self, core: Path, images: Path, symbols: Path | None = None) -> None:
        self.session = Session()
        self.session.settings.image_path = SymbolPath.parse(str(images))
        self.session.settings.symbol_path = SymbolPath.parse(str(symbols or ""))
        self.system: System = self.session.open_dump(str(core))

    def stacks(self) -> Iterator[tuple[int, list[StackFrame]]]:
        for thread in self.system.threads:
            registers = self.system.thread_registers(thread)
            yield thread.id, list(self.session.stack(self.system, registers, 4096))

    def names(self, row: StackFrame) -> set[str]:
        """Return every name of the row's function: aliases share an address."""
        names = {row.place.symbol}
        module = self.system.modules.at(row.frame.lookup_pc)
        source = self.system.modules.symbols(module) if module is not None else None
        if module is not None and source is not None and not row.is_inline:
            symbol = source.symbol_at(row.frame.lookup_pc - module.base)
            if symbol is not None:
                names |= {each.name for each in source.symbols_at(symbol.rva)}
        return names

    def has_file(self, row: StackFrame) -> bool:
        """Tell whether the image of the row's code is at hand, not only its memory."""
        module = self.system.modules.at(row.frame.lookup_pc)
        return module is not None and self.system.modules.file_image(module) is not None


def _plain(name: str) -> str:
    """Return the last component of a Rust name: the compiler's linker names say ``<T as U>::f``
    and ``{{closure}}``, its DWARF, which gdb shows, ``{impl#0}::f`` and ``{closure#0}``."""
    while (shorter := re.sub(r"<[^<>]*>", "", name.replace("->", ""))) != name.replace("->", ""):
        name = shorter
    parts = [part for part in re.split(r"::|\{\{vtable\.shim\}\}", name) if part]
    return re.sub(r"[{}]|#\d+", "", parts[-1])


def _compare(opened: Opened, rows: list[StackFrame], frames: list[Peer], *, rust: bool) -> int:
    """Compare a thread's stack with a peer's; return how many frames were."""
    by_number: dict[int, StackFrame] = {row.number: row for row in rows}
    # What a peer without a library's debug information cannot know are the calls inlined in it.
    theirs = {frame.address for frame in frames if not frame.line}
    kept = [row for row in rows if not (row.is_inline and row.frame.pc in theirs)]
    by_number = dict(enumerate(kept))
    compared = 0
    for frame in frames:
        row = by_number.get(frame.number)
        assert row is not None, f"no frame {frame.number}: {frame.name}"
        if frame.name == "??" and opened.system.modules.at(frame.address or 0) is None:
            break  # where gdb has no rules it takes the next word for a return address
        if row.trust.is_guess and not opened.has_file(by_number[frame.number - 1]):
            break  # the machine of this test lacks the library that says how to go on
        # Of callers that a call is inlined in lldb shows where the inlined code begins.
        shares = frame.number and by_number[frame.number - 1].is_inline
        if frame.address is not None and not shares:
            assert row.frame.pc == frame.address, (frame, row.place.text)
        if frame.name != "??":
            names = opened.names(row)
            if rust:
                assert _plain(frame.name) in {_plain(name) for name in names}, (frame, names)
            elif opened.has_file(row):
                assert any(f"::{name}".endswith(f"::{frame.name}") for name in names), (
                    frame,
                    names,
                )
        if frame.line:
            assert (os.path.basename(row.file), row.line) == (frame.file, frame.line), frame
        if frame.offset is not None and not frame.line:
            assert row.place.displacement == frame.offset, (frame, row.place.text)
        compared += 1
    return compared


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_have_gdbs_stacks(data_dir: Path, name: str) -> None:
    samples = data_dir / "samples" / "linux"
    theirs = gdb_threads((samples / "cores" / f"{name}.gdb.txt").read_text())
    core = samples / "cores" / f"{name}.core.zst"
    opened = Opened(core, samples / "bin", samples / "bin" / "debug")
    ours = dict(opened.stacks())
    assert set(theirs) <= set(ours)
    compared = sum(
        _compare(opened, ours[ident], frames, rust=name == "crab")
        for ident, frames in theirs.items()
    )
    in_program = sum(bool(frame.line) for frames in theirs.values() for frame in frames)
    in_libraries = "libc.so" in (samples / "cores" / f"{name}.gdb.txt").read_text()
    assert compared >= (1 if in_libraries else in_program)
    opened.session.close()


def _with_executable(data_dir: Path, core: str, folder: Path) -> Path:
    """Put the files that belong to *core* under the names that it says; return the core."""
    path = data_dir / "core" / core
    target = open_target(str(path))
    program = target.modules()[0].file_name
    target.close()
    for index, name in enumerate(EXECUTABLES[core]):
        data = (path.parent / name).read_bytes()
        whole = bz2.decompress(data) if name.endswith(".bz2") else data
        (folder / (name if index else program)).write_bytes(whole)
    return path


def _text(data_dir: Path, core: str, peer: str) -> str:
    stem = core.removesuffix(".bz2")
    return (data_dir / "peer-output" / "core" / f"{stem}.{peer}.txt").read_text(errors="replace")


@pytest.mark.parametrize("core", sorted(EXECUTABLES))
@pytest.mark.parametrize("peer", ["gdb", "lldb"])
def test_cores_have_the_stacks_of_peers(
    data_dir: Path, core: str, peer: str, tmp_path: Path
) -> None:
    text = _text(data_dir, core, peer)
    theirs = gdb_threads(text) if peer == "gdb" else lldb_threads(text)
    opened = Opened(_with_executable(data_dir, core, tmp_path), tmp_path)
    ours = dict(opened.stacks())
    for ident, frames in theirs.items():
        wrong = REPEATS.get((core, peer, ident))
        _compare(opened, ours[ident], frames[:wrong], rust=False)
    opened.session.close()


def test_mapping_symbols_choose_the_decoder(data_dir: Path, tmp_path: Path) -> None:
    """A32 code of a program for Linux is not taken for the Thumb of Windows."""
    core = "rizin/core-linux-arm32"
    opened = Opened(_with_executable(data_dir, core, tmp_path), tmp_path)
    system = opened.system
    assert decoder_at(system, 0x10408).arch == "arm"
    module = system.modules.at(0x10408)
    assert module is not None
    image = system.modules.elf_image(module)
    assert image is not None
    marks = image.code_marks
    assert marks.is_thumb(0x10408 - module.base) is False
    assert marks.is_thumb(0) is None
    opened.session.close()
