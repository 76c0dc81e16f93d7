"""Builds ``programs/macho.cpp`` for macOS with clang, lld and dsymutil, if they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("programs") / "macho.cpp"
#: What stands in for the system's library: lld wants the binder that stubs jump to.
LIBRARY = """
int puts(const char *text) { return 0; }
void binder(void) __asm__("dyld_stub_binder");
void binder(void) {}
"""


def tool(name: str) -> str:
    """Return the path of one of LLVM's tools; without it the test is skipped."""
    found = shutil.which(f"{name}-19") or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}")
    return found


def build(folder: Path, arch: str, *options: str) -> Path:
    """Return a program with its dSYM beside it; *arch* is ``x86_64`` or ``arm64``."""
    target = ("-target", f"{arch}-apple-macos12")
    link = [tool("ld64.lld"), "-arch", arch, "-platform_version", "macos", "12", "12"]
    source = folder / "library.c"
    source.write_text(LIBRARY)
    library, program = folder / f"libSystem-{arch}.dylib", folder / f"program-{arch}"
    name = "/usr/lib/libSystem.B.dylib"
    for command in (
        [tool("clang"), *target, "-c", str(source), "-o", str(folder / "library.o")],
        [*link, "-dylib", "-install_name", name, str(folder / "library.o"), "-o", str(library)],
        [tool("clang"), *target, *options, "-c", str(PROGRAM), "-o", str(folder / "program.o")],
        [*link, str(folder / "program.o"), str(library), "-o", str(program)],
        [tool("dsymutil"), str(program)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no program for macOS can be built: {done.stderr[-300:]}")
    return program


def dsym_of(program: Path) -> Path:
    """Return the file with the debug information of *program*."""
    bundle = program.with_name(program.name + ".dSYM")
    return bundle / "Contents" / "Resources" / "DWARF" / program.name
