"""Paths below another root: which ones a path of a process can mean, and following links in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from polydbg.base.errors import TargetError
from polydbg.base.text import sanitise_line

MAX_PATH = 4096
MAX_LINKS = 40
"""How many symbolic links one path may lead through, as in Linux."""

DELETED = " (deleted)"
_MAX_NESTING = 4  # containers in containers

_WORD = r"[^/]+"
# Where container engines, sandboxes and package systems mount what their programs see as "/".
_ROOTS = (
    rf"/proc/{_WORD}(?:/task/{_WORD})?/root",
    rf".*/docker/(?:overlay|overlay2)/{_WORD}/(?:merged|diff)",
    rf".*/docker/aufs/(?:mnt|diff)/{_WORD}",
    rf".*/docker/(?:devicemapper/mnt/{_WORD}/rootfs|btrfs/subvolumes/{_WORD}|zfs/graph/{_WORD})",
    rf".*/containers/storage/overlay/{_WORD}/(?:merged|diff)",
    rf".*/io\.containerd\.runtime\.{_WORD}/{_WORD}/{_WORD}/rootfs",
    rf".*/io\.containerd\.snapshotter\.{_WORD}/snapshots/{_WORD}/fs",
    rf"/var/lib/(?:lxc/{_WORD}/rootfs|machines/{_WORD})",
    rf"/(?:var/lib/snapd/)?snap/{_WORD}/{_WORD}",
    rf"/tmp/\.mount_{_WORD}",
    r"/(?:newroot|oldroot|host|rootfs)",
)
_FLATPAK = rf".*/flatpak/(app|runtime)(?:/{_WORD}){{4}}/files(?=/)"
_MERGED = r"/usr(/(?:bin|sbin|lib|lib32|lib64|libx32)/)"
_UNMERGED = r"/(?:bin|sbin|lib|lib32|lib64|libx32)/"
# What package managers call a file while they replace it: rpm's "libc.so.6;5f3c2a1b", dpkg's.
_REPLACED = r"(?:;[0-9a-f]{8}|\.dpkg-(?:new|tmp))$"
_NO_FILE = r"(?:/memfd:|/SYSV[0-9a-f]{8}|/dev/(?:zero|shm)\b|/anon_hugepage|//anon|\[)"


def path_candidates(path: str) -> list[str]:
    """Return the paths below a root at which a file may be that a process has mapped as *path*.

    The likeliest is first. They are absolute, without ``.``, ``..`` and ``(deleted)``; container
    engines' own paths are cut to what the container sees; ``/usr/lib`` and ``/lib`` stand for one
    another. Paths that are no files (``/memfd:x``, ``[vdso]``) give none.
    """
    path = path.split("\0", 1)[0]
    while path.endswith(DELETED):
        path = path[: -len(DELETED)]
    if not path.startswith("/") or len(path) > MAX_PATH or re.match(_NO_FILE, path):
        return []
    found = [_normal(path)]
    found.insert(0, re.sub(_REPLACED, "", found[0]))
    for start in list(found):
        inner: str | None = start
        for _ in range(_MAX_NESTING):
            inner = _inside(inner) if inner is not None else None
            if inner is not None:
                found.append(inner)
    return list(dict.fromkeys(each for path in found for each in (path, *_usr_merge(path))))


def normal_parts(path: str) -> list[str]:
    """Return the components of *path* without empty ones, ``.`` and ``..``, by words alone."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def follow(path: str, link_of: Callable[[Sequence[str]], str | None]) -> list[str]:
    """Return the components of *path* with the symbolic links on the way followed inside the root.

    *link_of* returns where the link at some components leads, ``None`` where there is none. An
    absolute link starts again at the root, ``..`` never leaves it.

    :raises TargetError: ``sysroot.links``: they lead round in circles.
    """
    links = 0
    done: list[str] = []
    pending = path.split("/")[::-1]
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
            continue
        if part in ("", "."):
            continue
        done.append(part)
        target = link_of(done)
        if target is None:
            continue
        links += 1
        if links > MAX_LINKS or len(target) > MAX_PATH:
            raise TargetError(
                f"{sanitise_line(path)}: symbolic links lead round in circles",
                hint="give the file that is meant",
                identifier="sysroot.links",
            )
        del done[-1:]
        if target.startswith("/"):
            done = []
        pending += target.split("/")[::-1]
    return done


def _normal(path: str) -> str:
    return "/" + "/".join(normal_parts(path))


def _inside(path: str) -> str | None:
    """Return *path* as the program inside of the innermost known container sees it."""
    flatpak = re.match(_FLATPAK, path)
    if flatpak is not None:
        return ("/app" if flatpak[1] == "app" else "/usr") + path[flatpak.end() :]
    matches = (re.match(f"{pattern}(?=/)", path) for pattern in _ROOTS)
    ends = [found.end() for found in matches if found is not None]
    return path[max(ends) :] if ends else None


def _usr_merge(path: str) -> list[str]:
    if re.match(_MERGED, path):
        return [path[4:]]
    return ["/usr" + path] if re.match(_UNMERGED, path) else []
