"""Which symbol names an address: what gdb says, which reads the same tables."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.images.elf import ElfImage
from polydbg.symbols.demangle import undecorate_elf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.source import SymbolKind

pytestmark = pytest.mark.corpus

FILES = (
    "samples/linux/bin/zoo-gxx",
    "samples/linux/bin/zoo-clang",
    "samples/linux/bin/crab",
    "samples/linux/bin/cargo-stripped",
    "symbols/symbolic-linux/crash.debug",
    "symbols/symbolic-linux/cfi_test-arm64",
    "core/rizin/crash-linux-arm32",
    "core/rizin/crash-linux-x86",
)
#: Where gdb names an address by a label that belongs to the end of the section before.
_LABELS = {"__preinit_array_start", "__frame_dummy_init_array_entry"}


def _asked(path: Path, addresses: list[int], script: Path) -> dict[int, tuple[str, int]]:
    """Return address -> (linker name, offset) of ``info symbol``; what has no name is left out."""
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("no gdb")
    lines = [f"echo {each:x}=\ninfo symbol {each:#x}\n" for each in addresses]
    script.write_text("".join(lines))
    command = [gdb, "-nx", "-batch", "-iex", "set auto-load off", "-iex", "set print demangle off"]
    command += ["-x", str(script), str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for match in re.finditer(r"^([0-9a-f]+)=(\S+)(?: \+ (\d+))? in section", text, re.MULTILINE):
        found[int(match[1], 16)] = (match[2], int(match[3] or 0))
    return found


@pytest.mark.parametrize("name", FILES)
def test_symbols_by_address(data_dir: Path, tmp_path: Path, name: str) -> None:
    image = ElfImage.from_file(data_dir / name)
    symbols = ElfSource(image)
    rvas = set()
    for each in symbols.symbols_matching("*", CancelToken()):
        if each.kind is not SymbolKind.PUBLIC:
            rvas |= {each.rva, each.rva + 1, each.rva + max(each.size - 1, 0), each.rva + each.size}
    addresses = [rva + image.image_base for rva in sorted(rvas)[:4000]]
    theirs = _asked(data_dir / name, addresses, tmp_path / "script")
    compared = 0
    for address in addresses:
        found = symbols.symbol_at(address - image.image_base)
        if address not in theirs:
            # gdb answers nothing in sections without bytes to a file that does not run.
            continue
        raw, offset = theirs[address]
        if raw in _LABELS or raw.startswith("$"):  # a gdb for other processors shows marks
            continue
        assert found is not None, (hex(address), raw)
        aliases = {each.name for each in symbols.symbols_at(found.rva)}
        assert undecorate_elf(raw.partition("@")[0]) in aliases or raw in aliases, hex(address)
        assert address - image.image_base - found.rva == offset, (hex(address), raw)
        compared += 1
    assert compared > 20
    image.close()
