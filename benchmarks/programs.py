"""Where the measured programs and their inputs are, and their command lines as users type them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from harness import Command

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
DEMO = HERE.parent / "src" / "polydbg" / "demo"


def polydbg(
    name: str, dump: Path, folder: Path, commands: str, must_print: str, *options: str
) -> Command:
    """``polydbg -z DUMP -y FOLDER -i FOLDER -c "COMMANDS;q"``."""
    program = str(Path(sys.executable).with_name("polydbg"))
    argv = (program, "-z", str(dump), "-y", str(folder), "-i", str(folder), *options)
    return Command(name, (*argv, "-c", f"{commands};q"), must_print, env={"NO_COLOR": "1"})


def bare_interpreter() -> Command:
    """The Python that runs polydbg, doing nothing."""
    return Command("bare interpreter", (sys.executable, "-c", "print('nothing')"), "nothing")


def lldb(
    dump: Path, image: Path, pdb: Path, commands: list[str], must_print: str
) -> Command | None:
    """lldb over a dump with its image and PDB given; None where there is no lldb."""
    program = shutil.which("lldb-19") or shutil.which("lldb")
    if program is None:
        return None
    argv = [program, "-b", "--no-lldbinit", "-c", str(dump), str(image)]
    for command in [f"target symbols add {pdb}", *commands]:
        argv += ["-o", command]
    return Command("lldb", tuple(argv), must_print)


def gdb(program: Path, core: Path, command: str, must_print: str) -> Command | None:
    """gdb over a core with its program; None where there is no gdb."""
    found = shutil.which("gdb")
    if found is None:
        return None
    argv = (found, "-q", "-nx", "-batch", "-ex", command, str(program), str(core))
    return Command("gdb", argv, must_print)


def lldb_core(program: Path, core: Path, commands: list[str], must_print: str) -> Command | None:
    """lldb over a core with its program; None where there is no lldb."""
    found = shutil.which("lldb-19") or shutil.which("lldb")
    if found is None:
        return None
    argv = [found, "-b", "--no-lldbinit", "-c", str(core), str(program)]
    for command in commands:
        argv += ["-o", command]
    return Command("lldb", tuple(argv), must_print)


def stackwalk(dump: Path, must_print: str, *symbols: Path) -> Command | None:
    """Breakpad's minidump_stackwalk, from PATH or from the cache that make_data.py fills."""
    cached = CACHE / "npm/node_modules/minidump/bin/linux-x64/minidump_stackwalk"
    program = shutil.which("minidump_stackwalk") or (str(cached) if cached.exists() else None)
    if program is None:
        return None
    argv = (program, "-c", str(dump), *map(str, symbols))
    return Command("minidump_stackwalk", argv, must_print)
