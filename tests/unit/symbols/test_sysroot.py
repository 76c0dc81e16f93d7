"""Root file systems as folders and archives: the file at a path, white-outs, links, damage."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import mmap
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, TargetError
from polydbg.formats.archives import streams
from polydbg.symbols.store import file_tree
from polydbg.symbols.store.root_paths import path_candidates
from polydbg.symbols.store.sysroot import Sysroot, open_sysroot
from polydbg.testing.container_builder import (
    Layer,
    docker_files,
    oci_files,
    repositories_files,
    tar_of,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
posix_only = pytest.mark.skipif(os.name != "posix", reason="links and pipes")


def base_layer() -> bytes:
    layer = Layer().link("lib", "usr/lib").folder("usr/").folder("usr/lib/x86_64-linux-gnu")
    layer.file("usr/lib/x86_64-linux-gnu/libc.so.6", b"old libc")
    layer.file("usr/lib/libgone.so", b"gone").file("opt/cache/a.so", b"a")
    return layer.file("app/server", b"server of the base").build()


def top_layer() -> bytes:
    # Docker's own order: a white-out may stand before or behind what its layer adds.
    layer = Layer().file("opt/cache/b.so", b"b").white_out("opt/cache/")
    layer.file("lib/x86_64-linux-gnu/libc.so.6", b"new libc").white_out("lib/libgone.so")
    layer.hard_link("app/server-2", "app/server").link("app/abs", LIBC)
    layer.link("app/up", "../../../../lib/x86_64-linux-gnu/libc.so.6")
    return layer.link("app/round", "round").pipe("app/pipe").build()


LAYERS = (base_layer(), top_layer())
PACKS: list[Callable[[bytes], bytes]] = [
    bytes, gzip.compress, zstd.compress, lzma.compress, bz2.compress,
]  # fmt: skip


def root(tmp_path: Path, data: bytes, name: str = "app.tar", arch: str = "") -> Sysroot:
    path = tmp_path / name
    path.write_bytes(data)
    return open_sysroot(str(path), arch)


def content(sysroot: Sysroot, path: str) -> bytes | None:
    found = sysroot.find(path)
    return None if found is None else bytes(found.buffer)


def check_image(sysroot: Sysroot) -> None:
    assert content(sysroot, LIBC) == b"new libc"
    found = sysroot.find("/lib/x86_64-linux-gnu/../x86_64-linux-gnu/libc.so.6")
    assert found is not None
    assert found.path == LIBC
    assert found.shown == f"{sysroot.path}!{LIBC}"
    assert content(sysroot, "/app/abs") == content(sysroot, "/app/up") == b"new libc"
    assert content(sysroot, "/app/server-2") == b"server of the base"
    assert content(sysroot, "/opt/cache/b.so") == b"b"
    for absent in ("/opt/cache/a.so", "/usr/lib/libgone.so", "/usr/lib", "/", "/app/pipe", "/x"):
        assert sysroot.find(absent) is None
    assert sysroot.named("/elsewhere/libc.so.6") == [LIBC]
    assert sysroot.named("/libgone.so") == []
    with pytest.raises(TargetError) as caught:
        sysroot.find("/app/round")
    assert caught.value.identifier == "sysroot.links"


@pytest.mark.parametrize("outer", PACKS)
def test_docker_save(tmp_path: Path, outer: Callable[[bytes], bytes]) -> None:
    check_image(root(tmp_path, outer(tar_of(docker_files(LAYERS)))))


def test_docker_save_of_old(tmp_path: Path) -> None:
    check_image(root(tmp_path, tar_of(repositories_files(LAYERS))))


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("outer", [bytes, gzip.compress])
def test_oci_layout(
    tmp_path: Path, pack: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]
) -> None:
    check_image(root(tmp_path, outer(tar_of(oci_files([("amd64", LAYERS)], pack)))))


@pytest.mark.parametrize("files", [oci_files([("amd64", LAYERS)]), docker_files(LAYERS)])
def test_image_as_a_folder(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    check_image(open_sysroot(str(tmp_path)))


def test_layer_that_is_a_link_to_another(tmp_path: Path) -> None:
    """Docker packs a layer that an image has twice once, and podman all layers, under a link."""
    files = docker_files(LAYERS)
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Layers"][1] = "other/layer.tar"
    archive = Layer().link("other/layer.tar", f"../{[*files][1]}")
    for name, data in files.items():
        archive.file(name, json.dumps(manifest).encode() if name == "manifest.json" else data)
    check_image(root(tmp_path, archive.build()))


def test_uncompressed_layers_are_mapped(tmp_path: Path) -> None:
    sysroot = root(tmp_path, tar_of(docker_files(LAYERS)))
    found = sysroot.find(LIBC)
    assert found is not None
    assert isinstance(found.buffer, memoryview)
    mapping = found.buffer.obj
    assert isinstance(mapping, mmap.mmap)
    assert len(mapping) == os.path.getsize(sysroot.path)
    sysroot.close()
    assert bytes(found.buffer) == b"new libc"


def test_the_image_of_the_processor_is_taken(tmp_path: Path) -> None:
    other = (Layer().file("a", b"arm").build(),)
    data = tar_of(oci_files([("arm64", other), ("amd64", LAYERS), ("386", other)]))
    sysroot = root(tmp_path, data, arch="amd64")
    assert content(sysroot, LIBC) == b"new libc"
    (warning,) = sysroot.warnings
    assert warning.identifier == "sysroot.image"
    assert warning.message.endswith("3 images, took app:1 (amd64), the only one for it")
    sysroot = root(tmp_path, data)
    assert content(sysroot, "/a") == b"arm"
    assert sysroot.warnings[0].message.endswith("3 images, took app:1 (arm64), the first")
    sysroot = root(tmp_path, data, arch="s390x")
    assert content(sysroot, "/a") == b"arm"
    assert "no image for s390x, took app:1 (arm64)" in sysroot.warnings[0].message


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("prefix", ["", "./", "rootfs/", "./my root/"])
def test_plain_root(tmp_path: Path, pack: Callable[[bytes], bytes], prefix: str) -> None:
    layer = Layer(tarfile.GNU_FORMAT).folder(prefix or "usr")
    layer.file(f"{prefix}usr/lib/libc.so.6", b"libc").link(f"{prefix}lib", "/usr/lib")
    sysroot = root(tmp_path, pack(layer.build()))
    assert content(sysroot, "/lib/libc.so.6") == b"libc"
    folder = prefix.strip("./")
    assert [each.identifier for each in sysroot.warnings] == ["sysroot.folder"] * bool(folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path: Path, method: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("usr/lib/libc.so.6", b"libc" * 100)
        link = zipfile.ZipInfo("lib")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "usr/lib")
    sysroot = root(tmp_path, stream.getvalue(), "root.zip")
    assert content(sysroot, "/lib/libc.so.6") == b"libc" * 100


@posix_only
def test_folder(tmp_path: Path) -> None:
    base, outside = tmp_path / "root", tmp_path / "secret"
    outside.write_bytes(b"secret")
    (base / "usr/lib/deep").mkdir(parents=True)
    (base / "usr/lib/libc.so.6").write_bytes(b"libc")
    (base / "empty").write_bytes(b"")
    for name, target in {
        "lib": "usr/lib", "abs": "/usr/lib/libc.so.6", "up": f"..{outside}", "a": "b", "b": "a",
        "out": "../secret", "file/x": "",
    }.items():  # fmt: skip
        if target:
            (base / name).symlink_to(target)
    os.mkfifo(base / "pipe")
    sysroot = open_sysroot(str(base))
    found = sysroot.find("/lib/deep/../libc.so.6")
    assert found is not None
    assert (found.path, bytes(found.buffer)) == ("/usr/lib/libc.so.6", b"libc")
    assert found.host_path == found.shown == str(base / "usr/lib/libc.so.6")
    assert content(sysroot, "/abs") == b"libc"
    assert content(sysroot, "/empty") == b""
    for absent in ("/up", "/out", "/../secret", f"/{'../' * 30}{outside}", "/lib", "/empty/x"):
        assert sysroot.find(absent) is None
    for path, identifier in (("/a", "sysroot.links"), ("/pipe", "sysroot.not-a-file")):
        with pytest.raises(TargetError) as caught:
            sysroot.find(path)
        assert caught.value.identifier == identifier
        assert caught.value.hint
    assert sysroot.named("/nowhere/libc.so.6") == ["/usr/lib/libc.so.6"]
    assert sysroot.find("/with\0nul") is None


def test_names_nearest_first(tmp_path: Path) -> None:
    files = {"a/libx.so": b"1", "b/lib/libx.so": b"2", "c/usr/lib/libx.so": b"3"}
    sysroot = root(tmp_path, tar_of(files))
    assert sysroot.named("/usr/lib/libx.so") == [
        "/c/usr/lib/libx.so", "/b/lib/libx.so", "/a/libx.so",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        (b"", "sysroot.bad-archive"),
        (b"hello" * 200, "sysroot.bad-archive"),
        (gzip.compress(b"hello" * 200, mtime=0), "sysroot.bad-archive"),
        (gzip.compress(LAYERS[0])[:-20], "sysroot.bad-archive"),
        (tar_of({"manifest.json": b"[{"}), "sysroot.bad-archive"),
        (tar_of({"manifest.json": b"[" * 100_000}), "sysroot.bad-archive"),
        (tar_of({"repositories": b"[1]"}), "sysroot.bad-archive"),
        (tar_of({"oci-layout": b"", "index.json": b'{"manifests":[{"digest":"../x"}]}'}),
         "sysroot.bad-archive"),
        (tar_of(docker_files([b"no tar" * 100])), "sysroot.bad-archive"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, data: bytes, identifier: str) -> None:
    with pytest.raises(TargetError) as caught:
        root(tmp_path, data).find(LIBC)
    assert caught.value.identifier == identifier
    assert caught.value.hint
    assert "app.tar" in caught.value.message


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        open_sysroot(str(tmp_path / "x"))
    assert caught.value.identifier == "sysroot.not-found"


def test_missing_layers_are_said(tmp_path: Path) -> None:
    files = docker_files(LAYERS)
    del files[next(iter(files))]
    sysroot = root(tmp_path, tar_of(files))
    assert content(sysroot, "/lib/x86_64-linux-gnu/libc.so.6") == b"new libc"
    assert [each.identifier for each in sysroot.warnings] == ["sysroot.layers-missing"]


@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_an_archive_that_is_cut_short_is_said(tmp_path: Path, kept: float) -> None:
    layer = Layer().file("usr/lib/liba.so", b"a" * 4000).file("usr/lib/libb.so", b"b" * 4000)
    data = layer.build()
    sysroot = root(tmp_path, data)
    assert content(sysroot, "/usr/lib/libb.so") == b"b" * 4000
    assert not sysroot.warnings
    image = tar_of(docker_files([data] * 3))
    sysroot = root(tmp_path, image[: int(len(image) * kept)], "cut.tar")
    assert content(sysroot, "/usr/lib/libb.so") is None
    assert [each.identifier for each in sysroot.warnings] == ["sysroot.cut-short"]
    assert "ends too early" in sysroot.warnings[0].message


def test_empty_layer(tmp_path: Path) -> None:
    check_image(root(tmp_path, tar_of(docker_files([LAYERS[0], bytes(1024), LAYERS[1]]))))


def test_hostile_names_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer().file("../../etc/passwd", b"x").file("a/../../b", b"x")
    layer.file("/".join("d" * 500), b"x").link("self", "self/x").file("self/y", b"y")
    for number in range(40):
        layer.file(f"many/{number}", b"")
    layer.link("up", "../../..").file("up/usr/lib/ok", b"ok").hard_link("h", "../../etc/passwd")
    sysroot = root(tmp_path, layer.build())
    assert content(sysroot, "/usr/lib/ok") == b"ok"
    for absent in ("/etc/passwd", "/b", "/h"):
        assert sysroot.find(absent) is None
    monkeypatch.setattr(file_tree, "MAX_FILES", 20)
    sysroot = root(tmp_path, layer.build())
    assert content(sysroot, "/many/1") == b""
    assert sysroot.find("/many/39") is None
    assert [each.identifier for each in sysroot.warnings] == ["sysroot.many-files"]


def test_bombs_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polydbg.symbols.store import packed_root

    monkeypatch.setattr(packed_root, "FREE_EXPANDED", 1 << 20)
    bomb = gzip.compress(Layer().file("a", bytes(8 << 20)).file("b", b"b").build())
    with pytest.raises(TargetError) as caught:
        root(tmp_path, bomb).find("/b")
    assert "expands to" in caught.value.message


def test_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(LAYERS[0]))
    cancel = CancelToken()
    seen: list[str] = []
    sysroot = open_sysroot(str(path), "", cancel, lambda text, done, total: seen.append(text))
    cancel.cancel()
    with pytest.raises(Cancelled):
        sysroot.find("/x")
    cancel.reset()
    assert content(sysroot, "/app/server") == b"server of the base"
    assert seen[0] == f"Reading {path}"


@pytest.mark.parametrize("codec", ["gzip", "zstd", "xz"])
def test_expanded_streams_go_back(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from polydbg.formats.archives.archive import Budget

    monkeypatch.setattr(streams, "FIRST_SPACING", 1 << 17)
    monkeypatch.setattr(streams, "MAX_POINTS", 4)
    data = os.urandom(1 << 16) * 40 + b"end"
    packs: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstd.compress,
        "xz": lzma.compress,
    }
    pack = packs[codec]
    packed = pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])
    budget = Budget(len(packed), len(data), len(data))  # what is read again does not count again
    stream = streams.ExpandedStream(streams.BufferStream(packed), codec, budget)
    for at in (0, len(data) - 3, 5, 1 << 20, len(data) // 2 - 1, 70_000, len(data) + 9, 1 << 21):
        stream.seek(at)
        assert stream.tell() == min(at, len(data))
        assert stream.read(100_000) == data[at : at + 100_000]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/libc.so.6", ["/usr/lib/libc.so.6", "/lib/libc.so.6"]),
        ("/lib/x (deleted)", ["/lib/x", "/usr/lib/x"]),
        ("/opt/app/../x//y", ["/opt/x/y"]),
        ("/var/lib/docker/overlay2/3fa/merged/opt/x (deleted)",
         ["/var/lib/docker/overlay2/3fa/merged/opt/x", "/opt/x"]),
        ("/proc/77/root/opt/x", ["/proc/77/root/opt/x", "/opt/x"]),
        ("/snap/core20/1405/bin/x", ["/snap/core20/1405/bin/x", "/bin/x", "/usr/bin/x"]),
        ("/run/containerd/io.containerd.runtime.v2.task/k8s.io/ab/rootfs/opt/x",
         ["/run/containerd/io.containerd.runtime.v2.task/k8s.io/ab/rootfs/opt/x", "/opt/x"]),
        ("/home/u/.local/share/containers/storage/overlay/ab/merged/opt/x",
         ["/home/u/.local/share/containers/storage/overlay/ab/merged/opt/x", "/opt/x"]),
        ("/var/lib/flatpak/app/org.x/x86_64/stable/ab12/files/bin/x",
         ["/var/lib/flatpak/app/org.x/x86_64/stable/ab12/files/bin/x", "/app/bin/x"]),
        ("/usr/lib64/libx.so;5f3c2a1b (deleted)",
         ["/usr/lib64/libx.so", "/lib64/libx.so", "/usr/lib64/libx.so;5f3c2a1b",
          "/lib64/libx.so;5f3c2a1b"]),
        ("/memfd:doublemapper (deleted)", []), ("[vdso]", []), ("/SYSV00000000 (deleted)", []),
        ("//anon", []), ("", []), ("relative/x", []), ("/" * 5000, []),
    ],
)  # fmt: skip
def test_path_candidates(path: str, expected: list[str]) -> None:
    assert path_candidates(path) == expected
