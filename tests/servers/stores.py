"""What symbol stores hold, as files by path for a server in memory."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from polydbg.images.pe import PeImage
from polydbg.symbols.pdb import open_pdb

DEMO = Path(str(resources.files("polydbg") / "demo"))


def practice_store() -> dict[str, bytes]:
    """Return the PDB and the image of the practice dump, as a store over HTTP has them."""
    pdb, image = open_pdb(DEMO / "practice.pdb"), PeImage.from_file(DEMO / "practice.exe")
    assert pdb.debug_id is not None
    keys = {
        "practice.pdb": pdb.debug_id.key,
        "practice.exe": f"{image.timestamp:08X}{image.size_of_image:x}",
    }
    pdb.close()
    image.close()
    return {f"/{name}/{key}/{name}": (DEMO / name).read_bytes() for name, key in keys.items()}
