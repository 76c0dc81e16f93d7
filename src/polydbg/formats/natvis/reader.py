"""Reads NatVis files: XML to the records of :mod:`polydbg.formats.natvis.model`.

Elements that are not known are listed, not fatal; what is malformed is said with its line.
"""

from __future__ import annotations

from collections.abc import Callable

from polydbg.formats.natvis.lists import LISTS, formatted, guard, is_true, pieces
from polydbg.formats.natvis.model import (
    DisplayString,
    ExpandedItem,
    Intrinsic,
    Item,
    NatvisFile,
    SmartPointer,
    StringView,
    Synthetic,
    TypeView,
    Unsupported,
    ViewPart,
)
from polydbg.formats.natvis.xml_tree import Element, read_tree

PRIORITIES = ("low", "mediumlow", "medium", "mediumhigh", "high")
MAX_TYPES = 20_000
MAX_NAMES = 256
_IGNORED = ("UIVisualizer", "LocalizedStrings", "CustomVisualizer")


class _Reader:
    def __init__(self) -> None:
        self.unsupported: list[Unsupported] = []

    def _leave_out(self, element: Element) -> None:
        if element.name not in _IGNORED:
            self.unsupported.append(Unsupported(element.name, element.line))

    def file(self, root: Element) -> NatvisFile:
        if root.name != "AutoVisualizer":
            raise root.error(f"the outermost element is {root.name}, not AutoVisualizer")
        types: list[TypeView] = []
        intrinsics: list[Intrinsic] = []
        for child in root.children:
            if child.name == "Type":
                types.append(self.type(child))
            elif child.name == "Intrinsic":
                intrinsics.append(self.intrinsic(child))
            else:
                self._leave_out(child)
            if len(types) > MAX_TYPES:
                raise child.error("too many types")
        return NatvisFile(tuple(types), tuple(intrinsics), tuple(self.unsupported))

    def type(self, element: Element) -> TypeView:
        names = [element.attributes.get("Name", "").strip()]
        names += [
            each.attributes.get("Name", "").strip()
            for each in element.children
            if each.name == "AlternativeType"
        ]
        if not all(names) or len(names) > MAX_NAMES:
            raise element.error("a type has no name, or too many")
        priority = element.attributes.get("Priority", "Medium").strip().lower()
        if priority not in PRIORITIES:
            raise element.error(f"no such priority: {priority[:40]}")
        display: list[DisplayString] = []
        strings: list[StringView] = []
        pointers: list[SmartPointer] = []
        intrinsics: list[Intrinsic] = []
        parts: tuple[ViewPart, ...] | None = None
        hides_raw = False
        for child in element.children:
            if child.name == "DisplayString":
                display.append(self.display(child))
            elif child.name == "StringView":
                strings.append(StringView(what=formatted(child), **guard(child)))
            elif child.name == "SmartPointer":
                usage = child.attributes.get("Usage", "")
                pointers.append(SmartPointer(what=formatted(child), usage=usage, **guard(child)))
            elif child.name == "Intrinsic":
                intrinsics.append(self.intrinsic(child))
            elif child.name == "Expand":
                hides_raw = hides_raw or _hides_raw(child)
                parts = (parts or ()) + self.parts(child)
            elif child.name != "AlternativeType":
                self._leave_out(child)
        return TypeView(
            names=tuple(names),
            line=element.line,
            priority=PRIORITIES.index(priority),
            is_inheritable=is_true(element, "Inheritable", True),
            include_view=element.attributes.get("IncludeView", ""),
            exclude_view=element.attributes.get("ExcludeView", ""),
            display=tuple(display),
            strings=tuple(strings),
            pointers=tuple(pointers),
            parts=parts,
            hides_raw=hides_raw,
            intrinsics=tuple(intrinsics),
        )

    def display(self, element: Element) -> DisplayString:
        return DisplayString(pieces=pieces(element, element.text), **guard(element))

    def intrinsic(self, element: Element) -> Intrinsic:
        name = element.attributes.get("Name", "").strip()
        expression = element.attributes.get("Expression", "").strip()
        if not name or not expression:
            raise element.error("an intrinsic needs a name and an expression")
        parameters = tuple(
            each.attributes.get("Name", "") for each in element.children if each.name == "Parameter"
        )
        return Intrinsic(name, expression, parameters, is_true(element, "Optional", False))

    def parts(self, element: Element) -> tuple[ViewPart, ...]:
        """Return what stands in ``Expand``."""
        found: list[ViewPart] = []
        for child in element.children:
            read = _PARTS.get(child.name)
            if read is not None:
                found.append(read(self, child))
            elif child.name in LISTS:
                found.append(LISTS[child.name](child, guard(child), self.unsupported))
            elif child.name != "HideRawView":
                self._leave_out(child)
        return tuple(found)

    def item(self, element: Element) -> Item:
        name = pieces(element, element.attributes.get("Name", ""))
        return Item(name=name, what=formatted(element), **guard(element))

    def expanded(self, element: Element) -> ExpandedItem:
        return ExpandedItem(what=formatted(element), **guard(element))

    def synthetic(self, element: Element) -> Synthetic:
        inner = [each for each in element.children if each.name == "Expand"]
        return Synthetic(
            name=pieces(element, element.attributes.get("Name", "")),
            display=tuple(
                self.display(each) for each in element.children if each.name == "DisplayString"
            ),
            parts=tuple(part for each in inner for part in self.parts(each)),
            **guard(element),
        )


def _hides_raw(expand: Element) -> bool:
    return is_true(expand, "HideRawView", False) or any(
        each.name == "HideRawView" for each in expand.children
    )


_PARTS: dict[str, Callable[[_Reader, Element], ViewPart]] = {
    "Item": _Reader.item,
    "ExpandedItem": _Reader.expanded,
    "Synthetic": _Reader.synthetic,
}


def read_natvis(data: bytes) -> NatvisFile:
    """Return what the NatVis file *data* says.

    :raises FormatError: it is no sound XML or no NatVis; the message names the line.
    """
    return _Reader().file(read_tree(data))
