"""The transcripts of the real engine judge the text of instructions and effective addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.arch.disassembly import (
    Disassembler,
    append_suffix,
    effective_address_suffix,
)

pytestmark = pytest.mark.corpus

ROW = re.compile(
    r"^(?: *\d+ )?([0-9a-f]{8}(?:`[0-9a-f]{8})?) (([0-9a-f]{2,30})( +)([a-z]+[a-z0-9]*)( .*)?)$"
)
SUFFIX = re.compile(r" +(?:\[br=[01]\]|[a-z]s:[0-9a-f:`]+=.*)$")
NAME = re.compile(r"(?:(?<=[,\[ ])|^)([^\s,\[]+) \(([0-9a-f`]{8,17})\)")


def _arch(path: Path, address: str, columns: str) -> str | None:
    if "`" not in address:
        return "x86" if len(columns) >= 16 else None
    if "arm64" in path.name and len(columns) == 9:
        return "arm64"
    return "amd64" if len(columns) >= 16 else None


def _rows(data: Path) -> Iterator[tuple[str, int, str, str, str]]:
    """Yield architecture, address, bytes, the text behind the address, and where it stands."""
    for path in sorted((data / "windbg-transcripts").glob("*/*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            match = ROW.match(line)
            if match is None:
                continue
            address, text, digits, gap, _, _ = match.groups()
            arch = _arch(path, address, digits + gap)
            if arch is None or len(digits) % 2:
                continue
            yield arch, int(address.replace("`", ""), 16), digits, text, f"{path.name}:{number}"


def _columns(text: str) -> int:
    """Return the columns of the bytes: rows under ``.asm ignore_output_width`` have 24."""
    return 24 if text[15:24].isspace() else 16


def _value(text: str) -> int:
    return int(text.replace("`", ""), 16)


def test_every_row_has_the_text_of_the_engine(data_dir: Path) -> None:
    engines = {arch: Disassembler(arch) for arch in ("amd64", "x86", "arm64")}
    seen = dict.fromkeys(engines, 0)
    wrong = []
    for arch, address, digits, text, where in _rows(data_dir):
        want = SUFFIX.sub("", text)
        names = {_value(value): name for name, value in NAME.findall(want)}
        data = bytes.fromhex(digits)
        if arch == "arm64":
            data = data[::-1]
        rows = engines[arch].decode(data, address, names.get)
        got = "; ".join(row.row("", columns=_columns(text))[1:] for row in rows)
        seen[arch] += 1
        if got != want:
            wrong.append(f"{where}: {want!r} but {got!r}")
    assert not wrong, f"{len(wrong)} of {seen}:\n" + "\n".join(wrong)
    assert seen["amd64"] >= 500
    assert seen["x86"] >= 10
    assert seen["arm64"] >= 8


def test_effective_addresses_of_stop_displays(data_dir: Path) -> None:
    """Registers are computed back from the text; what the suffix says is then reproduced."""
    engines = {arch: Disassembler(arch) for arch in ("amd64", "x86")}
    seen, wrong = 0, []
    for arch, address, digits, text, where in _rows(data_dir):
        suffix = SUFFIX.search(text)
        if arch not in engines or suffix is None or "=" not in suffix.group() or "[br" in text:
            continue
        parts = re.match(r" +([a-z]s):(?:([0-9a-f]{4}):)?([0-9a-f`]+)=(.*)$", suffix.group())
        assert parts is not None
        segment, selector, place, value = parts.groups()
        bits = 64 if arch == "amd64" else 32
        row = next(engines[arch].decode(bytes.fromhex(digits), address))
        registers = _registers(row.operands, _value(place), bits)
        target = re.match(r"\{(\S+) \(([0-9a-f`]+)\)\}$", value)
        plain = target.group(2).replace("`", "") if target else value
        size = len(plain) // 2
        memory = None if "?" in plain else int(plain, 16).to_bytes(size, "little")
        operands = engines[arch].memory_operands(row, registers)
        got = effective_address_suffix(
            operands,
            lambda at, length, m=memory: m,
            lambda at, t=target: t.group(1) if t and at == _value(t.group(2)) else None,
            bits=bits,
            selectors={segment: int(selector, 16)} if selector else None,
        )
        seen += 1
        names = {_value(v): name for name, v in NAME.findall(SUFFIX.sub("", text))}
        full = next(engines[arch].decode(bytes.fromhex(digits), address, names.get))
        column = "0" * (17 if bits == 64 else 8)
        if append_suffix(full.row(column, columns=_columns(text)), got) != f"{column} {text}":
            wrong.append(f"{where}: {text!r} but {got!r}")
    assert not wrong, "\n".join(wrong)
    assert seen >= 100


def _registers(operands: str, place: int, bits: int) -> dict[str, int]:
    """Return register values that make the memory operand of *operands* point to *place*."""
    inner = re.search(r"\[([^\]]*)\]", operands)
    assert inner is not None
    base = re.match(r"[re]?[a-z]+[a-z0-9]*|r\d+", inner.group(1))
    if base is None:
        return {}
    rest = inner.group(1)[base.end() :]
    offset = 0
    for sign, number in re.findall(r"([+-])([0-9A-F]+)h?(?=$|[+-])", rest):
        offset += int(number, 16) * (1 if sign == "+" else -1)
    registers = {base.group(): (place - offset) & ((1 << bits) - 1)}
    for name in re.findall(r"\+(r\w+)", rest):
        registers.setdefault(name, 0)
    return registers
