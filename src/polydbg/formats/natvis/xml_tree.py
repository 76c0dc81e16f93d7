"""XML of a stranger as a bounded tree: no document types, no entities, nothing from outside.

Source: XML 1.0 (fifth edition). Without a document type there are no entities but the five of XML
itself, so a small file cannot become a large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import FormatError

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

MAX_BYTES = 8 << 20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 48
MAX_TEXT = 64 << 10
"""Most characters of text in one element, and of one attribute."""


class Element(msgspec.Struct, eq=False):
    """An element: its *name* without the namespace's prefix, *text* directly in it, and the *line*
    that it begins on, from 1."""

    name: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = msgspec.field(default_factory=list)

    def error(self, message: str) -> FormatError:
        """Return the error *message* about this element, with its line."""
        return FormatError(f"line {self.line}: {message}", identifier="natvis.invalid")


class _Builder:
    """Hears of the parser what it finds."""

    def __init__(self, parser: XMLParserType) -> None:
        self._parser = parser
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._lengths: list[int] = []
        self._count = 0
        self.root: Element | None = None

    def _refused(self, what: str) -> FormatError:
        line = self._parser.CurrentLineNumber
        return FormatError(f"line {line}: {what}", identifier="natvis.refused")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise self._refused("too many elements, or too deep in each other")
        if any(len(each) > MAX_TEXT for each in attributes.values()):
            raise self._refused("an attribute is too long")
        element = Element(name.rpartition(":")[2], attributes, self._parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])
        self._lengths.append(0)

    def end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()
        self._lengths.pop()

    def characters(self, text: str) -> None:
        if not self._open:
            return
        self._lengths[-1] += len(text)
        if self._lengths[-1] > MAX_TEXT:
            raise self._refused("the text of an element is too long")
        self._texts[-1].append(text)

    def doctype(self, *_: object) -> None:
        raise self._refused("document types and entities are refused")


def read_tree(data: bytes) -> Element:
    """Return the root of the XML document in *data*.

    :raises FormatError: it is not well formed, has a document type, or is beyond the bounds.
    """
    from xml.parsers import expat

    if len(data) > MAX_BYTES:
        raise FormatError(f"the file has more than {MAX_BYTES} bytes", identifier="natvis.refused")
    parser = expat.ParserCreate()
    builder = _Builder(parser)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code) or "not well formed"
        raise FormatError(
            f"line {error.lineno}: no sound XML: {words}",
            offset=max(parser.CurrentByteIndex, 0),
            identifier="natvis.invalid",
        ) from error
    except (ValueError, LookupError) as error:  # an encoding that is none of text
        raise FormatError("the file's encoding is not known", identifier="natvis.invalid") from (
            error
        )
    if builder.root is None:
        raise FormatError("the file has no element", identifier="natvis.invalid")
    return builder.root
