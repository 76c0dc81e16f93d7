"""Every PE file at hand, against LLVM's reading of it; and real stacks against the real engine."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.pe import pdata
from polydbg.formats.pe.header import DIRECTORY_EXCEPTION
from polydbg.images.pe import PeImage
from polydbg.memory.space import AddressSpace
from polydbg.targets.open import open_target
from polydbg.targets.target import ModuleInfo, Target, ThreadInfo
from polydbg.unwind.frames import Frame
from polydbg.unwind.pe_amd64 import find_rule
from polydbg.unwind.walker import walk

pytestmark = pytest.mark.corpus

SYSTEM_DLLS = ("ntdll", "kernel32", "kernelbase", "msvcrt")


def pe_files(data_dir: Path) -> Iterator[Path]:
    """Yield every PE file that should be readable."""
    for folder in ("symbols", "samples/win/bin", "samples/win/wine"):
        for path in sorted((data_dir / folder).rglob("*")):
            if path.suffix in (".exe", ".dll", ".sys") and path.read_bytes()[:2] == b"MZ":
                yield path


def test_every_file_is_read(data_dir: Path) -> None:
    count = 0
    for path in pe_files(data_dir):
        image = PeImage.from_file(path)
        assert image.machine in ("amd64", "x86", "arm64"), path
        assert image.sections(), path
        image.exports()
        image.version()
        image.debug_entries()
        record = image.codeview()
        if record is not None:
            assert len(record.debug_id.guid) == 32, path
            assert record.path.endswith(".pdb"), path
        image.close()
        count += 1
    assert count >= 30


@pytest.mark.peer
def test_exports_equal_llvm(data_dir: Path) -> None:
    tool = shutil.which("llvm-readobj-19") or shutil.which("llvm-readobj")
    if tool is None:
        pytest.skip("llvm-readobj is not installed")
    compared = 0
    for path in pe_files(data_dir):
        run = subprocess.run(
            [tool, "--coff-exports", str(path)], capture_output=True, text=True, check=True
        )
        theirs = set()
        for block in re.findall(r"Export \{(.*?)\}", run.stdout, re.DOTALL):
            fields = dict(re.findall(r"(\w+): *(.*)", block))
            rva, forwarder = int(fields.get("RVA", "0"), 16), fields.get("ForwardedTo")
            if rva or forwarder:
                theirs.add((fields["Name"] or None, int(fields["Ordinal"]), forwarder or rva))
        ours = {
            (item.name, item.ordinal, item.forwarder or item.rva)
            for item in PeImage.from_file(path).exports()
        }
        assert ours == theirs, path
        compared += len(ours)
    assert compared > 4000


@pytest.mark.parametrize("name", SYSTEM_DLLS)
def test_a_thousand_functions_have_rules(data_dir: Path, name: str) -> None:
    image = PeImage.from_file(data_dir / "samples" / "win" / "wine" / f"{name}.dll")
    table = image.directories[DIRECTORY_EXCEPTION]
    rows = table.size // 12
    chosen = random.Random(name).sample(range(rows), min(1000, rows))
    for index in chosen:
        function = pdata.read_function(image.space, table.rva + index * 12)
        for rva in (function.begin, (function.begin + function.end) // 2, function.end - 1):
            assert image.function_at(rva) == function
            assert find_rule(image, rva).describe()


def test_chained_loop_is_refused(data_dir: Path) -> None:
    image = PeImage.from_file(data_dir / "malformed" / "cfi_chained_loop.exe")
    table = image.directories[DIRECTORY_EXCEPTION]
    failures = 0
    for index in range(table.size // 12):
        function = pdata.read_function(image.space, table.rva + index * 12)
        try:
            find_rule(image, function.begin)
        except FormatError:
            failures += 1
        except DebuggerError:
            pass
    assert failures


def test_cut_and_flipped_files_fail_cleanly(data_dir: Path) -> None:
    """Whatever is done to a file, only our own errors come out."""
    original = (data_dir / "samples" / "win" / "bin" / "addin_a.dll").read_bytes()
    dice = random.Random(7)
    for _ in range(400):
        data = bytearray(original)
        if dice.random() < 0.4:
            del data[dice.randrange(len(data)) :]
        for _ in range(dice.randrange(1, 20)):
            if data:
                data[dice.randrange(min(len(data), dice.choice((0x400, 0x10000))))] = (
                    dice.randrange(256)
                )
        _use_all(bytes(data))


def _use_all(data: bytes) -> None:
    try:
        image = PeImage.from_buffer(data, "x.dll")
    except FormatError:
        return
    uses: Sequence[Callable[[], object]] = (
        image.exports,
        image.version,
        image.codeview,
        image.sections,
        lambda: find_rule(image, image.entry_point),
        lambda: find_rule(image, 0x1370),
        lambda: image.space.next_readable(0x123456),
    )
    for use in uses:
        with contextlib.suppress(DebuggerError):
            use()


class View:
    """A dump with the images of the samples, found by name."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self, target: Target, data_dir: Path) -> None:
        self.memory: AddressSpace = target.memory
        self._modules = target.modules()
        self._folders = [data_dir / "samples" / "win" / name for name in ("bin", "wine")]
        self._images: dict[str, PeImage | None] = {}

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        module = self._module_at(address)
        image = self._image(module) if module else None
        return (module.base, image) if module and image else None

    def is_code(self, address: int) -> bool:
        found = self.image_at(address)
        return found is not None and found[1].is_code(address - found[0])

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def is_data(self, address: int) -> bool:
        return False

    def _module_at(self, address: int) -> ModuleInfo | None:
        return next((m for m in self._modules if m.base <= address < m.end), None)

    def _image(self, module: ModuleInfo) -> PeImage | None:
        name = module.file_name.lower()
        if name not in self._images:
            paths = [folder / name for folder in self._folders if (folder / name).exists()]
            self._images[name] = PeImage.from_file(paths[0]) if paths else None
        return self._images[name]


# Child-SP and RetAddr of `k`; the last of several tables per prompt is the thread of `~*k`.
ROW = re.compile(
    r"^(?:[0-9a-f]{2,3} )?(?: *[0-9a-f]* )?([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8}) "
)
PROMPT = re.compile(r"^\d+:(\d+)> (.*)$")
THREAD = re.compile(r"^[. #]+(\d+) +Id: ")


def stacks(text: str) -> Iterator[tuple[int, str, list[tuple[int, int]]]]:
    """Yield thread number, command and (Child-SP, RetAddr) pairs of each `k` or `kn`."""
    thread, command, is_table = 0, "", False
    rows: list[tuple[int, int]] = []
    for line in [*text.splitlines(), "0:000> end"]:
        prompt, header = PROMPT.match(line), THREAD.match(line)
        if prompt or header:
            if rows:
                yield thread, command, rows
            rows, is_table = [], False
            thread = int((prompt or header).group(1))  # type: ignore[union-attr]
            if prompt:
                command = prompt.group(2)
                named = re.match(r"~(\d+) *k", command)
                thread = int(named.group(1)) if named else thread
        elif "Child-SP" in line:
            is_table = "Args to Child" not in line
        elif is_table and (row := ROW.match(line)):
            pair = (int(row[1].replace("`", ""), 16), int(row[2].replace("`", ""), 16))
            # An inlined call is a row of its own with the same Child-SP as its function.
            if "(Inline" not in line:
                rows.append(pair)


TRANSCRIPTS = (
    *("fastpath.fastpath", "faults-divzero.faults", "faults-int3.faults", "faults-raise.faults"),
    *("figures-snap.figures", "figures-throw.figures", "heapdata-snap.heapdata"),
    *("loader-inside.loader", "loader-stale-unloaded.loader", "lockstep.lockstep"),
    *("lockstep-full.lockstep", "nullwrite.any", "nullwrite-full.any", "nullwrite.wine.any"),
    *("nullwrite.nullwrite", "overflow.overflow"),
)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_stacks_equal_the_real_engine(
    data_dir: Path, sample_dump: Callable[[str], Path], name: str
) -> None:
    folder = data_dir / "windbg-transcripts" / "samples"
    text = (folder / f"{name}.txt").read_text("utf-8")
    target = open_target(str(sample_dump(name.rpartition(".")[0])))
    view = View(target, data_dir)
    threads = {thread.ordinal: thread for thread in target.threads()}
    compared = 0
    for number, command, rows in stacks(text):
        if not re.match(r"(~\*|~\d+)?\s*k[nfLpPM]?\b", command) or "=" in command:
            continue
        frames = list(walk(view, _registers(target, threads[number]), 4096))
        ours = [(frame.sp, frame.return_address) for frame in frames]
        assert rows == ours[: len(rows)], command
        _check_end(frames, rows)
        compared += len(rows)
    assert compared


def _registers(target: Target, thread: ThreadInfo) -> dict[str, int]:
    event = target.event()
    stored = target.exception_registers()
    if event is not None and stored is not None and event.thread_id == thread.id:
        return dict(stored)
    return dict(target.registers(thread))


def _check_end(frames: Sequence[Frame], rows: Sequence[tuple[int, int]]) -> None:
    assert not any(frame.trust.is_guess for frame in frames[2:])
    if rows[-1][1] == 0:
        assert len(frames) == len(rows), "the stack goes on where the engine's ends"
