"""Which layers make up a container image: ``docker save``, old and new, and OCI image layouts.

Sources: the OCI image specification (image layout, index, manifest) and Docker's image
specification v1.0 to v1.2 (``repositories`` with a ``json`` and a ``layer.tar`` for each layer;
``manifest.json``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.text import sanitise_line

MAX_JSON = 16 << 20
MAX_LAYERS = 512  # Docker allows 127
MAX_IMAGES = 256
_MAX_NESTING = 4

# Names of processors here and in images (Go's): https://go.dev/doc/install/source#environment
_GO_ARCHITECTURES = {
    "amd64": ("amd64",),
    "x86": ("386",),
    "arm64": ("arm64",),
    "arm": ("arm",),
    "riscv64": ("riscv64",),
    "ppc64": ("ppc64le", "ppc64"),
    "s390x": ("s390x",),
    "mips": ("mipsle", "mips"),
    "mips64": ("mips64le", "mips64"),
    "loongarch64": ("loong64",),
}

Read = Callable[[str], bytes | None]
"""Returns the file at a path of the archive, at most :data:`MAX_JSON` bytes of it, or ``None``."""


class ContainerImage(msgspec.Struct, frozen=True):
    """An image: its *name* (tag or digest), the processor as it calls it (``""``: it does not say),
    and its layers' paths in the archive, the lowest first."""

    name: str
    architecture: str
    layers: tuple[str, ...]

    def runs_on(self, arch: str) -> bool:
        """Tell whether it is for the processor that polydbg calls *arch*."""
        return self.architecture in _GO_ARCHITECTURES.get(arch, (arch,))


class _Saved(msgspec.Struct, rename="pascal"):
    """An element of Docker's ``manifest.json``."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""


class _Descriptor(msgspec.Struct):
    digest: str
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct):
    """An OCI index (*manifests*) or a manifest (*layers*); both have one media type too many to
    tell them apart by it."""

    manifests: list[_Descriptor] | None = None
    layers: list[_Descriptor] | None = None
    config: _Descriptor | None = None


class _Config(msgspec.Struct):
    """An image's configuration, or a layer's ``json`` of old, which names the layer below it."""

    architecture: str = ""
    parent: str = ""


def images(read: Read) -> list[ContainerImage]:
    """Return the images of an archive in its order; none when it is no archive of images.

    Images whose manifest is not in the archive are left out: ``docker save`` names all platforms of
    an image and packs those that it has.

    :raises FormatError: damaged.
    """
    found: dict[tuple[str, tuple[str, ...]], ContainerImage] = {}
    saved, index, repositories = (read(n) for n in ("manifest.json", "index.json", "repositories"))
    readers: list[Iterator[ContainerImage]] = []
    if saved is not None and saved.lstrip()[:1] == b"[":
        readers.append(_saved(read, saved))
    if index is not None and read("oci-layout") is not None:
        readers.append(_layout(read, index))
    if repositories is not None and not readers:
        readers.append(_repositories(read, repositories))
    for reader in readers:
        for image in reader:
            if len(image.layers) > MAX_LAYERS:
                raise FormatError(f"an image of {len(image.layers)} layers")
            found.setdefault((image.architecture, image.layers), image)
            if len(found) >= MAX_IMAGES:
                break
    return list(found.values())


def choose(found: list[ContainerImage], arch: str) -> tuple[ContainerImage, str]:
    """Return the first of *found* for the processor *arch* (``""``: not known), else the first, and
    what to say about the choice, ``""`` where there was none to make."""
    fitting = [image for image in found if arch and image.runs_on(arch)]
    chosen = (fitting or found)[0]
    words = sanitise_line(chosen.name)[:200]
    if chosen.architecture:
        words += f" ({sanitise_line(chosen.architecture)[:40]})"
    if arch and not fitting and chosen.architecture:
        return chosen, f"no image for {arch}, took {words}"
    if len(found) == 1:
        return chosen, ""
    which = "the only one for it" if len(fitting) == 1 else "the first"
    return chosen, f"{len(found)} images, took {words}, {which}"


def _saved(read: Read, data: bytes) -> Iterator[ContainerImage]:
    for each in _decode(data, list[_Saved], "manifest.json"):
        name = (each.repo_tags or [each.config])[0]
        yield ContainerImage(name, _config(read, each.config).architecture, tuple(each.layers))


def _layout(read: Read, data: bytes) -> Iterator[ContainerImage]:
    pending = [(each, 0, "") for each in _decode(data, _Manifest, "index.json").manifests or ()]
    pending.reverse()
    for _ in range(MAX_IMAGES):
        if not pending:
            return
        descriptor, depth, name = pending.pop()
        notes = descriptor.annotations or {}
        name = next((notes[key] for key in _NAMES if key in notes), name)
        path = _blob(descriptor.digest)
        manifest_data = read(path)
        if manifest_data is None or "vnd.docker.reference.type" in notes:
            continue
        manifest = _decode(manifest_data, _Manifest, path)
        if manifest.manifests is not None and depth < _MAX_NESTING:
            pending += [(each, depth + 1, name) for each in reversed(manifest.manifests)]
        if manifest.layers is None:
            continue
        platform = descriptor.platform
        architecture = platform.architecture if platform is not None else ""
        if not architecture and manifest.config is not None:
            architecture = _config(read, _blob(manifest.config.digest)).architecture
        layers = tuple(_blob(layer.digest) for layer in manifest.layers)
        yield ContainerImage(name or descriptor.digest, architecture, layers)


_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def _repositories(read: Read, data: bytes) -> Iterator[ContainerImage]:
    """Yield the images of Docker before 1.10: each layer names the one below."""
    for repository, tags in _decode(data, dict[str, dict[str, str]], "repositories").items():
        for tag, layer in tags.items():
            ids: list[str] = []
            architecture = ""
            while layer and layer not in ids and len(ids) <= MAX_LAYERS:
                ids.append(layer)
                config = _config(read, f"{layer}/json")
                architecture = architecture or config.architecture
                layer = config.parent
            paths = tuple(f"{each}/layer.tar" for each in reversed(ids))
            yield ContainerImage(f"{repository}:{tag}", architecture, paths)


def _config(read: Read, path: str) -> _Config:
    data = read(path)
    return _Config() if data is None else _decode(data, _Config, path)


def _blob(digest: str) -> str:
    """Return where a layout keeps a blob. :raises FormatError: no digest."""
    if not re.fullmatch(r"[a-z0-9+._-]{1,32}:[0-9a-zA-Z=_-]{1,256}", digest):
        raise FormatError(f"{sanitise_line(digest)[:100]} is no digest")
    return f"blobs/{digest.replace(':', '/')}"


_T = TypeVar("_T")


def _decode(data: bytes, kind: type[_T], path: str) -> _T:
    if len(data) > MAX_JSON:
        raise FormatError(f"{sanitise_line(path)} is too long")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{sanitise_line(path)[:200]}: {sanitise_line(str(error))}") from error
