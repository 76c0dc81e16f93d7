"""Builds container images for tests: what ``docker save`` writes, old and new, and OCI layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence

Pack = Callable[[bytes], bytes]


class Layer:
    """Entries of a tar file, in the order in which they are added."""

    def __init__(self, format: int = tarfile.PAX_FORMAT) -> None:
        self._stream = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="w", format=format)

    def file(self, name: str, data: bytes = b"") -> Layer:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def link(self, name: str, target: str) -> Layer:
        return self._special(name, tarfile.SYMTYPE, target)

    def hard_link(self, name: str, target: str) -> Layer:
        return self._special(name, tarfile.LNKTYPE, target)

    def folder(self, name: str) -> Layer:
        return self._special(name, tarfile.DIRTYPE)

    def pipe(self, name: str) -> Layer:
        return self._special(name, tarfile.FIFOTYPE)

    def white_out(self, name: str) -> Layer:
        """Remove *name* of the layers below; ``folder/`` empties a folder."""
        folder, _, base = name.rpartition("/")
        return self.file(f"{folder}/.wh.{base or '.wh..opq'}" if folder else f".wh.{base}")

    def build(self) -> bytes:
        self._tar.close()
        return self._stream.getvalue()

    def _special(self, name: str, kind: bytes, target: str = "") -> Layer:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        self._tar.addfile(info)
        return self


def tar_of(files: dict[str, bytes]) -> bytes:
    layer = Layer()
    for name, data in files.items():
        layer.file(name, data)
    return layer.build()


def docker_files(
    layers: Sequence[bytes], tag: str = "app:1", architecture: str = "amd64"
) -> dict[str, bytes]:
    """Return the files of ``docker save`` before version 25 for one image."""
    names = [f"{hashlib.sha256(layer).hexdigest()}/layer.tar" for layer in layers]
    config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    config_name = f"{hashlib.sha256(config + tag.encode()).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    files[config_name] = config
    files["manifest.json"] = json.dumps(manifest).encode()
    return files


def repositories_files(layers: Sequence[bytes], architecture: str = "amd64") -> dict[str, bytes]:
    """Return the files of ``docker save`` before version 1.10."""
    files: dict[str, bytes] = {}
    parent = ""
    for number, layer in enumerate(layers):
        config = {"id": f"layer{number}", "parent": parent, "architecture": architecture}
        parent = f"layer{number}"
        files[f"{parent}/json"] = json.dumps({k: v for k, v in config.items() if v}).encode()
        files[f"{parent}/layer.tar"] = layer
    files["repositories"] = json.dumps({"app": {"latest": parent}}).encode()
    return files


def oci_files(
    images: Sequence[tuple[str, Sequence[bytes]]], pack: Pack = gzip.compress
) -> dict[str, bytes]:
    """Return the files of an OCI layout of one image for several (processor, layers)."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def dumped(value: object, kind: str) -> dict[str, object]:
        return blob(json.dumps(value).encode(), kind)

    manifests = []
    for architecture, layers in images:
        config = dumped({"architecture": architecture, "os": "linux"}, "config.v1+json")
        packed = [blob(pack(layer), "layer.v1.tar+gzip") for layer in layers]
        manifest = dumped(
            {"schemaVersion": 2, "config": config, "layers": packed}, "manifest.v1+json"
        )
        manifests.append(manifest | {"platform": {"architecture": architecture, "os": "linux"}})
    unpacked_elsewhere = {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1}
    index = dumped({"schemaVersion": 2, "manifests": [*manifests, unpacked_elsewhere]}, "index")
    name = {"org.opencontainers.image.ref.name": "app:1"}
    top = {"schemaVersion": 2, "manifests": [index | {"annotations": name}]}
    files["index.json"] = json.dumps(top).encode()
    return files
