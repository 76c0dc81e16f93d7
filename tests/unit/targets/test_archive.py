"""Dumps inside archives: choosing, unpacking, refusing; hostile archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, FormatError, TargetError
from polydbg.formats.archives.opening import expand_first
from polydbg.targets.open import open_target
from polydbg.targets.target import Target
from polydbg.testing.cabinet_builder import cabinet
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def dump(ident: int = 0x10, padding: int = 0) -> bytes:
    builder = MinidumpBuilder().system()
    builder.thread(ident, context=amd64_context(rip=0x1234), stack=(0x8000, os.urandom(64)))
    if padding:
        builder.memory(0x100000, os.urandom(padding))
    return builder.build()


GOOD = dump()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def opened(tmp_path: Path, data: bytes, name: str = "a.zip", member: str = "") -> Target:
    path = tmp_path / name
    path.write_bytes(data)
    return open_target(str(path), member)


def refused(tmp_path: Path, data: bytes, name: str = "a.zip", member: str = "") -> TargetError:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(TargetError) as caught:
        opened(tmp_path, data, name, member)
    assert caught.value.hint
    assert "a.zip" in caught.value.message or name in caught.value.message
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before  # what earlier tests left may go
    return caught.value


@pytest.mark.parametrize(
    ("name", "pack", "member"),
    [
        ("c.dmp.gz", gzip.compress, "c.dmp"),
        ("c.dmp.xz", lzma.compress, "c.dmp"),
        ("c.dmp.bz2", bz2.compress, "c.dmp"),
        ("c.dmp.zst", zstd.compress, "c.dmp"),
        ("c.zip", lambda data: zipped({"x/c.dmp": data}), "x/c.dmp"),
        ("c.zip", lambda data: zipped({"c.dmp": data}, zipfile.ZIP_STORED), "c.dmp"),
        ("c.zip", lambda data: zipped({"c.dmp": data}, zipfile.ZIP_BZIP2), "c.dmp"),
        ("c.cab", lambda data: cabinet({"a.txt": b"hi", "c.dmp": data}), "c.dmp"),
        ("c.cab", lambda data: cabinet({"c.dmp": data}, method=0), "c.dmp"),
        ("c.tar", lambda data: tarred({"a": b"1", "c.dmp": data}), "c.dmp"),
        ("c.tgz", lambda data: gzip.compress(tarred({"c.dmp": data})), "c.tar/c.dmp"),
        ("c.zip", lambda data: zipped({"r.txt": b"", "c.xz": lzma.compress(data)}), "c.xz/c"),
    ],
)
def test_every_kind_opens(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], member: str
) -> None:
    data = dump(0x77, padding=200_000)
    target = opened(tmp_path, pack(data), name)
    assert target.member == member
    assert target.path.endswith(name)
    assert [thread.id for thread in target.threads()] == [0x77]
    assert len(target.memory.read(0x100000, 200_000)) == 200_000
    target.close()


def test_long_tar_names(tmp_path: Path) -> None:
    name = "folder/" * 40 + "crash.dmp"
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert opened(tmp_path, tarred({name: GOOD}, kind), "a.tar").member == name


def test_several_streams_are_one_file(tmp_path: Path) -> None:
    half = len(GOOD) // 2
    packed = gzip.compress(GOOD[:half]) + gzip.compress(GOOD[half:]) + b"\0" * 9 + b"trailing"
    assert opened(tmp_path, packed, "c.gz").threads()


def test_the_first_dump_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    files = {"__MACOSX/._a.dmp": b"", "read.me": b"x", "noname": dump(1), "b.DMP": dump(2)}
    target = opened(tmp_path, zipped(files))
    assert target.member == "noname"
    (warning,) = target.warnings()
    assert warning.identifier == "dump.many-in-archive"
    assert "2 dumps" in warning.message
    assert "noname, b.DMP" in warning.message


def test_a_member_may_be_picked(tmp_path: Path) -> None:
    files = {"x/a.dmp": dump(1), "x/b.dmp": dump(2)}
    for wanted in ("x/b.dmp", "x\\B.dmp", "b.dmp"):
        assert opened(tmp_path, zipped(files), member=wanted).threads()[0].id == 2
    packed = gzip.compress(tarred(files))
    assert opened(tmp_path, packed, "a.tgz", "b.dmp").threads()[0].id == 2
    inner = zipped({"one.zip": zipped(files), "two.zip": zipped({"b.dmp": dump(3)})})
    assert opened(tmp_path, inner, member="two.zip/b.dmp").threads()[0].id == 3
    error = refused(tmp_path, zipped(files), member="c.dmp")
    assert error.identifier == "dump.no-such-member"
    assert "x/a.dmp, x/b.dmp" in error.hint


def test_no_dump_inside(tmp_path: Path) -> None:
    error = refused(tmp_path, zipped({"a.txt": b"a", "evil\x1b[2J/../b": b"b"}))
    assert error.identifier == "dump.no-dump-inside"
    assert "a.txt" in error.hint
    assert "\x1b" not in error.hint
    assert refused(tmp_path, zipped({})).identifier == "dump.no-dump-inside"
    error = refused(tmp_path, gzip.compress(b"just text, nothing else"), "t.gz")
    assert error.identifier == "dump.unknown-format"
    assert "t.gz: t: " in error.message


def test_names_are_never_paths(tmp_path: Path) -> None:
    target = opened(tmp_path, zipped({"../../up.dmp": GOOD}))
    assert target.member == "../../up.dmp"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_encrypted(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.dmp": GOOD}))
    data[6] |= 1
    data[data.rindex(b"PK\1\2") + 8] |= 1
    error = refused(tmp_path, bytes(data))
    assert error.identifier == "dump.bad-archive"
    assert "encrypted" in error.message
    assert "password" in error.hint


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(64), "dump.codec-missing"),
        (b"Rar!\x1a\x07\1\0" + bytes(64), "dump.codec-missing"),
        (b"\x04\x22\x4d\x18" + bytes(64), "dump.codec-missing"),
        (cabinet({"a.dmp": GOOD}, method=4), "dump.codec-missing"),
        (cabinet({"a.dmp": GOOD}, method=3), "dump.bad-archive"),
        (zipped({"a.dmp": GOOD}, zipfile.ZIP_LZMA), "dump.codec-missing"),
        (zipped({"a.dmp": GOOD})[:-30], "dump.bad-archive"),
        (gzip.compress(GOOD)[:-20], "dump.bad-archive"),
        (lzma.compress(GOOD)[:-40], "dump.bad-archive"),
        (bz2.compress(GOOD)[:-20], "dump.bad-archive"),
        (zstd.compress(GOOD)[:-10], "dump.bad-archive"),
        (b"PK\3\4" + bytes(60), "dump.bad-archive"),
        (b"MSCF" + bytes(60), "dump.bad-archive"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 60, "dump.bad-archive"),
        (b"\xfd7zXZ\0" + b"\xff" * 60, "dump.bad-archive"),
        (b"BZh9" + b"\xff" * 60, "dump.bad-archive"),
        (b"\x1f\x8b\x08" + b"\xff" * 60, "dump.bad-archive"),
    ],
)
def test_refused_or_damaged(tmp_path: Path, data: bytes, identifier: str) -> None:
    assert refused(tmp_path, data).identifier == identifier


def test_missing_codec_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, zstd.__name__, None)
    if sys.version_info < (3, 14):
        monkeypatch.delattr("backports.zstd")
    error = refused(tmp_path, zstd.compress(GOOD))
    assert error.identifier == "dump.codec-missing"
    assert "backports.zstd" in error.hint
    monkeypatch.setattr("polydbg.formats.archives.cabinet.find_spec", lambda name: None)
    error = refused(tmp_path, cabinet({"a.dmp": GOOD}, method=3))
    assert error.identifier == "dump.codec-missing"
    assert "LZX" in error.message


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polydbg.targets.archive.FREE_UNPACKED", 1 << 20)
    bomb = bz2.compress(bytes(64 << 20))
    error = refused(tmp_path, bomb)
    assert error.identifier == "dump.bad-archive"
    assert "allowed" in error.message
    nested = zipped({"a.dmp.bz2": bomb, "b": b"x"})
    assert refused(tmp_path, nested).identifier == "dump.bad-archive"


def test_depth(tmp_path: Path) -> None:
    three = gzip.compress(gzip.compress(gzip.compress(GOOD)))
    assert opened(tmp_path, three, "c.gz").threads()
    error = refused(tmp_path, gzip.compress(three), "c.gz")
    assert error.identifier == "dump.bad-archive"
    assert "deep" in error.message


def test_overlapping_members_and_lies_about_sizes(tmp_path: Path) -> None:
    data = zipped({"a.dmp": GOOD, "b.dmp": GOOD})
    second = bytearray(data)
    at = data.rindex(b"PK\1\2")
    second[at + 42 : at + 46] = struct.pack("<I", 0)  # b's header is that of a
    assert opened(tmp_path, bytes(second), member="b.dmp").threads()
    lie = bytearray(data)
    at = data.index(b"PK\1\2")
    lie[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    assert refused(tmp_path, bytes(lie)).identifier == "dump.bad-archive"
    lie[at + 24 : at + 28] = struct.pack("<I", 5)
    assert refused(tmp_path, bytes(lie)).identifier == "dump.bad-archive"


def test_member_of_no_archive(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD, "plain.dmp", "a.dmp")
    assert error.identifier == "dump.bad-archive"


def test_unpacking_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(dump(padding=1 << 20)))
    cancel = CancelToken()
    steps: list[tuple[str, int, int]] = []

    def progress(text: str, done: int, total: int) -> None:
        steps.append((text, done, total))
        if done > 300_000:
            cancel.cancel()

    with pytest.raises(Cancelled):
        open_target(str(path), "", cancel, progress)
    assert steps[-1][1] < steps[-1][2]
    assert steps[0][0].startswith("Unpacking ")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    target = opened(tmp_path, gzip.compress(GOOD), "a.gz")
    if os.name == "posix":
        assert not list(folder.iterdir())
    target.close()
    assert not list(folder.iterdir())


def test_hostile_sizes_in_tar_and_zip_headers(tmp_path: Path) -> None:
    header = bytearray(tarred({"a.dmp": b""})[-10240:][:512])
    header[124:136] = b"\x80" + b"\xff" * 11  # in base 256: more than any offset
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + bytes(1024))
    with open(path, "rb") as stream, pytest.raises(FormatError):
        list(expand_first(stream, path.stat().st_size, 1 << 20))
    data = bytearray(zipped({"a.dmp": GOOD}))
    data[-10:-6] = (65 << 20).to_bytes(4, "little")
    data[:0] = bytes(66 << 20)
    stream_of = io.BytesIO(b"PK\3\4" + bytes(data))
    with pytest.raises(FormatError):
        list(expand_first(stream_of, len(data) + 4, 1 << 20))
