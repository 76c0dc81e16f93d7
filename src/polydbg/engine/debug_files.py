"""Where separate debug files lie, as GDB, the distributions and debuginfod lay them out.

By build id in ``.build-id`` trees (``.build-id/ab/cdef.debug``), or by the name that
``.gnu_debuglink`` records: beside the image, in ``.debug`` there, and under ``/usr/lib/debug``.
PE files have a build id too: the GUID of their CodeView record, written as text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.engine.settings import Settings
from polydbg.symbols.store.hostpath import host_path, unsafe_reason
from polydbg.symbols.store.path import PathElement, is_url

if TYPE_CHECKING:
    from polydbg.formats.elf.debug_links import DebugLink

_DEBUG_ROOT = Path("/usr/lib/debug")


def debug_places(
    settings: Settings,
    folders: Sequence[Path],
    image_file: Path | None,
    build_id: str | None,
    link: DebugLink | None,
) -> Iterator[tuple[Path, bool]]:
    """Yield the paths that a separate debug file may have, each with whether it is one of
    *build_id*: the symbol path's, those of *folders*, then the system's."""
    roots = [*symbol_directories(settings), *folders, _DEBUG_ROOT]
    if build_id:
        for root in roots:
            yield root / f"{build_id_path(build_id)}.debug", True
    if link is None or unsafe_reason(link.name):
        return
    if image_file is not None:
        folder = image_file.parent
        yield folder / link.name, False
        yield folder / ".debug" / link.name, False
        inside = folder.absolute().relative_to(folder.absolute().anchor)
        yield _DEBUG_ROOT / inside / link.name, False
    for root in roots:
        yield root / link.name, False


def image_places(settings: Settings, build_id: str) -> Iterator[Path]:
    """Yield the paths at which an image is found by its *build_id* (``""``: not known): links of
    ``.build-id`` trees in the directories of the paths, debuginfod's cache."""
    if not build_id:
        return
    elements = settings.image_path.elements + settings.symbol_path.elements
    for root in dict.fromkeys(_directories(elements)):
        yield root / build_id_path(build_id)
    if (cached := debuginfod_file(build_id, "executable")) is not None:
        yield cached


def root_debug_paths(
    folders: Sequence[str], build_id: str | None, link: DebugLink | None
) -> list[str]:
    """Return where a root file system keeps a separate debug file; *folders* are those that the
    image may lie in there."""
    paths = [f"{_DEBUG_ROOT.as_posix()}/{build_id_path(build_id)}.debug"] if build_id else []
    if link is not None and not unsafe_reason(link.name):
        for folder in folders:
            for place in (folder, f"{folder}/.debug", f"{_DEBUG_ROOT.as_posix()}{folder}"):
                paths.append(f"{place}/{link.name}")
    return list(dict.fromkeys(paths))


def build_id_path(build_id: str) -> str:
    """Return where ``.build-id`` trees have what belongs to *build_id*, without an extension."""
    return f".build-id/{build_id[:2]}/{build_id[2:]}"


def debuginfod_file(build_id: str, what: str) -> Path | None:
    """Return what debuginfod's client has fetched, *what* being ``executable`` or ``debuginfo``.

    Source: debuginfod_find_debuginfo(3). An empty file there says that servers have none.
    """
    place = _debuginfod_cache() / build_id / what
    try:
        return place if place.stat().st_size and place.is_file() else None
    except OSError:
        return None


def is_of_debuginfod(place: str | Path) -> bool:
    """Tell whether debuginfod's client keeps *place*: it keeps what servers send, unseen."""
    return Path(place).is_relative_to(_debuginfod_cache())


def _debuginfod_cache() -> Path:
    cache = os.environ.get("DEBUGINFOD_CACHE_PATH", "")
    if not cache:
        base = os.environ.get("XDG_CACHE_HOME", "") or os.path.join(
            os.path.expanduser("~"), ".cache"
        )
        cache = os.path.join(base, "debuginfod_client")
    return Path(cache)


def symbol_directories(settings: Settings) -> Iterator[Path]:
    """Yield the directories of the symbol path."""
    yield from _directories(settings.symbol_path.elements)


def _directories(elements: Sequence[PathElement]) -> Iterator[Path]:
    for element in elements:
        for text in element.stores:
            root = host_path(text) if text and not is_url(text) else None
            if root is not None:
                yield root
