"""The minidump reader against the samples, damaged files, and transcripts of the real engine.

Judged are threads, modules, registers and the banner; test_manifest_facts.py has the figures of
MANIFEST.md.
"""

from __future__ import annotations

import functools
import lzma
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError, TargetError
from polydbg.targets.minidump import MinidumpTarget, open_minidump
from polydbg.targets.target import TICKS_PER_SECOND, ThreadInfo

pytestmark = pytest.mark.corpus

SAMPLES = """
fastpath faults-abort faults-badcall faults-divzero faults-divzero.wine faults-idiv-overflow
faults-int3 faults-nx faults-privileged faults-raise faults-readonly figures-null figures-snap
figures-throw figures-throw.wine heapdata-crash heapdata-handles.wine heapdata-snap loader-inside
loader-stale-unloaded loader-stale lockstep-full lockstep-names lockstep lockstep.wine
nullwrite-code nullwrite-data nullwrite-first nullwrite-full nullwrite-r nullwrite nullwrite.wine
overflow shelf shelf.wine
""".split()  # noqa: SIM905

SampleDump = Callable[[str], Path]


def touch_everything(target: MinidumpTarget) -> None:
    for name, member in vars(type(target.dump)).items():
        if isinstance(member, functools.cached_property):
            getattr(target.dump, name)
    for thread in target.threads():
        target.registers(thread)
    target.modules(), target.unloaded_modules(), target.event(), target.exception_registers()
    target.system(), target.regions(), target.handles()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_opens(sample_dump: SampleDump, name: str) -> None:
    target = open_minidump(str(sample_dump(name)))
    touch_everything(target)
    assert target.arch == "amd64"
    assert target.modules()[0].image_path.endswith(".exe")
    assert all(module.debug_id or module.pdb_path is None for module in target.modules())
    registers = target.registers(target.threads()[0])
    # The first thread's stack is in every dump of ours.
    assert len(target.memory.read(registers["rsp"], 8)) == 8
    bad = {warning.identifier for warning in target.warnings()} - {"dump.unknown-stream"}
    assert not bad
    target.close()


def test_full_memory_dump_of_a_wow64_process(data_dir: Path) -> None:
    packed = data_dir / "minidump" / "kdlib" / "stacktest_wow64.dmp.xz"
    target = MinidumpTarget(lzma.decompress(packed.read_bytes()))
    touch_everything(target)
    assert (len(target.threads()), len(target.modules())) == (4, 12)
    ranges = target.dump.memory64_list
    assert ranges is not None
    assert len(ranges) == 84
    assert target.memory.read(target.modules()[0].base, 2) == b"MZ"
    assert target.system().system_uptime is not None


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("invalid-range.dmp", "dump.no-system-info"),
        ("microdump-arm.dmp", "dump.unknown-format"),
        ("microdump-mips32.dmp", "dump.unknown-format"),
        ("npe_r_mdmp.c-364_1.mdmp", "dump.no-system-info"),
        ("orbit-broken.core.dmp", "dump.no-system-info"),
        ("trunc_memory64.dmp", "dump.no-system-info"),
    ],
)
def test_malformed_dumps_are_refused_or_read_in_part(
    data_dir: Path, name: str, identifier: str
) -> None:
    path = str(data_dir / "malformed" / name)
    started = time.perf_counter()
    with pytest.raises(TargetError) as caught:
        open_minidump(path)
    assert caught.value.identifier == identifier
    if identifier == "dump.no-system-info":
        touch_everything(open_minidump(path, arch="amd64"))
    assert time.perf_counter() - started < 1


def test_no_other_file_of_the_data_is_taken_for_a_minidump(data_dir: Path) -> None:
    for folder in ("malformed", "kernel", "core", "macos"):
        for path in (data_dir / folder).rglob("*"):
            if path.is_file() and not path.name.endswith((".dmp", ".mdmp")):
                with pytest.raises(DebuggerError):
                    open_minidump(str(path))


def test_facts_of_the_samples(sample_dump: SampleDump) -> None:
    names = [thread.name for thread in open_minidump(str(sample_dump("lockstep-names"))).threads()]
    assert names[1:4] == ["alice", "bob", "sleeper"]
    stale = open_minidump(str(sample_dump("loader-stale-unloaded")))
    (gone,) = stale.unloaded_modules()
    event = stale.event()
    assert gone.name == "addin_b.dll"
    assert event is not None
    assert event.exception.address == gone.base + 0x1370
    snap = open_minidump(str(sample_dump("heapdata-snap")))
    pattern = bytes((index * 7 + 3) & 0xFF for index in range(256))
    assert any(
        snap.memory.buffer[r.file_offset : r.file_offset + r.size].find(pattern) >= 0
        for r in snap.memory.ranges()
    )
    made_up = open_minidump(str(sample_dump("lockstep.wine"))).event()
    assert made_up is not None
    assert (made_up.exception.code, made_up.is_stored) == (0x80000003, False)


# Transcripts of the real engine


def transcripts(data_dir: Path, sample_dump: SampleDump) -> Iterator[tuple[Path, str]]:
    """Yield each dump that a transcript opens, with the transcript."""
    root = data_dir / "windbg-transcripts"
    for path in sorted([*root.glob("samples/*.txt"), *root.glob("data/minidump__*.txt")]):
        text = path.read_text(encoding="utf-8")
        found = re.search(r"Loading Dump File \[(.*)\]", text)
        if not found or "oracle: OpenDumpFile failed" in text:
            continue
        windows = found[1]
        if "\\samples\\out\\" in windows:
            yield sample_dump(windows.rsplit("\\", 1)[1].removesuffix(".dmp")), text
        else:
            yield data_dir / windows.removeprefix("C:\\data\\").replace("\\", "/"), text


def test_transcripts_agree(data_dir: Path, sample_dump: SampleDump) -> None:
    seen = 0
    for path, text in transcripts(data_dir, sample_dump):
        target = open_minidump(str(path))
        assert target.kind_line in text.splitlines(), path
        check_banner(target, text, path)
        check_event(target, text, path)
        check_threads(target, text, path)
        check_modules(target, text, path)
        check_registers(target, text, path)
        target.close()
        seen += 1
    assert seen > 30


def check_banner(target: MinidumpTarget, text: str, path: Path) -> None:
    system = target.system()
    comments = re.findall(r"^Comment: '(.*)'$", text, re.M)
    assert list(system.comments) == comments, path
    unknown = re.findall(r"unknown stream type (0x\w+)", text)
    ours = [w.message.rsplit(" ", 1)[1] for w in target.warnings() if "unknown" in w.identifier]
    assert ours == [item for item in unknown if item != "0x18"], path  # 0x18: older than the engine
    for words, ticks in [
        ("System Uptime", system.system_uptime),
        ("Process Uptime", system.process_uptime),
    ]:
        found = re.search(rf"^{words}: (.*)$", text, re.M)
        assert found is not None, path
        assert duration(ticks) == found[1], (path, words)
    banner = r"^Windows \d+ Version (\d+)(?: \((.*)\))? (UP|MP)(?: \((\d+) )?"
    windows = re.search(banner, text, re.M)
    if windows:
        assert system.build == int(windows[1]), path
        assert system.service_pack == (windows[2] or ""), path
        assert system.processor_count == int(windows[4] or 1), path


def duration(ticks: int | None) -> str:
    if ticks is None:
        return "not available"
    seconds = ticks // TICKS_PER_SECOND
    days, rest = divmod(seconds, 86400)
    milliseconds = ticks // 10_000 % 1000
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}.{milliseconds:03}"
    return f"{days} days {clock}"


def check_event(target: MinidumpTarget, text: str, path: Path) -> None:
    found = re.search(r"^\(([0-9a-f]+)\.([0-9a-f]+)\): .* - code ([0-9a-f]{8}) ", text, re.M)
    if not found:
        return
    event = target.event()
    assert event is not None, path
    assert event.exception.code == int(found[3], 16), path
    assert event.thread_id == int(found[2], 16), path
    if target.dump.misc_info is not None and target.process_id is not None:
        # The engine does not look into Breakpad's copy of status.
        assert target.process_id == int(found[1], 16), path
    else:
        assert found[1] == "f0f0f0f0", path


def check_threads(target: MinidumpTarget, text: str, path: Path) -> None:
    block = re.search(r"^\d+:\d+> ~\n((?:[.# ] +\d+ .*\n)+)", text, re.M)
    if not block:
        return
    rows = re.findall(
        r"(\d+)  Id: [0-9a-f]+\.([0-9a-f]+) Suspend: (\d+) Teb: ([0-9a-f`]+)", block[1]
    )
    expected = [
        (int(number), int(ident, 16), int(suspend), int(teb.replace("`", ""), 16))
        for number, ident, suspend, teb in rows
    ]
    ours = [(t.ordinal, t.id, t.suspend_count, t.teb or 0) for t in target.threads()]
    assert ours == expected, path


def check_modules(target: MinidumpTarget, text: str, path: Path) -> None:
    block = re.search(r"^\d+:\d+> lm\n *start .*\n((?:[0-9a-f`]{8,} .*\n)+)", text, re.M)
    if not block:
        return
    rows = re.findall(r"^([0-9a-f`]+) ([0-9a-f`]+)   (\S+)", block[1], re.M)
    expected = {(start.replace("`", ""), name) for start, _, name in rows}
    width = 2 * target.pointer_size
    ours = {(f"{module.base:0{width}x}", module.name) for module in target.modules()}
    assert ours == expected, path


def check_registers(target: MinidumpTarget, text: str, path: Path) -> None:
    block = re.search(r"^\d+:\d+> \.ecxr\n((?:.*\n){1,12}?).*efl=([0-9a-f]+)\n", text, re.M)
    if not block:
        return
    registers = target.exception_registers()
    assert registers is not None, path
    found = dict(re.findall(r"\b([er]?[a-z0-9]{2,3})=([0-9a-f]+)", block[0]))
    found.pop("iopl", None)
    assert len(found) > 8, path
    for name, value in found.items():
        if name in registers:
            assert registers[name] == int(value, 16), (path, name)
        else:
            assert name in ("ds", "es", "fs", "gs", "ss"), (path, name)


def test_vectors_of_a_real_context(data_dir: Path, sample_dump: SampleDump) -> None:
    target = open_minidump(str(sample_dump("nullwrite")))
    registers = target.exception_registers()
    assert registers is not None
    assert registers["fpcw"] == 0x37F
    thread: ThreadInfo = target.threads()[0]
    assert "xmm15" in target.registers(thread)
