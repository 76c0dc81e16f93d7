"""Lists of the files that modules want: read from what ``sym list --json`` printed on another
machine, which is not believed, or taken from a dump of this one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from polydbg.base.errors import DebuggerError, TargetError
from polydbg.commands.output import Failure
from polydbg.commands.symbol_ids import IDS_VERSION, FileId, ModuleIds, SymbolIds
from polydbg.service.api import Event, Item, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient

_MAX_BYTES = 64 << 20
_MAX_FILES = 100_000
_IMAGES = ("image", "executable")
_HINT = "polydbg sym list DUMP --json > ids.json makes one"


class ModuleFiles(msgspec.Struct, frozen=True):
    """The files of one module that are to be fetched. *has_symbols*: it has symbols where it was
    listed, so that nothing else needs to serve instead of them."""

    files: tuple[FileId, ...]
    has_symbols: bool = False


class IdList(msgspec.Struct, frozen=True):
    """What the modules of *dumps* want."""

    dumps: tuple[str, ...]
    modules: tuple[ModuleFiles, ...]


class _Line(msgspec.Struct, frozen=True):
    """The part of a line of JSON that counts."""

    items: tuple[dict[str, object], ...] = ()


class _Module(msgspec.Struct, frozen=True):
    files: tuple[FileId, ...] = ()


def read_id_lists(
    sources: Sequence[str], symbol_path: str | None, image_path: str | None
) -> IdList:
    """Return the ids in files of ids and of dumps, which are opened with these paths.

    :raises DebuggerError: a source is neither, cannot be read, or lists too much.
    """
    dumps: list[str] = []
    modules: list[ModuleFiles] = []
    for source in sources:
        if _holds_ids(source):
            _take_file(source, dumps, modules)
        else:
            _take_dump(source, symbol_path, image_path, dumps, modules)
        if sum(len(module.files) for module in modules) > _MAX_FILES:
            raise TargetError(f"more than {_MAX_FILES} files are listed")
    return IdList(tuple(dumps), tuple(modules))


def _holds_ids(source: str) -> bool:
    """Tell whether a file begins as JSON does. :raises TargetError: it cannot be read."""
    try:
        with open(source, "rb") as file:
            return _utf8(file.read(64)).lstrip().startswith(b"{")
    except OSError as error:
        words = error.strerror or str(error)
        raise TargetError(f"cannot read {source}: {words}", identifier="dump.not-found") from error


def _utf8(data: bytes) -> bytes:
    """Return *data* without a byte-order mark: PowerShell's ``>`` writes UTF-16 with one."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data[: len(data) & ~1].decode("utf-16", "replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _take_file(source: str, dumps: list[str], modules: list[ModuleFiles]) -> None:
    """Read JSON objects, one a line, as ``--json`` prints them. What is at hand on the machine that
    they were made on is not needed there."""
    if os.path.getsize(source) > _MAX_BYTES:
        raise TargetError(f"{source} is no file of ids: it is too large", hint=_HINT)
    with open(source, "rb") as file:
        data = _utf8(file.read(_MAX_BYTES))
    count = len(dumps)
    try:
        for line in msgspec.json.Decoder(_Line).decode_lines(data):
            for raw in line.items:
                if raw.get("type") == "symbol_ids":
                    dumps.append(_checked(msgspec.convert(raw, SymbolIds), source).dump)
                elif raw.get("type") == "module_ids":
                    files = msgspec.convert(raw, _Module).files
                    lacking = tuple(file for file in files if not file.found)
                    here = any(f.found for f in files if f.kind not in _IMAGES)
                    modules.append(ModuleFiles(lacking, here))
    except (msgspec.DecodeError, RecursionError) as error:
        raise TargetError(f"{source} is no file of ids: {error}", hint=_HINT) from None
    if len(dumps) == count:
        raise TargetError(f"{source} is no file of ids", hint=_HINT)


def _checked(header: SymbolIds, source: str) -> SymbolIds:
    if header.version != IDS_VERSION:
        raise TargetError(
            f"{source} has ids of version {header.version}, not {IDS_VERSION}",
            hint="use the same polydbg on both machines",
        )
    return header


def _take_dump(
    dump: str,
    symbol_path: str | None,
    image_path: str | None,
    dumps: list[str],
    modules: list[ModuleFiles],
) -> None:
    """Take what ``!sym list`` says of a dump. :raises DebuggerError: it cannot be opened."""
    client = LocalClient()
    try:
        opening = OpenRequest([dump], symbol_path, image_path, first_screen=False, offline=True)
        for item in (*_items(client.open(opening)), *_items(client.execute("!sym list"))):
            if isinstance(item, Failure):
                raise DebuggerError(item.message, hint=item.hint, identifier=item.identifier)
            if isinstance(item, SymbolIds):
                dumps.append(item.dump)
            elif isinstance(item, ModuleIds):
                modules.append(ModuleFiles(item.files))
    finally:
        client.close()


def _items(events: Iterator[Event]) -> Iterator[Item]:
    return (item for event in events if isinstance(event, ItemsEvent) for item in event.items)
