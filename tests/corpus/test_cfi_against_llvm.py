"""Call frame rules of real files, row by row: what llvm-dwarfdump prints of them."""

from __future__ import annotations

import bz2
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.cfi_rules import FrameRules, RegisterRule, RuleKind
from polydbg.images.call_frames import call_frames_of
from polydbg.images.elf import ElfImage
from polydbg.images.pe import PeImage

pytestmark = pytest.mark.corpus

FOLDERS = ("core", "samples/linux/bin", "symbols/pyelftools", "symbols/samply-dwarf")
FILES = (
    "symbols/dump_syms/basic.full",
    "symbols/dump_syms/basic64-dwarf.dll",
    "symbols/symbolic-windows/hello-dwarf.exe",
    "symbols/symbolic-linux/crash",
)
_ROW = re.compile(r"  0x([0-9a-f]+): CFA=(.*)")
_FUNCTION = re.compile(r" FDE .*\.\.\.([0-9a-f]+)$")
_NAME = re.compile(r"\b(?:[A-Z][A-Z0-9_]*|reg\d+)\b")
_EXPRESSION = re.compile(r"DW_OP.*?(?=[]:]|, [A-Z][A-Z0-9_]*=|$)")
_OPENERS = {".bz2": bz2.decompress, ".xz": lzma.decompress}


def _files(data_dir: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(each for each in (data_dir / folder).rglob("*") if each.is_file())
    yield from (data_dir / name for name in FILES)


def _plain(path: Path, folder: Path) -> Path:
    """Return the file unpacked."""
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        return path
    plain = folder / path.stem
    plain.write_bytes(opener(path.read_bytes()))
    return plain


def _open(path: Path) -> ElfImage | PeImage | None:
    with path.open("rb") as file:
        start = file.read(2)
    try:
        if start == b"MZ":
            return PeImage.from_file(path)
        return ElfImage.from_file(path)
    except FormatError:
        return None


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    tool = shutil.which("llvm-dwarfdump-19") or shutil.which("llvm-dwarfdump")
    if tool is None:
        pytest.skip("no llvm-dwarfdump")
    done = subprocess.run(
        [tool, "--eh-frame", "--debug-frame", path], capture_output=True, text=True, check=False
    )
    # What it stops at, it says among the errors.
    last: tuple[int, str] | None = None
    end = 0
    for line in done.stdout.splitlines():
        function = _FUNCTION.search(line)
        row = _ROW.fullmatch(line)
        if function is not None:
            end = int(function[1], 16)
        if row is None:
            continue
        address = int(row[1], 16)
        # Rows and functions without a byte say nothing.
        if last is not None and last[0] != address:
            yield last
        last = (address, _EXPRESSION.sub("DW_OP", row[2])) if address < end else None
    if last is not None:
        yield last


def _signed(value: int) -> str:
    return f"{value:+d}" if value else ""


def _rule_text(rule: RegisterRule) -> str:
    kind = rule.kind
    if kind is RuleKind.OFFSET:
        return f"[CFA{_signed(rule.value)}]"
    if kind is RuleKind.VAL_OFFSET:
        return f"CFA{_signed(rule.value)}"
    if kind is RuleKind.REGISTER:
        return f"r{rule.value}"
    if kind is RuleKind.EXPRESSION:
        return "[DW_OP]"
    return {RuleKind.UNDEFINED: "undefined", RuleKind.SAME: "same"}.get(kind, "DW_OP")


def _text(rules: FrameRules) -> str:
    cfa = rules.cfa
    text = "DW_OP" if cfa.expression is not None else f"r{cfa.register}{_signed(cfa.offset)}"
    parts = [f"r{number}={_rule_text(rules.registers[number])}" for number in rules.registers]
    parts.sort(key=lambda part: int(part[1 : part.index("=")]))
    if rules.ra_signed:
        parts.append("r34=1")
    return text + (": " + ", ".join(parts) if parts else "")


def _same(theirs: str, ours: str, numbers: dict[str, str]) -> bool:
    """Compare two rows; what LLVM calls a register must be the same number everywhere."""
    names = [name for name in _NAME.findall(theirs.replace("DW_OP", "")) if name != "CFA"]
    wanted = re.findall(r"r\d+", ours)
    if len(names) != len(wanted):
        return False
    for name, number in zip(names, wanted, strict=True):
        if numbers.setdefault(name, number) != number:
            return False
    return _NAME.sub(lambda m: numbers.get(m[0], m[0]), theirs) == ours


def test_every_row_is_the_one_of_llvm(data_dir: Path, tmp_path: Path) -> None:
    files = rows = 0
    for packed in _files(data_dir):
        if "core" in packed.suffixes or packed.name.startswith("vmcore"):
            continue
        path = _plain(packed, tmp_path)
        image = _open(path)
        if image is None:
            continue
        base = image.preferred_base if isinstance(image, PeImage) else image.image_base
        frames = call_frames_of(image)
        numbers: dict[str, str] = {}
        wrong = []
        count = 0
        for address, theirs in _rows(path):
            rules = frames.rules_at(address - base) if frames is not None else None
            ours = _text(rules) if rules is not None else "none"
            if not _same(theirs, ours, numbers):
                wrong.append((hex(address), theirs, ours))
            elif rules is not None:
                assert rules.start == address - base
            count += 1
        image.close()
        assert not wrong, f"{packed}: {len(wrong)} of {count}: {wrong[:5]}"
        files += count > 0
        rows += count
    assert files > 40
    assert rows > 20000
