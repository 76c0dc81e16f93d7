"""Unwind tables of ARM64 and ARM images against ``llvm-readobj --unwind``: code by code.

Every row of every such image at hand, and three thousand packed rows of each processor that are
made up for it: canonical functions of all kinds.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.pe.arm_operations import ArmCode, ArmOp
from polydbg.formats.pe.arm_unwind import ArmUnwindInfo, read_info
from polydbg.images.pe import PeImage
from polydbg.testing.pe_builder import TEXT_RVA, PeBuilder

READOBJ = shutil.which("llvm-readobj-19") or shutil.which("llvm-readobj")
pytestmark = pytest.mark.skipif(READOBJ is None, reason="needs llvm-readobj")

PROGRAMS = Path(__file__).parent.parent / "emulator" / "programs"
BASE = 0x10000000
ROWS = 3000
LENGTH = 60


def rows_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield address and text of each row that llvm-readobj prints."""
    assert READOBJ is not None
    run = subprocess.run(
        [READOBJ, "--unwind", str(path)], capture_output=True, text=True, check=True
    )
    for block in re.split(r"(?m)^  RuntimeFunction \{", run.stdout)[1:]:
        address = re.search(r"Function: (?:\S+ \()?0x([0-9A-F]+)", block)
        assert address is not None, block
        yield int(address.group(1), 16) & ~1, block


def lines_of(block: str, part: str) -> list[str]:
    found = re.search(rf"{part} \[\n(.*?)\n\s*\]", block, re.DOTALL)
    return [line.strip() for line in found.group(1).split("\n")] if found else []


def information(image: PeImage) -> Iterator[ArmUnwindInfo]:
    table = image.directories[3]
    data = image.read(table.rva, table.size)
    for at in range(0, len(data) - 7, 8):
        begin, word = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4))
        yield read_info(image.space, image.machine, begin & ~int(image.machine == "arm"), word)


def raw(codes: tuple[ArmCode, ...]) -> list[str]:
    return [code.data.hex() for code in codes]


def bytes_of(line: str) -> str:
    """Return the digits of LLVM's line for a code: ``0xa8 0x00  ; pop {...}``."""
    return re.sub(r"0x| ", "", line.partition(";")[0])


def check_records(path: Path) -> int:
    """Compare the codes of every full record; packed ones are compared below."""
    image = PeImage.from_file(path)
    infos = {image.preferred_base + info.begin: info for info in information(image)}
    theirs = dict(rows_of(path))
    assert set(theirs) == set(infos)
    compared = 0
    for address, block in theirs.items():
        info = infos[address]
        length = re.search(r"FunctionLength: (\d+)", block)
        assert length is not None
        assert info.length == int(length.group(1))
        if info.record_rva is None:
            continue
        # LLVM stops at the end of a scope; ours are read on to the end.
        shown = [bytes_of(line) for line in lines_of(block, "Prologue")]
        assert raw(info.codes())[: len(shown)] == shown
        starts = [int(n) for n in re.findall(r"StartOffset: (\d+)", block)]
        unit = 4 if image.machine == "arm64" else 2
        if starts:
            assert [epilog.start for epilog in info.epilogs] == [n * unit for n in starts]
        for epilog, text in zip(
            info.epilogs, re.findall(r"Opcodes \[\n(.*?)\n\s*\]", block, re.DOTALL), strict=False
        ):
            opcodes = [bytes_of(line) for line in text.strip().split("\n")]
            ours = raw(info.codes(epilog.index))
            assert ours in (opcodes, [*opcodes, "ff"])  # LLVM leaves ARM's plain end away
        compared += 1
    return compared


@pytest.mark.parametrize("name", ["shapes_arm64.dll", "shapes_thumb.dll"])
def test_records_of_our_programs(name: str) -> None:
    assert check_records(PROGRAMS / name) > 10


@pytest.mark.corpus
def test_records_of_images_at_hand(data_dir: Path) -> None:
    assert check_records(data_dir / "symbols/symbolic-windows/arm64-test.exe") > 250
    assert check_records(data_dir / "samples/win/bin/tiny_arm64.exe") == 0


# -- packed rows ---------------------------------------------------------------------------------


def packed(machine: str, words: list[int], folder: Path) -> Iterator[tuple[ArmUnwindInfo, str]]:
    """Yield our and LLVM's view of packed rows, without those that contradict themselves."""
    builder = PeBuilder(machine=machine, image_base=BASE)
    thumb = int(machine == "arm")
    builder.arm_rows = [(TEXT_RVA + i * 4 + thumb, word) for i, word in enumerate(words)]
    # LLVM looks for the rows by the name of their section.
    data = builder.build().replace(b".data\0\0\0", b".pdata\0\0")
    path = folder / "packed.exe"
    path.write_bytes(data)
    image = PeImage.from_buffer(data, "packed.exe")
    theirs = dict(rows_of(path))
    for begin, word in builder.arm_rows:
        try:
            info = read_info(image.space, machine, begin & ~1, word)
        except FormatError:
            continue
        yield info, theirs[BASE + (begin & ~1)]


def arm64_text(code: ArmCode) -> str:
    names = ", ".join("x29" if name == "fp" else name for name in code.registers)
    store = "stp" if len(code.registers) == 2 else "str"
    match code.op:
        case ArmOp.END:
            return "end"
        case ArmOp.SIGN_LR:
            return "pacibsp"
        case ArmOp.ALLOC:
            return f"sub sp, sp, #{code.value}"
        case ArmOp.SET_SP:
            return "mov x29, sp"
        case ArmOp.POP:
            return f"{store} {names}, [sp, #-{code.value}]!"
        case ArmOp.RESTORE:
            return f"{store} {names}, [sp{f', #{code.value}' if code.value else ''}]"
        case _:
            return "nop"


def homing_as_nop(line: str) -> str:
    """Turn the stores of parameters, which have no code of their own, into what stands for them."""
    if not re.match(r"stp x[0-6], x[1-7],", line):
        return line.replace(", #0]", "]")
    lowered = re.search(r"#-(\d+)\]!", line)
    return f"sub sp, sp, #{lowered.group(1)}" if lowered else "nop"


def test_packed_functions_of_arm64(tmp_path: Path) -> None:
    words = [
        1
        | LENGTH // 4 << 2
        | floats << 13
        | integers << 16
        | homes << 20
        | chain << 21
        | size << 23
        for floats in range(8)
        for integers in range(11)
        for homes in (0, 1)
        for chain in range(4)
        for size in (1, 2, 5, 9, 12, 20, 33, 40, 50, 256, 300, 511)
        if (integers, chain) != (1, 1)  # LLVM calls those invalid
    ]
    compared = 0
    for info, block in packed("arm64", random.Random(1).sample(words, ROWS), tmp_path):
        theirs = [homing_as_nop(line) for line in lines_of(block, "Prologue")]
        assert [arm64_text(code) for code in info.codes()] == theirs, hex(info.word)
        compared += 1
    assert compared > ROWS / 2


def register_list(names: tuple[str, ...]) -> str:
    shown: list[list[str]] = []
    for name in names:
        last = shown[-1][-1] if shown else ""
        if last[1:].isdecimal() and name[1:] == str(int(last[1:]) + 1):
            shown[-1] = [shown[-1][0], name]
        else:
            shown.append([name])
    return "{" + ", ".join("-".join(one) for one in shown) + "}"


def thumb_text(code: ArmCode, is_epilog: bool, returns: bool) -> str:
    match code.op:
        case ArmOp.ALLOC:
            return f"{'add' if is_epilog else 'sub'} sp, sp, #{code.value}"
        case ArmOp.NOP:
            return "mov r11, sp" if code.data == b"\xfb" else "add.w r11, sp"
        case ArmOp.END:
            return {0: "", 2: "bx <reg>", 4: "b.w <target>"}[code.length] if is_epilog else ""
        case _:
            if code.data[0] == 0xEF:
                return "ldr pc, [sp], #20"
            vector = "v" if code.registers[0].startswith("d") else ""
            names = register_list(code.registers)
            names = names.replace("lr", "pc") if returns else names
            return f"{vector}{'pop' if is_epilog else 'push'} {names}"


def test_packed_functions_of_arm(tmp_path: Path) -> None:
    words = [
        1 | LENGTH // 2 << 2 | ret << 13 | homes << 15 | reg << 16 | flags << 19 | adjust << 22
        for ret in range(4)
        for homes in (0, 1)
        for reg in range(8)
        for flags in range(8)
        for adjust in (0, 1, 5, 0x7F, 0x80, 0x3F3, *range(0x3F4, 0x400))
    ]
    compared = 0
    for info, block in packed("arm", random.Random(1).sample(words, ROWS), tmp_path):
        prolog = [
            re.sub(r"add(\.w)? r11, .*", "add.w r11, sp", x) for x in lines_of(block, "Prologue")
        ]
        if info.word >> 15 & 1:  # the push of homed parameters is undone as an adjustment
            assert prolog[-1] == "push {r0-r3}"
            prolog[-1] = "sub sp, sp, #16"
        ours = [thumb_text(code, False, False) for code in info.codes()]
        assert [line for line in ours if line] == [x for x in prolog if x], hex(info.word)
        epilog = info.epilogs[0].index if info.epilogs else None
        returns = info.word >> 13 & 3 == 0
        codes = info.codes(epilog) if epilog is not None else ()
        ours = [thumb_text(code, True, returns) for code in codes]
        theirs = lines_of(block, "Epilogue")
        assert [line for line in ours if line] == theirs, hex(info.word)
        compared += 1
    assert compared > ROWS / 2
