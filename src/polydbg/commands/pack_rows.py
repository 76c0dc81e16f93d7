"""What is shown of packs: a row for each file that went in or out, and the sum."""

from __future__ import annotations

from polydbg.base.text import size_text
from polydbg.commands.output import Item


class FetchedFile(Item, frozen=True):
    """A file that ``polydbg sym fetch`` was asked for: *state* is ``in`` (the pack) or ``missing``,
    *host* the server that it came from (``""``: this machine), *reason* why it is missing."""

    kind: str
    file: str
    id: str
    state: str
    size: int
    host: str
    reason: str

    def text(self) -> str:
        row = f"{self.state:8} {self.kind:10} {self.file}"
        if self.state == "missing":
            return f"{row}, {self.id}: {self.reason}"
        return f"{row} ({size_text(self.size)}{', ' if self.host else ''}{self.host})"


class PackSummary(Item, frozen=True):
    """What a pack came to: *path* is ``""`` when there was nothing to put into one; *files* and
    *size* are what is in it, *missing* how many files are not."""

    path: str
    files: int
    size: int
    missing: int

    def text(self) -> str:
        missing = f"; {self.missing} missing" if self.missing else ""
        if not self.path:
            why = "nothing was found" if missing else "every file is at hand where it is wanted"
            return f"no pack was written: {why}{missing}"
        count = "1 file" if self.files == 1 else f"{self.files} files"
        return f"{self.path}: {count}, {size_text(self.size)}{missing}"


class AddedFile(Item, frozen=True):
    """A file that ``polydbg sym add`` looked at: *outcome* is ``added``, ``already there``,
    ``refused`` or ``not a symbol file``; *place* is where it is now, *reason* why it was refused.
    """

    source: str
    outcome: str
    place: str
    reason: str

    def text(self) -> str:
        row = f"{self.outcome:14} {self.source}"
        return f"{row}: {self.reason}" if self.reason else f"{row} -> {self.place}"


class AddSummary(Item, frozen=True):
    """How many files ``polydbg sym add`` put into *store*, found there and refused."""

    store: str
    added: int
    already_there: int
    refused: int

    def text(self) -> str:
        return (
            f"{self.store}: {self.added} added, {self.already_there} already there, "
            f"{self.refused} refused"
        )


class FetchedPath(Item, frozen=True):
    """The place of one file that ``polydbg sym fetch`` was asked for by its id."""

    path: str

    def text(self) -> str:
        return self.path
