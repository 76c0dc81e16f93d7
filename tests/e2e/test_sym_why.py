"""``!sym why``: how files of this host are not the wanted ones, each with its reason and step."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.scene import BUILD_ID, DEBUG_ID, EXE, PDB, SIZE, STAMP, Scene, elf, size_of

from polydbg.cli.main import main
from polydbg.testing.cabinet_builder import cabinet
from polydbg.testing.pe_builder import PeBuilder


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with contextlib.ExitStack() as keep:
        yield Scene(tmp_path, monkeypatch, keep)


# -- situations ----------------------------------------------------------------------------------


def wrong_age(scene: Scene) -> None:
    scene.practice(age=7)
    scene.put("practice.pdb", PDB)


def other_pdb(scene: Scene) -> None:
    scene.practice(guid="00112233445566778899AABBCCDDEEFF")
    scene.put("practice.pdb", PDB)


def other_stamp(scene: Scene) -> None:
    scene.practice(stamp=STAMP + 1)
    scene.put("practice.exe", EXE)


def other_size(scene: Scene) -> None:
    scene.practice(size=SIZE + 0x1000)
    scene.put("practice.exe", EXE)


def no_image(scene: Scene) -> None:
    scene.put("practice.pdb", PDB)


def stripped_pdb(scene: Scene) -> None:
    """As /PDBSTRIPPED writes it: the header of the DBI stream says so."""
    at = PDB.index(struct.pack("<iI", -1, 19990903)) + 56
    flags = struct.unpack_from("<H", PDB, at)[0] | 2
    scene.put("practice.pdb", PDB[:at] + struct.pack("<H", flags) + PDB[at + 2 :])


def no_record(scene: Scene) -> None:
    image = PeBuilder()
    data = image.build()
    scene.practice(age=-1, stamp=image.timestamp, size=size_of(data))
    scene.put("practice.exe", data)


def stripped_image(scene: Scene) -> None:
    image = PeBuilder(characteristics=0x22 | 0x200)
    data = image.build()
    scene.practice(age=-1, stamp=image.timestamp, size=size_of(data))
    scene.put("practice.exe", data)


def no_id(scene: Scene) -> None:
    scene.practice(age=-1)
    scene.put("practice.pdb", PDB)


def breakpad_text(scene: Scene) -> None:
    key = "00112233445566778899AABBCCDDEEFF1"
    text = f"MODULE windows x86_64 {key} practice.pdb\nPUBLIC 1000 0 main\n"
    scene.put("practice.pdb", text.encode())


def no_pdb(scene: Scene) -> None:
    scene.put("practice.pdb", b"Dear diary")


def portable_pdb(scene: Scene) -> None:
    scene.put("practice.pdb", b"BSJB" + bytes(200))


def truncated_pdb(scene: Scene) -> None:
    scene.put("practice.pdb", PDB[: len(PDB) // 2])


def damaged_pdb(scene: Scene) -> None:
    scene.put("practice.pdb", PDB[:40] + b"\xff" * 16 + PDB[56:])


def html_pdb(scene: Scene) -> None:
    scene.put("practice.pdb", b"<!DOCTYPE html>\n<html><title>Sign in</title></html>")


def truncated_image(scene: Scene) -> None:
    scene.put("practice.exe", EXE[:100])


def unreadable_pdb(scene: Scene) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs a pipe with a name")
    os.mkfifo(scene.folder / "practice.pdb")


def unknown_packing(scene: Scene) -> None:
    packed = cabinet({"practice.pdb": PDB}, method=5)
    scene.put(f"practice.pdb/{DEBUG_ID.key}/practice.pd_", packed)


def truncated_cabinet(scene: Scene) -> None:
    packed = cabinet({"practice.pdb": PDB})
    scene.put(f"practice.pdb/{DEBUG_ID.key}/practice.pd_", packed[: len(packed) // 2])


def nothing(scene: Scene) -> None:
    pass


def of_windows(scene: Scene) -> None:
    scene.practice(folder="C:\\Windows\\System32")


def no_path(scene: Scene) -> None:
    scene.symbols = scene.images = ""


def path_is_gone(scene: Scene) -> None:
    scene.symbols = scene.images = str(scene.root / "gone")


def path_of_windows(scene: Scene) -> None:
    scene.symbols = scene.images = "D:\\symbols"


def other_server_program(scene: Scene) -> None:
    scene.symbols = "symsrv*other.dll*D:\\symbols"


def elf_without_id(scene: Scene) -> None:
    scene.core()
    scene.put("server", elf(None))


def elf_of_another_build(scene: Scene) -> None:
    scene.core()
    scene.put("server", elf(bytes(20)))


def elf_without_anything(scene: Scene) -> None:
    scene.core()


def core_without_id(scene: Scene) -> None:
    scene.core(with_id=False)


def debug_of_another_build(scene: Scene) -> None:
    scene.core()
    scene.put("server", elf())
    scene.put("server.debug", elf(bytes(20)))


def debug_without_dwarf(scene: Scene) -> None:
    scene.core()
    scene.put("server", elf())
    scene.put("server.debug", elf())


def wrong_checksum(scene: Scene) -> None:
    scene.core(with_id=False)
    link = b"server.debug".ljust(16, b"\0") + struct.pack("<I", zlib.crc32(b"another"))
    scene.put("server", elf(None, (".gnu_debuglink", link)))
    scene.put("server.debug", elf(None))


def damaged_debug_file(scene: Scene) -> None:
    scene.core()
    scene.put("server", elf())
    scene.put("server.debug", b"Dear diary")


def page_of_debuginfod(scene: Scene) -> None:
    """What debuginfod's own client keeps where a server sends a login page."""
    of_debuginfod(scene, b"<!DOCTYPE html>\n<html><title>Sign in</title></html>")


def other_build_of_debuginfod(scene: Scene) -> None:
    of_debuginfod(scene, elf(bytes(20)))


def of_debuginfod(scene: Scene, data: bytes) -> None:
    scene.core()
    scene.monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(scene.folder))
    for kind in ("debuginfo", "executable"):
        scene.put(f"{BUILD_ID.hex()}/{kind}", data)


def no_elf(scene: Scene) -> None:
    scene.core()
    scene.put("server", b"Dear diary")


Situation = Callable[[Scene], None]

# The half of the answer, the reason and the step as patterns.
SYMBOLS: list[tuple[Situation, str, str]] = [
    (wrong_age, "right GUID but age 1 instead of 7", r"\.reload /i practice\.exe"),
    (other_pdb, "another build: its id is 4C8FE828", r"\.reload /i practice\.exe"),
    (stripped_pdb, "symbols stripped: public names only", r"private PDB.*\.sympath DIR"),
    (no_record, "has no CodeView record", "relink it with /DEBUG"),
    (stripped_image, "debug information was removed", "objcopy --only-keep-debug"),
    (no_id, "the id of this build is not known", r"\.exepath\+ DIR"),
    (breakpad_text, "another build: its id is 001122334455", r"\.reload /i practice\.exe"),
    (no_pdb, r"not a PDB.*looks like text", "replace it"),
    (portable_pdb, r"portable PDB of \.NET", r"\.sympath\+ DIR"),
    (truncated_pdb, "the file is cut: it has 67584 bytes", "replace it"),
    (damaged_pdb, "is damaged", "replace it"),
    (html_pdb, "looks like HTML", "replace it"),
    (unreadable_pdb, "not a regular file", "replace it"),
    (unknown_packing, "compressed with method 5, which is not", "(cabextract -d|expand -r) "),
    (truncated_cabinet, "cabinet ends too early", "replace it"),
    (nothing, "practice.pdb - file not found", r"STORE/practice\.pdb/4C8FE8\w+/practice\.pdb"),
    (of_windows, "practice.pdb - file not found", r"\.symfix\+ lets Microsoft"),
    (no_path, "No search path is set", r"\.sympath DIR, where DIR holds practice\.pdb"),
    (path_is_gone, "no such directory", r"Correct the search path: \.sympath"),
    (path_of_windows, "cannot be reached from this host", r"\.sympath\+ DIR"),
    (other_server_program, "only symsrv.dll is known", r"\.sympath\+ srv\*URL"),
    (elf_without_anything, "server.debug - file not found", r"DebugInfoD\*URL"),
    (core_without_id, "The id of server is not known", r"-i FILE or --sysroot"),
    (debug_of_another_build, r"mismatched id \(has 0{40}\)", "made with this build"),
    (debug_without_dwarf, "it has no DWARF", "objcopy --only-keep-debug"),
    (wrong_checksum, "its checksum is [0-9a-f]{8}, that in .gnu_debuglink", "made with this build"),
    (page_of_debuginfod, "debuginfo - damaged: not an ELF file", "Delete it: debuginfod"),
    (other_build_of_debuginfod, r"mismatched id \(has 0{40}\)", "Delete it: debuginfod"),
    (damaged_debug_file, "not an ELF file", "Replace it by a whole copy"),
]
IMAGES: list[tuple[Situation, str, str]] = [
    (other_stamp, r"timestamp 6B0527E0.*wanted is timestamp 6B0527E1", "Take it from the machine"),
    (other_size, "size 0x10000 instead of 0x11000", "Take it from the machine"),
    (of_windows, "practice.exe - file not found", r"\.symfix\+ lets Microsoft"),
    (no_image, r"in the \.exe \(or \.dll\), not in the \.pdb", r"\.exepath\+ DIR"),
    (truncated_image, "PE headers are cut short", "replace it"),
    (path_is_gone, "no such directory", r"Correct the search path: .* \.exepath"),
    (path_of_windows, "cannot be reached from this host", r"\.exepath\+ DIR"),
    (elf_without_id, "does not say of which build it is", r"\.reload /i server"),
    (elf_of_another_build, "another build: its id is 0{40}", r"\.reload /i server"),
    (core_without_id, "The id of server is not known", "docker save IMAGE"),
    (page_of_debuginfod, "executable - damaged: not an ELF file", "Delete it: debuginfod"),
    (other_build_of_debuginfod, r"mismatched id \(has 0{40}\)", "Delete it: debuginfod"),
    (no_elf, "not an ELF file", "replace it"),
]


@pytest.mark.parametrize(
    ("kind", "situation", "reason", "step"),
    [("Symbols", *row) for row in SYMBOLS] + [("Image", *row) for row in IMAGES],
    ids=[f"symbols-{row[0].__name__}" for row in SYMBOLS]
    + [f"image-{row[0].__name__}" for row in IMAGES],
)
def test_reason_and_step(
    scene: Scene, kind: str, situation: Situation, reason: str, step: str
) -> None:
    situation(scene)
    with scene.session() as said:
        text, advice = said.why(kind)
    assert re.search(reason, text), text
    assert any(re.search(step, line) for line in advice), advice


# What to type then (DIR stands for the folder with the right files), and how the answer begins.
FOLLOWED: list[tuple[Situation, str, str, str]] = [
    (wrong_age, ".reload /i practice.exe", "Symbols", "private pdb symbols.*of another build"),
    (other_pdb, ".reload /i practice.exe", "Symbols", "private pdb symbols.*of another build"),
    (no_id, ".reload /i practice.exe", "Symbols", "private pdb symbols"),
    (no_id, ".exepath+ DIR; .reload", "Symbols", "private pdb symbols"),
    (nothing, ".sympath+ DIR", "Symbols", "private pdb symbols"),
    (no_path, ".sympath DIR", "Symbols", "private pdb symbols"),
    (path_is_gone, ".sympath DIR", "Symbols", "private pdb symbols"),
    (stripped_pdb, ".sympath DIR", "Symbols", "private pdb symbols"),
    (truncated_pdb, ".sympath DIR", "Symbols", "private pdb symbols"),
    (other_stamp, ".sympath DIR", "Image", "not found"),
    (no_image, ".exepath+ DIR", "Image", "[^:]*practice.exe"),
    (elf_without_id, ".reload /i server", "Image", ".*server"),
    (elf_of_another_build, ".reload /i server", "Image", ".*server"),
    (elf_without_anything, ".exepath+ DIR/server", "Image", ".*server"),
]


@pytest.mark.parametrize(
    ("situation", "commands", "kind", "state"),
    FOLLOWED,
    ids=[f"{row[0].__name__}-{row[1].split(';')[0].replace(' ', '')}" for row in FOLLOWED],
)
def test_the_step_helps(
    scene: Scene, situation: Situation, commands: str, kind: str, state: str
) -> None:
    situation(scene)
    good = scene.root / "good"
    good.mkdir()
    for name, data in (("practice.pdb", PDB), ("practice.exe", EXE), ("server", elf())):
        (good / name).write_bytes(data)
    with scene.session() as said:
        said(commands.replace("DIR", str(good)))
        text, _ = said.why(kind)
    assert re.match(rf"{kind} of \w+: {state}", text), text


def test_on_the_command_line(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    wrong_age(scene)
    argv = ["sym", "why", str(scene.dump), "practice", "-y", scene.symbols]
    assert main(argv) == 0
    assert "age 1 instead of 7" in capsys.readouterr().out
    main([*argv, "--json"])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "age 1 instead of 7" in json.dumps(answers)
