"""The right files of real cores: container images, files given themselves, other builds refused."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.cli.main import main
from polydbg.commands.missing_files import MissingFiles
from polydbg.commands.output import Notice
from polydbg.commands.stack import FrameRow
from polydbg.images.elf import ElfImage
from polydbg.library import session as library
from polydbg.testing.container_builder import Layer, docker_files, oci_files, tar_of

pytestmark = pytest.mark.corpus

NAME = "cargo-stripped"
MODULE = "cargo_stripped"
RECORDED = f"/tmp/samples/{NAME}"
DEBUG = f"{NAME}.debug"


class Samples:
    """The samples of Linux: programs, debug files, cores."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "samples" / "linux"
        self.program = self.folder / "bin" / NAME
        self.debug = self.folder / "bin" / "debug" / DEBUG
        image = ElfImage.from_file(self.program)
        self.build_id = image.build_id or ""
        image.close()

    def core(self, name: str = NAME) -> str:
        return str(self.folder / "cores" / f"{name}.core.zst")

    def layers(self, debug_at: str) -> list[bytes]:
        """A layer with an older build and a file that the next one whites out, the program, and its
        debug file at the path *debug_at*."""
        older = (self.folder / "bin" / "cargo-gcc-O0-dwarf4").read_bytes()
        base = Layer().file(RECORDED[1:], older).file("usr/lib/debug/gone", b"").build()
        above = (
            Layer().white_out("usr/lib/debug/gone").file(RECORDED[1:], self.program.read_bytes())
        )
        debug = Layer().file(debug_at[1:], self.debug.read_bytes()).build()
        return [base, above.build(), debug]

    @property
    def by_id(self) -> str:
        return f"/usr/lib/debug/.build-id/{self.build_id[:2]}/{self.build_id[2:]}.debug"


@pytest.fixture
def samples(data_dir: Path) -> Samples:
    return Samples(data_dir)


def rows(session: library.DumpSession, line: str) -> list[str]:
    return session.command(line).text.splitlines()


STACK = [
    (f"{MODULE}!stamp+0x37", 59),
    (f"{MODULE}!load_ship+0xa6", 73),
    (f"{MODULE}!voyage+0x206", 98),
    (f"{MODULE}!main+0x6f", 106),
]


def stack_of(session: library.DumpSession) -> list[tuple[str, int]]:
    return [(frame.name, frame.line) for frame in session.crash_frames(4)]


def _docker(layers: list[bytes]) -> bytes:
    return tar_of(docker_files(layers))


def _oci(layers: list[bytes]) -> bytes:
    return gzip.compress(tar_of(oci_files([("arm64", layers[:1]), ("amd64", layers)])))


@pytest.mark.parametrize("pack", [_docker, _oci])
@pytest.mark.parametrize("where", ["by id", "beside", "in .debug", "by path"])
def test_a_container_image(
    samples: Samples, tmp_path: Path, pack: Callable[[list[bytes]], bytes], where: str
) -> None:
    places = {
        "by id": samples.by_id,
        "beside": f"/tmp/samples/{DEBUG}",
        "in .debug": f"/tmp/samples/.debug/{DEBUG}",
        "by path": f"/usr/lib/debug/tmp/samples/{DEBUG}",
    }
    archive = tmp_path / "image.tar"
    archive.write_bytes(pack(samples.layers(places[where])))
    with library.open(samples.core(), images="", symbols="", sysroots=[archive]) as session:
        assert stack_of(session) == STACK
        shown = session.command(f"lm m {MODULE}; !sym why {MODULE}; lmv m {MODULE}").text
        assert f"(private dwarf symbols)  {archive}!{places[where]}" in shown
        assert f"{archive}!{RECORDED} - OK (has {samples.build_id})" in shown
        assert "unverified" not in shown


def test_a_folder_as_root(samples: Samples, tmp_path: Path) -> None:
    for source, at in ((samples.program, RECORDED), (samples.debug, samples.by_id)):
        (tmp_path / at[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / at[1:])
    with library.open(samples.core(), images="", symbols="") as session:
        assert stack_of(session)[0] == (f"{MODULE}+0x11d1", 0)
        session.command(f".sysroot {tmp_path}")
        assert stack_of(session) == STACK
        session.command(".sysroot -")
        assert stack_of(session)[0] == (f"{MODULE}+0x11d1", 0)


def test_a_file_that_moved_is_found_by_its_name(samples: Samples, tmp_path: Path) -> None:
    archive = tmp_path / "files.tar"
    files = {f"x/y/{NAME}": samples.program.read_bytes(), f"{NAME}": b"no program"}
    archive.write_bytes(tar_of(files))
    with library.open(samples.core(), images="", symbols="", sysroots=[archive]) as session:
        assert f"{archive}!/x/y/{NAME} - OK" in session.command(f"!sym why {MODULE}").text


def test_which_image_was_taken_is_said_at_the_start(
    samples: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(_oci(samples.layers(samples.by_id)))
    assert main([samples.core(), "--sysroot", str(archive), "-c", ".sysroot; q"]) == 0
    words = f"{archive}: 2 images, took app:1 (amd64), the only one for it"
    assert capsys.readouterr().out.splitlines().count(words) == 1
    assert main([samples.core(), "--sysroot", str(tmp_path / "none"), "-c", "q"]) == 2
    assert "No such file or directory" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["-i", ".exepath+"])
def test_a_file_given_itself(samples: Samples, tmp_path: Path, path: str) -> None:
    renamed = tmp_path / "what-we-released"
    shutil.copy(samples.program, renamed)
    images = str(renamed) if path == "-i" else ""
    with library.open(samples.core(), images=images, symbols=str(samples.debug.parent)) as session:
        if path != "-i":
            assert f"OK{'':31}" in session.command(f"{path} {renamed}").text
        assert stack_of(session) == STACK
        assert f"Image of {MODULE}: {renamed}" in session.command(f"!sym why {MODULE}").text


def test_another_build_is_refused_with_both_ids(samples: Samples, tmp_path: Path) -> None:
    other = samples.folder / "bin" / "cargo-gcc-O2-dwarf5"
    shutil.copy(other, tmp_path / NAME)
    image = ElfImage.from_file(other)
    with library.open(samples.core(), images=str(tmp_path), symbols="") as session:
        found = session.command("k; k")
        notices = [each for each in found.items if isinstance(each, Notice)]
        (refused,) = [each for each in notices if each.identifier == "image.mismatched"]
        assert f"Dump: {samples.build_id}, File: {image.build_id}" in refused.value
        assert rows(session, f"lm m {MODULE}")[1].endswith(f"(dynamic symbols only)  {NAME}")
        session.command(f".reload /i {MODULE}")
        assert f"{MODULE} M (private dwarf symbols)" in rows(session, f"lm m {MODULE}")[1]
        session.command(f".reload {MODULE}")
        assert " M (" not in rows(session, f"lm m {MODULE}")[1]
    image.close()


MINI = "cargo-gcc-O0-dwarf4"


def test_without_a_build_id_a_file_that_fits_is_unverified(samples: Samples) -> None:
    program = samples.folder / "bin" / MINI
    with library.open(samples.core(f"{MINI}.mini"), images=str(program), symbols="") as session:
        frame = next(session.crash_frames(1))
        assert (frame.line, frame.is_unverified) == (59, True)
        (row,) = [each for each in session.command("k 1").items if isinstance(each, FrameRow)]
        assert row.is_unverified
        assert row.text().endswith("(unverified)")
        assert "(private dwarf symbols) (unverified)" in session.command("lm").text
        assert "the dump does not tell the build id" in session.command("!sym why").text
    with library.open(samples.core(MINI), images=str(program), symbols="") as session:
        assert not next(session.crash_frames(1)).is_unverified


@pytest.mark.parametrize(
    "other",
    [
        "cargo-gcc-O2-dwarf5", "cargo-clang-O0-dwarf5", "cargo-clang-O2-dwarf4", "cargo-nopie",
        "cargo-static-pie", "crab", "zoo-gxx", "plunge",
    ],
)  # fmt: skip
def test_without_a_build_id_a_file_that_does_not_fit_is_refused(
    samples: Samples, other: str
) -> None:
    program = samples.folder / "bin" / other
    with library.open(samples.core(f"{MINI}.mini"), images=str(program), symbols="") as session:
        found = session.command("!sym why cargo_gcc_O0_dwarf4")
        notices = [each for each in found.items if isinstance(each, Notice)]
        assert "image.mismatched" in {each.identifier for each in notices}
        assert "is another file" in found.text


def test_stores_and_the_cache_of_debuginfod(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(source: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)

    store, cache = tmp_path / "store", tmp_path / "cache"
    put(samples.program, store / NAME / f"elf-buildid-{samples.build_id}" / NAME)
    put(samples.debug, store / "_.debug" / f"elf-buildid-sym-{samples.build_id}" / "_.debug")
    with library.open(samples.core(), images="", symbols=f"srv*{store}") as session:
        assert stack_of(session) == STACK
    put(samples.program, cache / samples.build_id / "executable")
    put(samples.debug, cache / samples.build_id / "debuginfo")
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(cache))
    with library.open(samples.core(), images="", symbols="") as session:
        assert stack_of(session) == STACK
        assert f"{cache}{os.sep}" in session.command(f"!sym why {MODULE}").text
    for name in ("executable", "debuginfo"):  # no server has it
        (cache / samples.build_id / name).write_bytes(b"")
    with library.open(samples.core(), images="", symbols="") as session:
        assert stack_of(session)[0] == (f"{MODULE}+0x11d1", 0)


def test_build_id_trees(samples: Samples, tmp_path: Path) -> None:
    tree = tmp_path / ".build-id" / samples.build_id[:2]
    tree.mkdir(parents=True)
    shutil.copy(samples.program, tree / samples.build_id[2:])
    shutil.copy(samples.debug, tree / f"{samples.build_id[2:]}.debug")
    with library.open(samples.core(), images="", symbols=str(tmp_path)) as session:
        assert stack_of(session) == STACK


def test_debug_files_are_no_images(samples: Samples, tmp_path: Path) -> None:
    shutil.copy(samples.debug, tmp_path / NAME)
    with library.open(samples.core(), images=str(tmp_path), symbols="") as session:
        found = session.command(f"!sym why {MODULE}").text
        assert f"{tmp_path}{os.sep}{NAME} - damaged" in found
        assert "it holds debug information only" in found
        assert f"Image of {MODULE}: not found" in found


def test_what_is_missing_is_listed(
    samples: Samples, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with library.open(samples.core(), images="", symbols="") as session:
        found = session.command("!sym why *")
        missing = {each.module: each for each in found.items if isinstance(each, MissingFiles)}
        assert missing[MODULE].build_id == samples.build_id
        assert missing[MODULE].missing == "image and debug information"
        assert "docker save IMAGE -o image.tar" in found.text
        assert f"DebugInfoD*URL in the session (build id {samples.build_id})" in found.text
        assert "linux_vdso_so" not in missing
    monkeypatch.delenv("_NT_SYMBOL_PATH", raising=False)
    assert main(["sym", "why", samples.core()]) == 0
    shown = capsys.readouterr().out
    assert f"{MODULE}: no image and debug information: {RECORDED}, build id" in shown
    assert main([samples.core(), "-c", "q"]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "Missing:" in each]
    assert samples.build_id in line
    assert "--sysroot" in line
