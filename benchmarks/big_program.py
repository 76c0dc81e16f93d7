"""Builds the large program of the PDB benchmark and a dump of its crash.

25 units of templates (standard library, Boost, Eigen) that share no instances, compiled with -O0
and CodeView and linked by lld with one PDB: a few hundred megabytes of it. The crash happens in an
emulator (unicorn), so that nothing but the compiler is needed and every run gives the same dump.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

from dumps import GENERAL, Crash, Module, write_crash_dump

SOURCES = Path(__file__).resolve().parent / "big"
TARGET = "--target=x86_64-w64-windows-gnu"
INCLUDES = {"boost": Path("/usr/include/boost"), "Eigen": Path("/usr/include/eigen3/Eigen")}
FLAGS = ("-O0", "-g", "-gcodeview", "-gno-codeview-command-line", "-fdebug-compilation-dir=.")
UNITS = 25
STACK_BASE, STACK_SIZE = 0x10_0000, 0x1_0000


class BuildError(Exception):
    """The toolchain or a header is missing, or a step failed."""


def run(argv: list[str], folder: Path) -> None:
    """Runs one step of a build in ``folder``.

    :raises BuildError: see the class
    """
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(
            f"{argv[0]} is missing: apt-get install clang-19 lld-19 mingw-w64 g++ gdb"
        ) from None
    if done.returncode:
        raise BuildError(f"{' '.join(argv)}\n{done.stderr[-2000:]}")


def _compile(unit: int, count: int, folder: Path) -> str:
    """Compiles one unit, unless a finished object is there."""
    name = f"unit{unit}.o"
    if not (folder / name).exists():
        defines = [f"-DUNIT={unit}", f"-DCOUNT={count}", "-std=c++20", "-w", "-Iinclude"]
        run(
            ["clang++-19", TARGET, *FLAGS, *defines, "-c", "unit.cpp", "-o", name + ".part"], folder
        )
        (folder / (name + ".part")).rename(folder / name)
    return name


def build(folder: Path, units: int = UNITS, count: int = 2, jobs: int | None = None) -> Path:
    """Makes big.exe, big.pdb and big.dmp in ``folder`` and returns the dump's path.

    ``units`` is the number of units, ``count`` that of instance sets in each (one and one give a
    PDB of about 17 MB). Finished objects of an earlier, interrupted call are taken as they are.

    :raises BuildError: see the class
    """
    if (folder / "big.dmp").exists():
        return folder / "big.dmp"
    (folder / "include").mkdir(parents=True, exist_ok=True)
    for name, place in INCLUDES.items():
        if not place.exists():
            raise BuildError(f"no {place}: apt-get install libboost-dev libeigen3-dev")
        link = folder / "include" / name
        if not link.exists():
            link.symlink_to(place)
    # Compiled in the folder under a relative name: the PDB then names no place of this machine.
    for source in SOURCES.iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    middle = f"-DMIDDLE={units // 2}"
    run(["clang++-19", TARGET, *FLAGS, middle, "-c", "main.cpp", "-o", "main.o"], folder)
    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        objects = list(pool.map(lambda unit: _compile(unit, count, folder), range(units)))
    link_flags = ["-fuse-ld=lld-19", "-Wl,--pdb=big.pdb", "-Wl,-e,start"]
    fixed = ["-Wl,-Xlink=-timestamp:1795500000", "-Wl,-Xlink=-pdbaltpath:%_PDB%"]
    fixed.append(r"-Wl,-Xlink=-pdbsourcepath:C:\big")
    argv = ["clang++-19", TARGET, "-static", "main.o", *objects, "-o", "big.exe"]
    run([*argv, *link_flags, *fixed], folder)
    _write_dump(folder / "big.exe", folder / "big.dmp")
    for name in objects:
        (folder / name).unlink()
    return folder / "big.dmp"


class _Image:
    """The few fields of a PE32+ file that a dump and an emulator need (Microsoft PE format)."""

    def __init__(self, path: Path) -> None:
        self.data = data = path.read_bytes()
        (pe,) = struct.unpack_from("<I", data, 0x3C)
        _, sections, self.timestamp, _, _, optional_size, _ = struct.unpack_from(
            "<HHIIIHH", data, pe + 4
        )
        optional = pe + 24
        (self.entry,) = struct.unpack_from("<I", data, optional + 16)
        (self.base,) = struct.unpack_from("<Q", data, optional + 24)
        self.size, self.headers, self.checksum = struct.unpack_from("<III", data, optional + 56)
        (self.debug,) = struct.unpack_from("<I", data, optional + 112 + 6 * 8)
        self.sections = [
            struct.unpack_from("<8x4I", data, optional + optional_size + 40 * index)
            for index in range(sections)
        ]

    def mapped(self) -> bytes:
        """The image as it lies in memory, unrelocated."""
        memory = bytearray(self.size + (-self.size % 0x1000))
        memory[: self.headers] = self.data[: self.headers]
        for virtual_size, rva, raw_size, raw in self.sections:
            size = min(virtual_size, raw_size)
            memory[rva : rva + size] = self.data[raw : raw + size]
        return bytes(memory)

    def codeview(self, memory: bytes) -> bytes:
        """The CV_INFO_PDB70 record of the first debug directory entry."""
        size, rva = struct.unpack_from("<II", memory, self.debug + 16)
        return memory[rva : rva + size]


def _write_dump(image_path: Path, dump: Path) -> None:
    """Runs the program from its entry point to its null write and dumps that."""
    # unicorn is untyped and exports its names by a star import.
    unicorn: Any = importlib.import_module("unicorn")
    x86_const: Any = importlib.import_module("unicorn.x86_const")

    image = _Image(image_path)
    memory = image.mapped()
    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    machine.mem_map(image.base, len(memory))
    machine.mem_write(image.base, memory)
    machine.mem_map(STACK_BASE, STACK_SIZE)
    top = STACK_BASE + STACK_SIZE - 0x1008
    machine.mem_write(top, bytes(8))
    machine.reg_write(x86_const.UC_X86_REG_RSP, top)
    faults: list[int] = []

    def on_fault(_machine: object, _kind: int, address: int, *_rest: object) -> bool:
        faults.append(address)
        return False

    machine.hook_add(unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, on_fault)
    try:
        machine.emu_start(image.base + image.entry, 0, count=1_000_000)
    except unicorn.UcError as error:
        if not faults:
            raise BuildError(f"the program crashed otherwise than it should: {error}") from None
    if not faults:
        raise BuildError("the program did not crash")
    registers = {
        name: machine.reg_read(getattr(x86_const, f"UC_X86_REG_{name.upper()}")) for name in GENERAL
    }
    low = registers["rsp"] & ~0xFFF
    stack = bytes(machine.mem_read(low, STACK_BASE + STACK_SIZE - low))
    module = Module(
        r"C:\big\big.exe",
        image.base,
        image.size,
        image.checksum,
        image.timestamp,
        image.codeview(memory),
    )
    write_crash_dump(dump, module, Crash(registers, low, stack, faults[0]))
