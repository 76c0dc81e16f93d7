"""Where separate debug files lie, as GDB and the distributions lay them out.

By build id in ``.build-id`` trees (``.build-id/ab/cdef.debug``), or by the name that
``.gnu_debuglink`` records: beside the image, in ``.debug`` there, and under ``/usr/lib/debug``.
PE files have a build id too: the GUID of their CodeView record, written as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from polydbg.engine.settings import Settings
from polydbg.formats.elf.debug_links import DebugLink
from polydbg.symbols.store.hostpath import host_path, unsafe_reason
from polydbg.symbols.store.path import is_url

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
            yield root / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug", True
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


def symbol_directories(settings: Settings) -> Iterator[Path]:
    """Yield the directories of the symbol path."""
    for element in settings.symbol_path.elements:
        for text in element.stores:
            root = host_path(text) if text and not is_url(text) else None
            if root is not None:
                yield root
