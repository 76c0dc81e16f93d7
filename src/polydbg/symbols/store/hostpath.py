"""Paths and names as this host sees them.

Three kinds of text arrive here: elements typed by the user (any style, trusted), paths recorded
by a linker or a dump (any style, hostile), and file names out of a dump that become part of a path
(hostile). Only the first kind may name a network share.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

MAX_NAME = 255
"""Longest file name, in characters: the limit of NTFS and of every usual POSIX file system."""

_DRIVE = re.compile(r"[A-Za-z]:(?:[\\/]|$)")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
# Names that open a device on Windows whatever their directory and extension:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
_VARIABLE = re.compile(r"%([^%;*]+)%")


def is_windows_style(text: str) -> bool:
    """Return whether *text* starts with a drive letter or two backslashes."""
    return bool(_DRIVE.match(text)) or text.startswith("\\\\")


def is_network(text: str) -> bool:
    """Return whether opening *text* could contact another host or a device.

    UNC and ``\\\\?\\`` forms in either slash, and the usual automounter directory.
    """
    return text.replace("\\", "/").startswith(("//", "/net/", "/??/"))


def expand_variables(text: str) -> str:
    """Replace ``%NAME%`` by the environment variable (unknown ones stay), and a leading ``~``."""
    text = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), text)
    if text == "~" or text.startswith(("~/", "~\\")):
        return os.path.expanduser(text)
    return text


def host_path(text: str, *, posix: bool = os.name == "posix") -> Path | None:
    """Return *text*, typed by the user (or by the keeper of a store), as a path of this host.

    ``None`` when this host cannot have it: a drive letter or a share on POSIX, or no text. On POSIX
    the backslashes of a relative path become slashes unless a file of that very name exists.
    """
    if not text or "\0" in text:
        return None
    if not posix:
        return Path(text)
    if is_windows_style(text):
        return None
    if "\\" in text and not os.path.lexists(text):
        text = text.replace("\\", "/")
    return Path(text)


def base_name(text: str) -> str:
    """Return what follows the last separator of either kind (and a drive's colon)."""
    name = re.split(r"[\\/]", text)[-1]
    return name[2:] if re.match(r"[A-Za-z]:", name) else name


def unsafe_reason(name: str) -> str:
    """Return why *name* cannot be one component of a path on every host, or ``""``."""
    if not name or name in (".", ".."):
        return "no file name"
    if len(name) > MAX_NAME or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        return "name too long"
    if _FORBIDDEN.search(name):
        return "forbidden character in the name"
    if name[-1] in " ." or any("\ud800" <= char <= "\udfff" for char in name):
        return "forbidden character in the name"
    if name.split(".")[0].rstrip(" ").lower() in _DEVICES:
        return "name of a device"
    return ""


def is_safe_key(key: str) -> bool:
    """Return whether *key* may name a folder of a store: letters, digits and inner dashes."""
    return bool(re.fullmatch(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,118}[0-9A-Za-z])?", key))


def cache_folder(name: str) -> Path:
    """Return the folder *name* in ``$POLYDBG_CACHE``, else in the user's cache of the program."""
    base = os.environ.get("POLYDBG_CACHE")
    if base:
        return Path(base) / name
    import platformdirs

    return Path(platformdirs.user_cache_dir("polydbg", appauthor=False)) / name


def default_cache() -> Path:
    """Return the store that nobody named: ``$POLYDBG_CACHE/sym`` or ``sym`` in the user's cache."""
    return cache_folder("sym")


def file_problem(path: Path) -> str | None:
    """Return ``None`` for a regular file, ``""`` when nothing is there, else what is wrong."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a NUL that slipped in
        return str(error)
    return None if stat.S_ISREG(mode) else "not a regular file"


def directory_problem(path: Path) -> str | None:
    """Return ``None`` for a directory that can be searched, ``""`` when nothing is there, else what
    is wrong."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISDIR(mode):
        return "not a directory"
    return None if os.access(path, os.X_OK) else "permission denied"


class DirectoryCache:
    """Case-insensitive lookup on case-sensitive disks.

    Asks for the name as given, in lower and in upper case; only then lists the directory, once per
    change of it. Names of one case need no entry, so that huge stores stay small in memory.
    """

    MAX_ENTRIES = 4_000_000
    MAX_DIRECTORIES = 512
    # A listing made this soon after the last change may miss a change of the same clock tick (2 s
    # on FAT), so it is not believed for longer than FRESH_NS.
    SETTLED_NS = 2_000_000_000
    FRESH_NS = 500_000_000

    def __init__(self) -> None:
        self._listings: dict[str, tuple[int, int, dict[str, str]]] = {}

    def clear(self) -> None:
        """Forget every listing (``.reload``)."""
        self._listings.clear()

    def find(self, directory: str, name: str) -> str | None:
        """Return the path of *name* in *directory* with the spelling on disk, or ``None``."""
        for spelling in dict.fromkeys((name, name.lower(), name.upper())):
            path = os.path.join(directory, spelling)
            if os.path.exists(path):
                return path
            if os.name == "nt":
                return None
        spelled = self._mixed_names(directory).get(name.lower())
        return None if spelled is None else os.path.join(directory, spelled)

    def descend(self, directory: str, *names: str) -> str | None:
        """Return the path below *directory* through *names*, or ``None``."""
        found: str | None = directory
        for name in names:
            if found is None:
                return None
            found = self.find(found, name)
        return found

    def _mixed_names(self, directory: str) -> dict[str, str]:
        try:
            info = os.stat(directory)
            changed = max(info.st_mtime_ns, info.st_ctime_ns)
        except (OSError, ValueError):
            return {}
        now = time.time_ns()
        known = self._listings.get(directory)
        if known is not None and known[0] == changed:
            settled = known[1] - changed > self.SETTLED_NS
            if settled or 0 <= now - known[1] < self.FRESH_NS:
                return known[2]
        if len(self._listings) >= self.MAX_DIRECTORIES:
            self._listings.clear()
        names = self._list(directory)
        self._listings[directory] = (changed, now, names)
        return names

    def _list(self, directory: str) -> dict[str, str]:
        names: dict[str, str] = {}
        try:
            with os.scandir(directory) as entries:
                for count, entry in enumerate(entries):
                    if count >= self.MAX_ENTRIES:
                        break
                    lower = entry.name.lower()
                    if entry.name not in (lower, entry.name.upper()):
                        names.setdefault(lower, entry.name)
        except OSError:
            return names
        return names
