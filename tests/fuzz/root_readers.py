"""The fuzz target of root file systems: container images and archives, read through a file."""

from __future__ import annotations

import gzip
import os
import tempfile
from contextlib import suppress

from polydbg.base.errors import DebuggerError
from polydbg.symbols.store.sysroot import open_sysroot
from polydbg.testing.container_builder import (
    Layer,
    docker_files,
    oci_files,
    repositories_files,
    tar_of,
)

_PATHS = ("/usr/lib/libx.so", "/lib/libx.so", "/app/up", "/app/round", "/opt/b")


def read_sysroot(data: bytes) -> None:
    """Look for a few files in the root that *data* is."""
    handle, path = tempfile.mkstemp(prefix="polydbg-fuzz-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        with suppress(DebuggerError):
            root = open_sysroot(path, "amd64")
            for each in _PATHS:
                with suppress(DebuggerError):
                    root.find(each)
            root.named("/elsewhere/libx.so")
            root.close()
    finally:
        os.unlink(path)


def sysroot_seeds() -> list[bytes]:
    base = Layer().link("lib", "usr/lib").file("usr/lib/libx.so", b"old").file("opt/a", b"a")
    above = Layer().white_out("opt/").file("opt/b", b"b").file("lib/libx.so", b"new")
    above.hard_link("app/x", "usr/lib/libx.so").link("app/up", "../../lib/libx.so")
    layers = [base.build(), above.link("app/round", "round").build()]
    images = [("arm64", layers[:1]), ("amd64", layers)]
    return [
        layers[0],
        tar_of(docker_files(layers)),
        tar_of(repositories_files(layers)),
        tar_of(oci_files(images)),
        gzip.compress(tar_of(oci_files(images, bytes))),
    ]
