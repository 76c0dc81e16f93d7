"""Source links: the JSON in a PDB that says at which addresses its source files lie.

The streams are called ``sourcelink``, ``sourcelink$1`` and so on. Source:
https://github.com/dotnet/designs/blob/main/accepted/2020/diagnostics/source-link.md
"""

from __future__ import annotations

import msgspec

from polydbg.base.errors import FormatError

MAX_BYTES = 4 << 20
_MAX_DOCUMENTS = 65_536
_MAX_PATH = 4096
MAX_URL = 8192
# What stands in the path of an address as it is (RFC 3986, unreserved characters), and slashes.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


class _Links(msgspec.Struct, frozen=True):
    documents: dict[str, str]


class SourceLinks:
    """Addresses by recorded paths: files named exactly come before folders (``C:\\src\\*``), of
    folders the longest counts. Paths are compared without regard to case; both slashes are one.
    """

    def __init__(self, documents: dict[str, str]) -> None:
        """Entries that break the rules for ``*`` are left out: one at the end of the path, and then
        one in the address."""
        self._files: dict[str, str] = {}
        folders: dict[str, tuple[str, str]] = {}
        for path, url in documents.items():
            if len(path) > _MAX_PATH or len(url) > MAX_URL or not is_web_address(url):
                continue
            folded = _folded(path)
            before, star, after = url.partition("*")
            if "*" not in folded:
                if not star:
                    self._files.setdefault(folded, url)
            elif folded.find("*") == len(folded) - 1 and star and "*" not in after:
                folders.setdefault(folded[:-1], (before, after))
        self._folders = sorted(folders.items(), key=lambda each: (-len(each[0]), each[0]))

    @classmethod
    def parse(cls, data: bytes) -> SourceLinks:
        """Read a stream.

        :raises FormatError: it is no such JSON, or larger than any real one.
        """
        if len(data) > MAX_BYTES:
            raise FormatError("the source links of the PDB are too large")
        try:
            found = msgspec.json.decode(
                data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0"), type=_Links
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FormatError(f"the source links of the PDB are damaged: {error}") from error
        if len(found.documents) > _MAX_DOCUMENTS:
            raise FormatError("the source links of the PDB are too many")
        return cls(found.documents)

    def url(self, path: str) -> str | None:
        """Return the address of the file recorded as *path*."""
        if len(path) > _MAX_PATH:
            return None
        folded = _folded(path)
        exact = self._files.get(folded)
        if exact is not None:
            return exact
        for folder, (before, after) in self._folders:
            if folded.startswith(folder):
                rest = path[len(folder) :].replace("\\", "/")
                return f"{before}{_encoded(rest)}{after}"
        return None


def is_web_address(url: str) -> bool:
    """Tell whether *url* is one over HTTP, without blanks and control characters."""
    return (
        url.lower().startswith(("http://", "https://"))
        and url.isprintable()
        and not any(map(str.isspace, url))
    )


def _encoded(path: str) -> str:
    data = path.encode("utf-8", "replace")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def _folded(path: str) -> str:
    """Return *path* for comparisons, as long as it was."""
    folded = path.replace("\\", "/")
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in folded)
