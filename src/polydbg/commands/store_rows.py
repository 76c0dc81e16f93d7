"""Rows of ``polydbg sym store``: transactions of a symbol store, and what they took out."""

from __future__ import annotations

from polydbg.commands.output import Item


class StoreTransaction(Item, frozen=True):
    """A transaction of a store: *number* has ten digits; *files* counts what it put in, 0 in a
    list."""

    number: str
    when: str
    product: str
    version: str
    comment: str
    files: int = 0

    def text(self) -> str:
        words = " ".join(word for word in (self.product, self.version, self.comment) if word)
        files = f"{self.files} files" if self.files else ""
        return "  ".join(part for part in (self.number, self.when, files, words) if part)


class RemovedFolder(Item, frozen=True):
    """A folder ``NAME/KEY`` that was deleted with its files: no other transaction wants it."""

    folder: str

    def text(self) -> str:
        return f"removed        {self.folder}"
