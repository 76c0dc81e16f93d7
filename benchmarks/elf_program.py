"""Builds the programs of the ELF benchmarks and the cores of their crashes.

The units are those of the PDB benchmark (``big/unit.cpp``): templates of the standard library,
Boost and Eigen with no instances in common. Each program crashes under gdb, which writes the core.

* ``a``: the main program alone, some 40 kB of DWARF
* ``b``: one unit, about 25 MB, ``b-*`` the same with what some compilers and linkers add
* ``c``: 14 units by clang, which writes no ``.debug_aranges``: more than 300 MB of DWARF
* ``c-gdb-index``: the same with an index that gdb wrote
* ``crowd``: ``a`` with 200 threads that wait
* ``many``: containers of 100,000 elements
* ``sparse``: the core of ``a`` with 10 GiB of memory that was never touched
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import struct
from pathlib import Path

from big_program import INCLUDES, SOURCES, BuildError, run

UNITS = 14
CROWD = 200
SPARSE = 10 << 30
CLANG = ("clang++-19", "-O0", "-g", "-std=c++20", "-w", "-pthread")
GCC = ("g++", "-O0", "-g", "-std=c++20", "-w", "-pthread")
LINK = ("-Wl,--build-id=sha1",)
LLD = ("-fuse-ld=lld-19",)
#: The small variants of ``b``: the compiler with its flags, and what it links with.
VARIANTS = {
    "b": (CLANG, LINK + LLD),
    "b-aranges": ((*CLANG, "-gdwarf-aranges"), LINK + LLD),
    "b-names": ((*CLANG, "-gpubnames"), LINK + LLD),
    "b-index": ((*CLANG, "-ggnu-pubnames"), (*LINK, *LLD, "-Wl,--gdb-index")),
    "b-gcc": (GCC, LINK),
}


def build(folder: Path, *, small: bool = False, jobs: int | None = None) -> list[Path]:
    """Make the programs and cores in *folder*, the large ones unless *small*; return the cores.

    Finished objects and cores of an earlier, interrupted call are taken as they are.

    :raises BuildError: a tool or header is missing, or a step failed
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in INCLUDES.items():
        if not place.exists():
            raise BuildError(f"no {place}: apt-get install libboost-dev libeigen3-dev ({name})")
    for name in ("unit.cpp", "elf_main.cpp"):
        (folder / name).write_bytes((SOURCES / name).read_bytes())
    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        middle = UNITS // 2
        jobs_of = {"a": [], "crowd": []}
        for name, (compiler, _) in VARIANTS.items():
            jobs_of[name] = [pool.submit(_unit, folder, name, compiler, middle, 2)]
        many = pool.submit(_many, folder)
        if not small:
            jobs_of["c"] = [
                pool.submit(_unit, folder, "c", CLANG, unit, 2) for unit in range(UNITS)
            ]
        programs = [
            _program(folder, name, [job.result() for job in found])
            for name, found in jobs_of.items()
        ]
        programs.append(many.result())
    if not small:
        programs.append(_with_index(folder, folder / "c"))
    cores = [_core(folder, program) for program in programs]
    return [*cores, _sparse(folder / "a.core", folder / "sparse.core")]


def _unit(folder: Path, name: str, compiler: tuple[str, ...], unit: int, count: int) -> str:
    """Compile one unit of the program *name* with *count* sets of instances."""
    made = f"{name}-{unit}.o"
    program = folder / name
    if not (folder / made).exists() and not program.exists():
        defines = [f"-DUNIT={unit}", f"-DCOUNT={count}", "-I/usr/include/eigen3"]
        run([*compiler, *defines, "-c", "unit.cpp", "-o", made + ".part"], folder)
        (folder / (made + ".part")).rename(folder / made)
    return made


def _program(folder: Path, name: str, objects: list[str]) -> Path:
    program = folder / name
    if program.exists():
        return program
    compiler, link = VARIANTS.get(name, (CLANG, LINK + LLD))
    defines = [f"-DMIDDLE={UNITS // 2}"]
    if name == "crowd":
        defines.append(f"-DCROWD={CROWD}")
    if not objects:
        defines.append("-DALONE")
    run([*compiler, *defines, "elf_main.cpp", *objects, *link, "-o", name + ".part"], folder)
    (folder / (name + ".part")).rename(program)
    for each in objects:
        (folder / each).unlink()
    return program


def _many(folder: Path) -> Path:
    """Build the program with containers of 100,000 elements."""
    program = folder / "many"
    if not program.exists():
        source = str(SOURCES / "many_elements.cpp")
        run([*CLANG, source, *LINK, *LLD, "-o", "many.part"], folder)
        (folder / "many.part").rename(program)
    return program


def _with_index(folder: Path, program: Path) -> Path:
    """Return a copy of *program* to which gdb added ``.gdb_index``."""
    made = folder / f"{program.name}-gdb-index"
    if not made.exists():
        part = folder / (made.name + ".part")
        shutil.copyfile(program, part)
        part.chmod(0o755)
        run(["gdb-add-index", part.name], folder)
        part.rename(made)
    return made


def _core(folder: Path, program: Path) -> Path:
    """Let *program* crash under gdb and keep the core."""
    core = program.with_suffix(".core")
    if not core.exists():
        part = core.with_suffix(".part")
        gdb = ["gdb", "-q", "-nx", "-batch", "-ex", "run"]
        run([*gdb, "-ex", f"generate-core-file {part.name}", f"./{program.name}"], folder)
        if not part.exists():
            raise BuildError(f"gdb wrote no core of {program.name}")
        part.rename(core)
    return core


def _sparse(core: Path, made: Path) -> Path:
    """Write the core *core* with one more segment: zeros that take no room on the disk."""
    if made.exists():
        return made
    data = bytearray(core.read_bytes())
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = data[table : table + size * count]
    hole_at = size  # behind the notes: loaded segments stand by address
    # The table of segments moves to the end, as it grows.
    data += bytes(-len(data) % 4096)
    struct.pack_into("<Q", data, 32, len(data))
    struct.pack_into("<H", data, 56, count + 1)
    hole = len(data) + (size * (count + 1) + 4095 & ~4095)
    segments[hole_at:hole_at] = struct.pack(
        "<IIQQQQQQ", 1, 6, hole, 0x10_0000_0000, 0, SPARSE, SPARSE, 4096
    )
    data += segments
    part = made.with_suffix(".part")
    with open(part, "wb") as file:
        file.write(data)
        file.truncate(hole + SPARSE)
    part.rename(made)
    return made
