"""Names of modules as WinDbg makes them from the paths of images."""

from __future__ import annotations

import re

from polydbg.base.text import address_text

_NOT_IN_NAMES = re.compile(r"\W")


def unique_name(image_path: str, base: int, taken: set[str], pointer_size: int = 8) -> str:
    """Return the name of the module at *base* and add it to those *taken* (in lower case); a
    second module of one name gets its base behind it, one without a name is ``image`` and its base
    (transcript live-bp of the samples)."""
    name = module_name(image_path) or f"image{address_text(base, pointer_size)}".replace("`", "_")
    if name.lower() in taken:
        name = f"{name}_{base:x}"
    taken.add(name.lower())
    return name


def module_name(image_path: str) -> str:
    """Return WinDbg's name for the module of an image: the file name without its last extension,
    with ``_`` for what an expression cannot hold."""
    file_name = re.split(r"[\\/]", image_path)[-1]
    stem, dot, _ = file_name.rpartition(".")
    return _NOT_IN_NAMES.sub("_", stem if dot and stem else file_name)
