"""The books of a symbol store: what was put in when, from where, and how to take it out again.

``000Admin`` holds ``lastid.txt``, ``server.txt`` (transactions in force), ``history.txt`` (all of
them) and a file for each, which lists the folders that it put something into; ``refs.ptr`` in such
a folder lists the transactions that want it. Source:
https://learn.microsoft.com/windows-hardware/drivers/debugger/symbol-store-folder-tree
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.symbols.store.hostpath import is_safe_key, unsafe_reason
from polydbg.symbols.store.locking import lock

ADMIN = "000Admin"
MAX_BOOK = 64 << 20
"""Most bytes of a file of the books."""
_LAST = 9_999_999_999
_WAIT = 30.0  # seconds for another writer to end
_REFERENCE = "refs.ptr"


class Entry(msgspec.Struct, frozen=True):
    """A file of a transaction: *folder* is ``NAME/KEY`` below the store or its tier, *source* where
    the file came from."""

    folder: str
    source: str


class Transaction(msgspec.Struct, frozen=True):
    """A row of ``server.txt``: *number* has ten digits, *when* is in local time."""

    number: str
    when: str
    product: str
    version: str
    comment: str


class Books:
    """The books of the store *root*, which one writer at a time may change: use it in ``with``.

    :raises DebuggerError: another writer is at work for too long, or the books cannot be read.
    :raises OSError: they cannot be written.
    """

    def __init__(self, root: Path, cancel: CancelToken) -> None:
        self._root = root
        self._admin = root / ADMIN
        self._cancel = cancel
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Books:
        self._admin.mkdir(parents=True, exist_ok=True)
        file = self._stack.enter_context(open(self._admin / "lock", "a+b"))
        deadline = time.monotonic() + _WAIT
        while True:
            self._cancel.check()
            try:
                lock(file)
                return self
            except OSError as error:
                if time.monotonic() > deadline:
                    self._stack.close()
                    raise DebuggerError(
                        f"another program has been writing {self._root} for {_WAIT:g} s",
                        identifier="store.busy",
                        hint="wait for it, or end it",
                    ) from error
            time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def transactions(self) -> list[Transaction]:
        """Return the transactions in force, in order."""
        return [row for line in self._lines("server.txt") if (row := _row(line)) is not None]

    def record(
        self, entries: Sequence[Entry], product: str = "", version: str = "", comment: str = ""
    ) -> str:
        """Write a transaction of *entries* into the books and return its number."""
        number = self._next_number()
        now = time.localtime()
        when = time.strftime("%m/%d/%Y,%H:%M:%S", now)
        words = ",".join(f'"{_quoted(text)}"' for text in (product, version, comment))
        row = f"{number},add,file,{when},{words},"
        unique = dict.fromkeys(entries)
        listed = "".join(
            f'"{entry.folder.replace("/", chr(92))}","{_quoted(entry.source)}"\n'
            for entry in unique
        )
        self._write(number, listed)
        for entry in unique:
            with open(self._folder(entry.folder) / _REFERENCE, "a", encoding="utf-8") as file:
                file.write(f'{number},file,"{_quoted(entry.source)}"\n')
        for name in ("server.txt", "history.txt"):
            self._append(name, row)
        return number

    def remove(self, number: str) -> Iterator[str]:
        """Take a transaction back: what no other one wants is deleted. Yields the folders.

        :raises DebuggerError: there is no such transaction.
        """
        number = number.zfill(10)
        lines = self._lines("server.txt")
        kept = [line for line in lines if not line.startswith(f"{number},")]
        if not re.fullmatch(r"\d{10}", number) or len(kept) == len(lines):
            raise DebuggerError(
                f"the store has no transaction {number}",
                identifier="store.no-transaction",
                hint="polydbg sym store list DIR lists them",
            )
        for line in self._lines(number):
            folder = line.split('"')[1].replace("\\", "/") if line.count('"') >= 2 else ""
            if _is_folder(folder) and self._release(self._folder(folder), number):
                yield folder
        self._write("server.txt", "".join(f"{line}\n" for line in kept))
        self._append("history.txt", f"{self._next_number()},del,{number}")
        os.replace(self._admin / number, self._admin / f"{number}.deleted")

    def _release(self, folder: Path, number: str) -> bool:
        """Take a transaction's name off a folder; return whether that was deleted."""
        references = folder / _REFERENCE
        lines = _lines_of(references)
        if not lines:
            return False
        left = [line for line in lines if not line.startswith(f"{number},")]
        if left:
            references.write_text("".join(f"{line}\n" for line in left), "utf-8")
            return False
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # only where it is empty
        return True

    def _folder(self, text: str) -> Path:
        return self._root.joinpath(*text.split("/"))

    def _next_number(self) -> str:
        known = [line[:10] for line in self._lines("history.txt") + self._lines("lastid.txt")]
        number = max((int(each) for each in known if each.isdecimal()), default=0) + 1
        if number > _LAST:
            raise DebuggerError("the store has no number left", identifier="store.full")
        self._write("lastid.txt", f"{number:010}\n")
        return f"{number:010}"

    def _lines(self, name: str) -> list[str]:
        return _lines_of(self._admin / name)

    def _append(self, name: str, line: str) -> None:
        self._write(name, "".join(f"{each}\n" for each in (*self._lines(name), line)))

    def _write(self, name: str, text: str) -> None:
        """Replace a file of the books as a whole."""
        temporary = self._admin / f"~{name}.tmp"
        temporary.write_text(text, "utf-8")
        os.replace(temporary, self._admin / name)


def _lines_of(path: Path) -> list[str]:
    """Return the lines of a book, none where there is no such file.

    :raises DebuggerError: it is larger than any.
    """
    try:
        if path.stat().st_size > MAX_BOOK:
            raise DebuggerError(f"{path} is too large", identifier="store.damaged")
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def has_reference(file: Path) -> bool:
    """Tell whether a file of a store is there for a transaction."""
    return file.with_name(_REFERENCE).is_file()


def _quoted(text: str) -> str:
    return re.sub(r'[\x00-\x1f"]', " ", text)[:4096]


def _is_folder(text: str) -> bool:
    """Tell whether a text of the books names a folder for files: ``NAME/KEY``, in a tier or not."""
    parts = text.split("/")
    named = len(parts) in (2, 3) and not any(unsafe_reason(part) for part in parts)
    return named and is_safe_key(parts[-1]) and parts[0] != ADMIN


def _row(line: str) -> Transaction | None:
    found = re.match(
        r'(\d{10}),add,\w+,([\d/]+),([\d:]+),"?([^",]*)"?,"?([^",]*)"?,"?([^"]*?)"?,?$', line
    )
    if found is None:
        return None
    number, date, clock, product, version, comment = found.groups()
    return Transaction(number, f"{date} {clock}", product, version, comment)
