"""Write an image of two layers as ``docker save`` does: make_image.py PROGRAM IMAGE.tar

The first layer has an older program under the same name and a file that the second one deletes.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def packed(files: dict[str, bytes]) -> bytes:
    """Return a tar of *files* by path; what is named ``.../`` is a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def main() -> None:
    program, image = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    layers = [
        packed({"app/kiosk": b"#!/bin/sh\n# of the base image\n", "app/notes": b"old\n"}),
        packed({"app/kiosk": program, "app/.wh.notes": b""}),
    ]
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/app/kiosk", "--rows", "3"], "Env": ["HALL=1"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each}" for each in digests]},
    }
    text = json.dumps(config, indent=1).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    paths = [f"{each}/layer.tar" for each in digests]
    manifest = [{"Config": name, "RepoTags": ["kiosk:practice"], "Layers": paths}]
    files = {name: text, **dict(zip(paths, layers, strict=True))}
    image.write_bytes(packed({**files, "manifest.json": json.dumps(manifest).encode()}))


main()
