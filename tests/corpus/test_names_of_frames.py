"""What names mean in a chosen frame: the program and its library have others of the same names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import polydbg

pytestmark = pytest.mark.peer

LIBRARY = """
#include <stdlib.h>
struct Config { char pad[16]; int port; } lib_config = {"lib", 1};
int shared_name = 11;
void boom(struct Config *given) { lib_config.port = given != 0; shared_name++; abort(); }
"""
PROGRAM = """
struct Config { int port; long host; } app_config = {8080, 7};
static int shared_name = 22;
__thread int own = 5;
void boom(struct Config *given);
__attribute__((noinline)) int call(int turns)
{
    if (turns > 3) {
        int deep = turns * 7 + 1;
        own += deep;
        boom(&app_config);
        __builtin_unreachable();
    }
    return shared_name++;
}
int main(void) { return call(9); }
"""


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("gcc") is None or shutil.which("gdb") is None:
        pytest.skip("needs gcc and gdb")
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "lib.c").write_text(LIBRARY)
    (tmp_path / "app.c").write_text(PROGRAM)
    found, linked = tmp_path / "app.core", ["-L.", "-lnames", f"-Wl,-rpath,{tmp_path}"]
    for command in (
        ["gcc", "-g", "-O0", "-shared", "-fPIC", "lib.c", "-o", "libnames.so"],
        ["gcc", "-g", "-O0", "app.c", "-o", "app", *linked],
        ["gdb", "-nx", "-batch", "-ex", "run", "-ex", f"generate-core-file {found}", "./app"],
    ):
        subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return found


def test_the_module_of_the_chosen_frame_comes_first(core: Path) -> None:
    with polydbg.open(core) as session:
        rows = {frame.name.partition("+")[0]: frame.number for frame in session.crash_frames(8)}
        assert (
            _lines(session, f".frame {rows['libnames!boom']:x}; dt Config")[1] == "libnames!Config"
        )
        lines = _lines(session, f".frame {rows['app!call']:x}; dt Config; ?? shared_name; ? own")
        assert lines[1] == "app!Config"
        assert lines[-2] == "int 0n22"
        assert lines[-1].startswith("Evaluate expression: ")


def test_a_frame_in_force_is_looked_up_inside_its_call(core: Path) -> None:
    with polydbg.open(core) as session:
        rows = {frame.name.partition("+")[0]: frame.number for frame in session.crash_frames(8)}
        number = rows["app!call"]
        in_frame = _lines(session, f".frame {number:x}; ?? deep")[-1]
        in_force = _lines(session, f".frame /c {number:x}; ?? deep")[-1]
        assert in_frame == in_force == "int 0n64"
        assert _lines(session, "? deep")[-1].startswith("Evaluate expression: ")


def _lines(session: polydbg.DumpSession, line: str) -> list[str]:
    return session.command(line).text.splitlines()
