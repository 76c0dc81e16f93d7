"""Searches along a path: stores, copies, compressed files, hostile names, and the trail."""

import io
import multiprocessing
import os
import zipfile
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, FormatError
from polydbg.formats.archives.opening import expand_first
from polydbg.symbols.store import (
    FetchRequest,
    FileKind,
    IdCheck,
    Located,
    Outcome,
    Server,
    ServerKind,
    SymbolPath,
    Trail,
    Wanted,
    locate,
    servers_of,
)
from polydbg.symbols.store.hostpath import default_cache
from polydbg.testing.cabinet_builder import LZX, cabinet

GUID = "3249D99D0C4049318610F4E4FB0B6936"
KEY = GUID + "1"
NAME = "crash.pdb"
GOOD = KEY.encode() + b" symbols" * 5000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "default"))


def verify(path: Path) -> IdCheck:
    """The id of these test files is their first word."""
    data = path.read_bytes()
    if data.startswith(b"bad"):
        return IdCheck(False, problem="not a symbol file")
    if data.startswith(b"raise"):
        raise FormatError("ends too early")
    found = data.split(b" ")[0].decode()
    return IdCheck(found == KEY, found)


def put(path: Path, data: bytes = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def search(
    text: str, wanted: Wanted | None = None, *, load_anything: bool = False
) -> tuple[Located | None, Trail]:
    trail = Trail()
    wanted = wanted or Wanted(FileKind.PDB, NAME, KEY, "{id}")
    found = locate(wanted, SymbolPath.parse(text), verify, trail, load_anything=load_anything)
    return found, trail


def outcomes(trail: Trail) -> list[Outcome]:
    return [entry.outcome for entry in trail.entries]


@pytest.mark.parametrize(
    "place",
    ["symbols/dll/crash.pdb", "exe/crash.pdb", "crash.pdb", f"crash.pdb/{KEY}/crash.pdb"],
)
def test_directory_layouts(tmp_path: Path, place: str) -> None:
    put(tmp_path / place)
    found, trail = search(str(tmp_path))
    assert found == Located(tmp_path / place, False, str(tmp_path))
    assert trail.entries[-1].outcome is Outcome.FOUND
    assert trail.advice() == []


def test_extension_is_that_of_the_image(tmp_path: Path) -> None:
    put(tmp_path / "exe" / NAME)
    found, _ = search(str(tmp_path), Wanted(FileKind.PDB, NAME, KEY, image_name=r"C:\x\a.dll"))
    assert found is None
    found, _ = search(str(tmp_path), Wanted(FileKind.PDB, NAME, KEY, image_name=r"C:\x\a.exe"))
    assert found is not None


def test_image(tmp_path: Path) -> None:
    put(tmp_path / "dll" / "a.dll", GOOD)
    found, _ = search(str(tmp_path), Wanted(FileKind.IMAGE, r"C:\Windows\A.DLL", KEY))
    assert found is not None
    assert found.path == tmp_path / "dll" / "a.dll"


@pytest.mark.parametrize("key", [KEY, KEY.lower(), KEY[:5].lower() + KEY[5:]])
@pytest.mark.parametrize("name", ["crash.pdb", "CRASH.PDB", "Crash.pDb"])
@pytest.mark.parametrize("tiers", [2, 3])
def test_store_in_any_case(tmp_path: Path, key: str, name: str, tiers: int) -> None:
    folder = tmp_path
    if tiers == 3:
        (tmp_path / "index2.txt").touch()
        folder = tmp_path / name[:2]
    expected = put(folder / name / key / name)
    found, _ = search(f"srv*{tmp_path}")
    assert found is not None
    assert found.path.samefile(expected)


def test_upstream_hit_is_copied_to_every_store_on_the_left(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index2.txt").touch()
    put(tmp_path / "s" / NAME / KEY / NAME)
    found, trail = search(f"cache*{tmp_path}/a;srv*{tmp_path}/b*{tmp_path}/s")
    near = tmp_path / "a" / NAME / KEY / NAME
    assert found is not None
    assert found.path == near
    assert near.read_bytes() == GOOD
    assert (tmp_path / "a" / "pingme.txt").exists()
    assert (tmp_path / "b" / "cr" / NAME / KEY / NAME).read_bytes() == GOOD
    assert outcomes(trail).count(Outcome.COPIED) == 2
    assert [each.name for each in near.parent.iterdir()] == [NAME]


def test_cache_takes_hits_of_directories_to_its_right_only(tmp_path: Path) -> None:
    put(tmp_path / "d" / NAME)
    found, _ = search(f"{tmp_path}/d;cache*{tmp_path}/a")
    assert found is not None
    assert not (tmp_path / "a").exists()
    found, _ = search(f"cache*;{tmp_path}/d")
    assert found is not None
    assert found.path == tmp_path / "default" / "sym" / NAME / KEY / NAME


def test_unwritable_store_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a store should be")
    expected = put(tmp_path / "s" / NAME / KEY / NAME)
    found, trail = search(f"srv*{tmp_path}/a*{tmp_path}/s")
    assert found is not None
    assert found.path == expected
    assert Outcome.NOT_COPIED in outcomes(trail)


def test_store_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found, trail = search(f"{tmp_path};srv*{tmp_path}")
    assert found is None
    assert outcomes(trail) == [Outcome.UNREADABLE] * 2


def test_damaged_copy_is_replaced_from_upstream(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / NAME)
    near = put(tmp_path / "a" / NAME / KEY / NAME, b"raise")
    found, trail = search(f"srv*{tmp_path}/a*{tmp_path}/s")
    assert found is not None
    assert found.path == near
    assert near.read_bytes() == GOOD
    assert Outcome.DAMAGED in outcomes(trail)


@pytest.mark.parametrize("method", [0, 1])
def test_compressed_goes_to_the_nearest_store_and_stays_packed_between(
    tmp_path: Path, method: int
) -> None:
    packed = cabinet(GOOD, method=method)
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", packed)
    found, _ = search(f"srv*{tmp_path}/a*{tmp_path}/b*{tmp_path}/s")
    assert found is not None
    assert found.path == tmp_path / "a" / NAME / KEY / NAME
    assert found.path.read_bytes() == GOOD
    assert (tmp_path / "b" / NAME / KEY / "crash.pd_").read_bytes() == packed


def test_compressed_goes_to_the_default_cache_once(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet(GOOD))
    found, _ = search(f"srv*{tmp_path}/s")
    assert found is not None
    assert found.path == tmp_path / "default" / "sym" / NAME / KEY / NAME
    before = found.path.stat().st_ino
    again, _ = search(str(tmp_path / "s"))
    assert again is not None
    assert again.path.stat().st_ino == before


def test_zip(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", zipped(GOOD))
    found, _ = search(f"srv*{tmp_path}/s")
    assert found is not None
    assert found.path.read_bytes() == GOOD


def test_lzx(tmp_path: Path) -> None:
    good = GOOD[:20_000]
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet({NAME: good}, method=LZX))
    found, _ = search(f"srv*{tmp_path}/s")
    assert found is not None
    assert found.path.read_bytes() == good


def test_damaged_lzx(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet(GOOD, method=3))
    found, trail = search(f"srv*{tmp_path}/s")
    assert found is None
    assert Outcome.DAMAGED in outcomes(trail)


def test_lzx_without_its_library_is_named_in_the_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polydbg.formats.archives.cabinet.find_spec", lambda name: None)
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet(GOOD, method=3))
    found, trail = search(f"srv*{tmp_path}/s")
    assert found is None
    entry = next(e for e in trail.entries if e.outcome is Outcome.UNSUPPORTED)
    assert "LZX" in entry.detail
    assert any("LZX" in line for line in trail.advice())


def test_expanded_file_of_another_build_is_not_kept(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet(GUID.encode() + b"2 x"))
    found, trail = search(f"srv*{tmp_path}/a*{tmp_path}/s")
    assert found is None
    assert Outcome.WRONG_ID in outcomes(trail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pd_"
                and path.name != "pingme.txt"]  # fmt: skip


def zipped(data: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("crash.pdb", data)
    return memory.getvalue()


def without_checksums(data: bytes) -> bytes:
    """Zero the checksum of the first block, so that damage reaches the decompressor."""
    return data[:66] + bytes(4) + data[70:]


@pytest.mark.parametrize("good", [cabinet(GOOD), without_checksums(cabinet(GOOD)), zipped(GOOD)])
def test_damaged_archives_raise_only_format_errors(good: bytes) -> None:
    assert b"".join(expand_first(io.BytesIO(good), len(good), 4 << 30)) == GOOD
    for at in range(len(good)):
        for data in (good[:at], good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]):
            try:
                result = b"".join(expand_first(io.BytesIO(data), len(data), 4 << 30))
            except FormatError:
                continue
            assert len(result) <= 1 << 20


def test_bomb_is_refused() -> None:
    data = cabinet(bytes(0x8000), length=0xFFFFFFFF)
    with pytest.raises(FormatError, match="that are allowed"):
        b"".join(expand_first(io.BytesIO(data), len(data), 4 << 30))


def test_pointer_forms(tmp_path: Path) -> None:
    real = put(tmp_path / "elsewhere" / "other.pdb")
    for text in (str(real), f"PATH:{real}\r\n", f"path: {real}"):
        put(tmp_path / "s" / NAME / KEY / "file.ptr", text.encode())
        found, _ = search(f"srv*{tmp_path}/s")
        assert found is not None
        assert found.path == real
    put(tmp_path / "s" / NAME / KEY / "file.ptr", b"MSG: gone for good")
    found, trail = search(f"srv*{tmp_path}/s")
    assert found is None
    assert any(entry.detail == "gone for good" for entry in trail.entries)


@pytest.mark.parametrize("text", ["file.ptr", "a\0b", "", "x" * 5000, "MSG:", "PATH:"])
def test_hostile_pointers(tmp_path: Path, text: str) -> None:
    put(tmp_path / "s" / NAME / KEY / "file.ptr", text.encode())
    found, trail = search(f"srv*{tmp_path}/s")
    assert found is None
    assert trail.advice()


def test_pointer_loops(tmp_path: Path) -> None:
    for here, there in (("a", "b"), ("b", "a")):
        put(tmp_path / here / "file.ptr", str(tmp_path / there / "file.ptr").encode())
    put(tmp_path / "s" / NAME / KEY / "file.ptr", str(tmp_path / "a" / "file.ptr").encode())
    found, trail = search(f"srv*{tmp_path}/s")
    assert found is None
    assert any("back to itself" in entry.detail for entry in trail.entries)


@pytest.mark.skipif(os.name == "nt", reason="drive letters are real there")
def test_windows_elements_on_posix(tmp_path: Path) -> None:
    put(tmp_path / "d" / NAME)
    found, trail = search(rf"C:\samples;srv*\\server\share*D:\x;{tmp_path}/d")
    assert found is not None
    not_asked = [e.place for e in trail.entries if e.outcome is Outcome.NOT_ASKED]
    assert not_asked == [r"C:\samples", r"\\server\share", r"D:\x"]


class FakeAsker:
    """Notes what it is asked for, and has nothing or one file."""

    def __init__(self, file: Path | None = None) -> None:
        self.requests: list[FetchRequest] = []
        self._file = file

    def ask(self, request: FetchRequest, trail: Trail) -> Path | None:
        self.requests.append(request)
        return self._file


def test_servers_are_asked_once_and_last(tmp_path: Path) -> None:
    put(tmp_path / "late" / NAME)
    asker, wanted = FakeAsker(), Wanted(FileKind.PDB, NAME, KEY, "{id}")
    path = SymbolPath.parse(f"srv*{tmp_path / 'c'}*https://s.example;{tmp_path / 'late'}")
    assert locate(wanted, path, verify, Trail(), asker=asker) is not None
    assert not asker.requests, "a file of this host comes before any server"
    (tmp_path / "late" / NAME).unlink()
    assert locate(wanted, path, verify, Trail(), asker=asker) is None
    (request,) = asker.requests
    assert (request.name, request.key, request.file_name) == (NAME, KEY, NAME)
    assert request.servers == (Server("https://s.example", ServerKind.STORE, (tmp_path / "c",)),)


def test_what_a_server_gave_is_used(tmp_path: Path) -> None:
    asker = FakeAsker(put(tmp_path / NAME))
    wanted = Wanted(FileKind.PDB, NAME, KEY, "{id}")
    found = locate(wanted, SymbolPath.parse("srv*"), verify, Trail(), asker=asker)
    assert found is not None
    assert found.path == tmp_path / NAME


def test_servers_of_a_path_have_the_caches_to_their_left(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    path = SymbolPath.parse(f"srv*{a}*{b}*https://one;cache*{c};https://two;DebugInfoD*https://d")
    assert servers_of(path) == (
        Server("https://one", ServerKind.STORE, (a, b)),
        Server("https://two", ServerKind.STORE, (c, default_cache())),
        Server("https://d", ServerKind.DEBUGINFOD, (c,)),
    )


def test_the_default_cache_is_searched_without_being_named(tmp_path: Path) -> None:
    kept = put(default_cache() / NAME / KEY / NAME)
    found, _ = search("")
    assert found is not None
    assert found.path == kept


def test_other_server_programs_are_not_run() -> None:
    _, trail = search("symsrv*x.dll*/a")
    (entry,) = [e for e in trail.entries if e.outcome is Outcome.NOT_ASKED]
    assert "symsrv.dll" in entry.detail


def test_wrong_id(tmp_path: Path) -> None:
    put(tmp_path / NAME, (GUID + "2 x").encode())
    found, trail = search(str(tmp_path))
    assert found is None
    entry = next(e for e in trail.entries if e.outcome is Outcome.WRONG_ID)
    assert (entry.found_id, entry.detail) == (GUID + "2", "wanted {id}")
    assert "age 2 instead of 1" in trail.advice()[0]
    found, _ = search(str(tmp_path), load_anything=True)
    assert found == Located(tmp_path / NAME, True, str(tmp_path))


def test_other_build_and_damage(tmp_path: Path) -> None:
    put(tmp_path / "a" / NAME, ("F" * 33 + " x").encode())
    put(tmp_path / "b" / NAME, b"bad")
    put(tmp_path / "c" / NAME)
    _, trail = search(f"{tmp_path}/a;{tmp_path}/b")
    advice = " ".join(trail.advice())
    assert "another build" in advice
    assert "is damaged (not a symbol file)" in advice
    found, _ = search(f"{tmp_path}/a;{tmp_path}/b;{tmp_path}/c", load_anything=True)
    assert found is not None
    assert not found.mismatched


def test_no_key_searches_directories_only(tmp_path: Path) -> None:
    put(tmp_path / NAME / KEY / NAME)
    found, trail = search(f"{tmp_path};srv*{tmp_path}", Wanted(FileKind.PDB, NAME))
    assert found is None
    assert any("is not known" in line for line in trail.advice())


def test_advice_of_callers_entries() -> None:
    """Only the caller knows that an image names no debug file or was stripped."""
    _, trail = search("srv*", Wanted(FileKind.PDB, NAME, extra_paths=[r"C:\x\crash.pdb"]))
    trail.add("a.dll", Outcome.NO_RECORD)
    trail.add("a.dll", Outcome.STRIPPED, "IMAGE_FILE_DEBUG_STRIPPED is set")
    advice = trail.advice()
    assert "no CodeView record" in advice[0]
    assert "IMAGE_FILE_DEBUG_STRIPPED" in advice[1]
    assert len(advice) == 3
    assert not any("\n" in line for line in advice + trail.lines())


def test_advice_of_images(tmp_path: Path) -> None:
    put(tmp_path / "a.exe", b"5F3A1B2C4000 x")
    wanted = Wanted(FileKind.IMAGE, "a.exe", "5F3A1B2C3000")
    _, trail = search(str(tmp_path), wanted)
    assert "size 0x4000 instead of 0x3000" in trail.advice()[0]
    assert ".exepath+" in trail.advice()[-1]


def test_empty_path_says_so() -> None:
    found, trail = search("")
    assert found is None
    assert trail.advice() == ["No search path is set: .sympath DIR, where DIR holds crash.pdb."]


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "a\0b.pdb", "C:", "nul", "NUL.pdb", "com1.pdb", "aa:b", "a.", "a ",
     "x" * 300, "..\\..\\..", "../..", "a|b", "\ud800.pdb", "dir/", "a*b", "\x1b[2J"],
)  # fmt: skip
def test_hostile_names(tmp_path: Path, name: str) -> None:
    found, trail = search(f"{tmp_path};srv*{tmp_path}", Wanted(FileKind.PDB, name, KEY))
    assert found is None
    assert outcomes(trail) == [Outcome.UNSAFE_NAME]
    assert trail.advice()


@pytest.mark.parametrize("key", ["..", "a/b", "", "-x", "x" * 200, "a\\b", "C:"])
def test_hostile_keys(tmp_path: Path, key: str) -> None:
    _, trail = search(f"srv*{tmp_path}", Wanted(FileKind.PDB, NAME, key))
    assert outcomes(trail) == [Outcome.UNSAFE_NAME]


def test_directories_of_a_name_are_dropped(tmp_path: Path) -> None:
    put(tmp_path / "outside" / NAME)
    (tmp_path / "in").mkdir()
    for name in (f"../outside/{NAME}", rf"..\outside\{NAME}", f"{tmp_path}/outside/{NAME}"):
        found, _ = search(f"{tmp_path}/in", Wanted(FileKind.PDB, name, KEY))
        assert found is None


def test_extra_paths(tmp_path: Path) -> None:
    real = put(tmp_path / "build" / NAME)
    for extra in (str(real), real, real.parent):
        found, _ = search("", Wanted(FileKind.PDB, NAME, KEY, extra_paths=[extra]))
        assert found == Located(real, False, str(extra))


@pytest.mark.parametrize(
    "extra",
    [r"\\server\share\crash.pdb", "//server/share/crash.pdb", r"\\.\pipe\crash.pdb",
     "/net/server/crash.pdb", "/etc/passwd", "crash.pdb", "/a\0/crash.pdb", "/" + "x" * 5000],
)  # fmt: skip
def test_recorded_paths_of_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    put(tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    found, _ = search("", Wanted(FileKind.PDB, NAME, KEY, extra_paths=[extra]))
    assert found is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes in directories")
def test_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    found, trail = search(str(tmp_path))
    assert found is None
    assert any(entry.detail == "not a regular file" for entry in trail.entries)


def test_listing_is_refreshed(tmp_path: Path) -> None:
    path = SymbolPath.parse(str(tmp_path))
    wanted = Wanted(FileKind.PDB, NAME, KEY)
    assert locate(wanted, path, verify, Trail()) is None
    put(tmp_path / "Crash.Pdb")
    assert locate(wanted, path, verify, Trail()) is not None


def test_cancel(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        locate(
            Wanted(FileKind.PDB, NAME, KEY),
            SymbolPath.parse(str(tmp_path)),
            verify,
            Trail(),
            cancel=token,
        )


def _copy_in_process(text: str, cache: str, results: "multiprocessing.Queue[bool]") -> None:
    os.environ["POLYDBG_CACHE"] = cache
    found, _ = search(text)
    results.put(found is not None and found.path.read_bytes() == GOOD)


def test_two_processes_copy_the_same_file(tmp_path: Path) -> None:
    put(tmp_path / "s" / NAME / KEY / "crash.pd_", cabinet(GOOD))
    text = f"srv*{tmp_path}/a*{tmp_path}/b*{tmp_path}/s"
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[bool] = context.Queue()
    arguments = (text, str(tmp_path / "default"), results)
    workers = [context.Process(target=_copy_in_process, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert answers == [True, True]
    folder = tmp_path / "a" / NAME / KEY
    assert [each.name for each in folder.iterdir()] == [NAME]


@pytest.mark.corpus
def test_store_of_the_corpus(data_dir: Path) -> None:
    """A real cabinet, MSZIP by makecab's kin, in a store of another debugger's tests."""
    packed = data_dir / "symbols" / "symstore-layout" / "crash.pdb" / KEY / "crash.pd_"
    if not packed.exists():
        pytest.skip("the corpus has no compressed store")
    with open(packed, "rb") as stream:
        data = b"".join(expand_first(stream, packed.stat().st_size, 4 << 30))
    assert data.startswith(b"MODULE windows x86 " + KEY.encode())
