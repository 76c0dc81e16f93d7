"""The grammar of symbol and image search paths, as typed after ``.sympath`` and ``.exepath``.

Elements are separated by ``;``. An element is a directory, a chain of stores (``srv*A*B``,
``symsrv*symsrv.dll*A*B``, a URL alone), a cache for everything to its right (``cache*``,
``cache*DIR``) or a list of debuginfod servers. Source of the grammar:
https://learn.microsoft.com/windows-hardware/drivers/debugger/advanced-symsrv-use
"""

from __future__ import annotations

import enum
import os
import re
import time
from collections.abc import Mapping

import msgspec

from polydbg.symbols.store.hostpath import (
    DirectoryCache,
    expand_variables,
    file_problem,
    host_path,
    is_windows_style,
)

MICROSOFT = "https://msdl.microsoft.com/download/symbols"
"""The server that ``.symfix`` and a bare ``srv*`` stand for."""

_POSIX = os.name == "posix"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE_ANYWHERE = re.compile(r"(?:^|[:*\"\s])[A-Za-z]:(?:[\\/]|$)")


class ElementKind(enum.Enum):
    """What an element is."""

    DIRECTORY = "directory"
    CHAIN = "chain"
    CACHE = "cache"
    DEBUGINFOD = "debuginfod"
    FOREIGN = "foreign"  # symsrv*OTHER.dll*...: a server program that cannot be loaded here


class PathElement(msgspec.Struct, frozen=True):
    """One element: *text* as typed; *stores* are its directories or URLs, ``""`` the default cache.

    The stores of a chain are ordered from the nearest to the farthest.
    """

    text: str
    kind: ElementKind
    stores: tuple[str, ...]


class PathCheck(msgspec.Struct, frozen=True):
    """A row of the path check: *status* is ``OK``, ``Error`` or ``Deferred``; *reason* of an error
    is the operating system's number and words, as the debugger prints them."""

    element: str
    status: str
    milliseconds: int
    reason: str = ""

    @property
    def row(self) -> str:
        """Return the row below ``Response  Time (ms)  Location``; 0 ms shows as nothing."""
        took = str(self.milliseconds) if self.milliseconds else ""
        return f"{self.status:<33}{took:<14}{self.element}"


def is_url(text: str) -> bool:
    """Return whether *text* is an address of a server over HTTP."""
    return text.lower().startswith(("http://", "https://"))


class SymbolPath:
    """A parsed search path: *text* as typed; *directories* remembers listings between searches."""

    def __init__(
        self,
        text: str,
        elements: tuple[PathElement, ...],
        directories: DirectoryCache | None = None,
    ) -> None:
        self.text = text
        self.elements = elements
        self.directories = directories or DirectoryCache()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolPath) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def parse(cls, text: str, *, posix: bool = _POSIX) -> SymbolPath:
        """Parse any text; nothing is an error here (:meth:`check` says what does not work)."""
        elements: list[PathElement] = []
        for part in _split(text, posix):
            element = part.strip().strip('"').strip()
            if element and "\0" not in element:
                elements.append(_parse_element(element))
        return cls(text.strip(), tuple(elements))

    @classmethod
    def from_environment(
        cls, *, images: bool = False, environ: Mapping[str, str] | None = None
    ) -> SymbolPath:
        """Return the path of the environment.

        Symbols: ``_NT_ALT_SYMBOL_PATH``, then ``_NT_SYMBOL_PATH``. Images:
        ``_NT_EXECUTABLE_IMAGE_PATH``.
        """
        environ = os.environ if environ is None else environ
        names = ["_NT_ALT_SYMBOL_PATH", "_NT_SYMBOL_PATH"]
        if images:
            names = ["_NT_EXECUTABLE_IMAGE_PATH"]
        path = cls.parse("")
        for name in names:
            path = path.appended(environ.get(name, ""))
        return path

    @classmethod
    def for_symfix(cls, cache: str = "") -> SymbolPath:
        """Return what ``.symfix [cache]`` sets."""
        return cls.parse(f"srv*{cache}*{MICROSOFT}" if cache.strip() else "srv*")

    def appended(self, text: str) -> SymbolPath:
        """Return this path with the elements of *text* behind (``.sympath+``)."""
        more = SymbolPath.parse(text)
        if not self.elements:
            return more
        if not more.elements:
            return self
        elements = self.elements + more.elements
        return SymbolPath(";".join(e.text for e in elements), elements, self.directories)

    @property
    def expanded(self) -> str:
        """Return the path with defaults and variables filled in.

        WinDbg shows Windows paths in lower case; paths of case-sensitive disks keep theirs.
        """
        return ";".join(_expand_element(element) for element in self.elements)

    def check(self) -> list[PathCheck]:
        """Touch every directory and return a row per element; servers and stores are deferred."""
        return [_check(element) for element in self.elements]


def _split(text: str, posix: bool) -> list[str]:
    if ";" in text or not posix or _SCHEME.search(text) or _DRIVE_ANYWHERE.search(text):
        return text.split(";")
    return text.split(":")


def _parse_element(text: str) -> PathElement:
    head, *parts = text.split("*")
    stores = tuple(expand_variables(part.strip()) for part in parts)
    word = head.strip().lower()
    if is_url(text):
        return PathElement(text, ElementKind.CHAIN, ("", text))
    if word == "srv" and parts:
        return PathElement(text, ElementKind.CHAIN, _chain(stores))
    if word == "symsrv" and len(parts) > 1:
        program = re.split(r"[\\/]", stores[0])[-1].lower()
        if program not in ("symsrv.dll", "symsrv"):
            return PathElement(text, ElementKind.FOREIGN, stores[1:])
        return PathElement(text, ElementKind.CHAIN, _chain(stores[1:]))
    if word == "cache" and parts:
        return PathElement(text, ElementKind.CACHE, stores[:1])
    if word == "debuginfod" and parts:
        return PathElement(text, ElementKind.DEBUGINFOD, stores)
    return PathElement(text, ElementKind.DIRECTORY, (expand_variables(text),))


def _chain(stores: tuple[str, ...]) -> tuple[str, ...]:
    """Fill in what a chain leaves out: ``srv*`` is the default cache and Microsoft's server; a
    server alone has the default cache before it; one empty place is enough."""
    if stores == ("",):
        return ("", MICROSOFT)
    if stores and all(is_url(store) for store in stores):
        stores = ("", *stores)
    return tuple(dict.fromkeys(stores))


def _expand_element(element: PathElement) -> str:
    if element.kind is ElementKind.CHAIN and element.stores == ("", MICROSOFT):
        return f"cache*;SRV*{MICROSOFT}"
    if element.kind is ElementKind.DIRECTORY:
        return _shown(element.stores[0])
    head = element.text.split("*")[0] if "*" in element.text else "srv"
    return "*".join([head, *(_shown(store) for store in element.stores)])


def _shown(text: str) -> str:
    return text.lower() if is_windows_style(text) or (not _POSIX and not is_url(text)) else text


def _check(element: PathElement) -> PathCheck:
    if element.kind is not ElementKind.DIRECTORY:
        return PathCheck(element.text, "Deferred", 0)
    start = time.perf_counter()
    reason = _directory_problem(element.stores[0])
    took = int((time.perf_counter() - start) * 1000)
    return PathCheck(element.text, "Error" if reason else "OK", took, reason)


def _directory_problem(text: str) -> str:
    """Return Windows's number and words for what is wrong with a directory, or ``""``."""
    path = host_path(text)
    if path is None:
        return "0x2 - File not found."
    try:
        with os.scandir(path):
            return ""
    except NotADirectoryError:
        if file_problem(path) is None:
            return ""  # a file is an element too: the one that is meant
        return "0x10b - The directory name is invalid."
    except PermissionError:
        return "0x5 - Access is denied."
    except (OSError, ValueError):
        return "0x2 - File not found."
