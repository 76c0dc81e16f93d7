"""Views applied to objects made here: what they show, and that hostile ones come to an end."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path

import pytest

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.engine.session import Session
from polydbg.engine.views.files import own_files
from polydbg.engine.views.view_set import ViewSet
from polydbg.engine.views.words import words_of
from polydbg.formats.natvis.names import key_of
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    CompoundParts,
    CompoundType,
    Encoding,
    Enumerator,
    EnumType,
    Member,
    MemberKind,
    PointerType,
    ScalarType,
    TemplateArgument,
    Type,
    Variant,
    VariantPart,
)
from polydbg.types.place import in_memory
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Surroundings, Value

INT = ScalarType("int", 4, Encoding.SIGNED)
UINT = ScalarType("unsigned int", 4, Encoding.UNSIGNED)
SIZE = ScalarType("unsigned long", 8, Encoding.UNSIGNED)
CHAR = ScalarType("char", 1, Encoding.CHAR)
BASE = 0x10000


class Memory:
    """Memory from BASE on, of words that are put into it."""

    def __init__(self, words: Sequence[int], data: bytes = b"") -> None:
        self.data = struct.pack(f"<{len(words)}Q", *words) + data

    def read(self, address: int, size: int) -> bytes:
        start = address - BASE
        if start < 0 or start + size > len(self.data):
            raise MemoryReadError(max(address, BASE + len(self.data)) if start >= 0 else address)
        return self.data[start : start + size]


def pointer(target: Type) -> PointerType:
    return PointerType(lambda: target, 8)


def compound(
    name: str, *members: tuple[str, Type, int], bases: tuple[Type, ...] = ()
) -> CompoundType:
    parts = [Member(each.name, each, 0, MemberKind.BASE) for each in bases]
    parts += [Member(*each) for each in members]
    return CompoundType(name, 64, "struct", lambda: CompoundParts(tuple(parts)))


def node_type() -> CompoundType:
    found: list[CompoundType] = []
    link = PointerType(lambda: found[0], 8)
    found.append(compound("Node", ("next", link, 0), ("v", INT, 8), ("left", link, 16)))
    return found[0]


NODE = node_type()
LIST = compound("List", ("head", pointer(NODE), 0), ("size", SIZE, 8))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session()
    session.open_dump(str(resources.files("polydbg") / "demo" / "practice.dmp"))
    yield session
    session.close()


@pytest.fixture
def views(session: Session) -> ViewSet:
    return ViewSet(session)


def load(views: ViewSet, folder: Path, text: str, name: str = "a.natvis") -> None:
    (folder / name).write_text(f"<AutoVisualizer>{text}</AutoVisualizer>")
    views.load(str(folder / name))


def value(type_: Type, words: Sequence[int] = (), data: bytes = b"", at: int = BASE) -> Value:
    around = Surroundings(Memory(words, data), DataModel(), lambda origin: None)
    return Value(type_, in_memory(at), around)


def present(views: ViewSet, shown: Value) -> Presentation:
    found = views.present(shown)
    assert found is not None
    return found


def rows(views: ViewSet, shown: Value, skip: int = 0, limit: int = 20) -> list[str]:
    found = present(views, shown)
    assert found.children is not None
    return [row_text(views, each) for each in islice(found.children(skip), limit)]


def row_text(views: ViewSet, row: Child) -> str:
    if row.value is None:
        return f"{row.name} {row.text}"
    return f"{row.name} {words_of(views, row.value, row.specifiers)}"


# -- walks ---------------------------------------------------------------------------------------

LINKED = """<Type Name="List"><DisplayString>{{ {size,d} }}</DisplayString><Expand>
<LinkedListItems>%s<HeadPointer>head</HeadPointer><NextPointer>next</NextPointer>
<ValueNode>v</ValueNode></LinkedListItems></Expand></Type>"""
SIZED = LINKED % "<Size>size</Size>"
FIRST, SECOND = BASE + 0x20, BASE + 0x40


def chain(size: int, last: int) -> Value:
    """A list of two nodes; the second's pointer is *last*."""
    return value(LIST, [FIRST, size, 0, 0, SECOND, 7, 0, 0, last, 8, 0, 0])


@pytest.mark.parametrize(
    ("view", "size", "last", "expected"),
    [
        (SIZED, 2, 0, ["[0] 7", "[1] 8"]),
        (SIZED, 2, FIRST, ["[0] 7", "[1] 8"]),
        (SIZED, 3, 0, ["[0] 7", "[1] 8", "[2] <the list ends after 2 of 3 nodes>"]),
        (SIZED, 1 << 60, FIRST, ["[0] 7", "[1] 8", "[2] <cycle>"]),
        (SIZED, 9, SECOND, ["[0] 7", "[1] 8", "[2] <cycle>"]),
        (SIZED, 9, 0x40, ["[0] 7", "[1] 8", "[2] <Memory access error at 'v'>",
                          "[3] <address 0x40 is not present>"]),
        (LINKED % "", 0, 0, ["[0] 7", "[1] 8"]),
        (LINKED % "", 0, FIRST, ["[0] 7", "[1] 8"]),
        (LINKED % "", 0, SECOND, ["[0] 7", "[1] 8", "[2] <cycle>"]),
    ],
    ids=["whole", "ring", "short", "ring-huge", "cycle", "unreadable", "open", "open-ring",
         "open-cycle"],
)  # fmt: skip
def test_lists_end(
    views: ViewSet, tmp_path: Path, view: str, size: int, last: int, expected: list[str]
) -> None:
    load(views, tmp_path, view)
    assert rows(views, chain(size, last)) == expected
    assert rows(views, chain(size, last), skip=1) == expected[1:]


TREE = """<Type Name="List"><Expand><TreeItems><HeadPointer>head</HeadPointer>
<LeftPointer>left</LeftPointer><RightPointer>next</RightPointer><ValueNode>v</ValueNode>
</TreeItems></Expand></Type>"""


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (0, ["[0] 7", "[1] 8"]),
        (SECOND, ["[0] 8", "[1] 7", "[2] <cycle>"]),
        (FIRST, ["[0] <cycle>"]),
    ],
    ids=["right", "shared", "itself"],
)
def test_trees_end(views: ViewSet, tmp_path: Path, left: int, expected: list[str]) -> None:
    load(views, tmp_path, TREE)
    tree = value(LIST, [FIRST, 2, 0, 0, SECOND, 7, left, 0, 0, 8, 0, 0])
    assert rows(views, tree) == expected


def test_arrays_of_any_claimed_size_begin_at_once(views: ViewSet, tmp_path: Path) -> None:
    array = compound("Array", ("data", pointer(INT), 0), ("size", SIZE, 8))
    load(views, tmp_path, """<Type Name="Array"><Expand><Item Name="n">size,x</Item><ArrayItems>
      <Size>size</Size><ValuePointer>data</ValuePointer></ArrayItems></Expand>
      </Type>""")  # fmt: skip
    shown = value(array, [BASE + 16, 1 << 60], struct.pack("<4i", 1, 2, 3, 4))
    assert present(views, shown).count == (1 << 60) + 1
    assert rows(views, shown, skip=3, limit=2) == ["[2] 3", "[3] 4"]
    assert rows(views, shown, skip=1 << 59) == [
        f"[{(1 << 59) - 1}] <address {BASE + 12 + (1 << 61):#x} is not present>"
    ]


# -- hostile views -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("<DisplayString>{nothing}</DisplayString>", "'nothing'"),
        ("<DisplayString>{size +}</DisplayString>", "Unexpected token"),
        ('<Intrinsic Name="f" Expression="f()"/><DisplayString>{f()}</DisplayString>',
         "without an end"),
        ("<Expand><ArrayItems><Size>-1</Size><ValuePointer>head</ValuePointer></ArrayItems>"
         "</Expand>", "negative"),
        ("<Expand><ArrayItems><Rank>999</Rank><Size>1</Size><ValuePointer>head</ValuePointer>"
         "</ArrayItems></Expand>", "999 dimensions"),
        ("<DisplayString>{size = 1}</DisplayString>", "Memory access error"),
        ('<DisplayString Condition="size == 9">x</DisplayString>', "no display string"),
        ("<DisplayString>{@rax}</DisplayString>", "Bad register"),
        ("<DisplayString>{@@masm(1)}</DisplayString>", "MASM"),
    ],
    ids=["name", "syntax", "intrinsic", "negative", "rank", "write", "none",
         "register", "masm"],
)  # fmt: skip
def test_views_that_fail_say_why(views: ViewSet, tmp_path: Path, view: str, words: str) -> None:
    load(views, tmp_path, f'<Type Name="List">{view}</Type>')
    found = present(views, chain(2, 0))
    assert words in found.problem
    assert found.text is None
    assert found.view == "List (a.natvis)"


def test_expanded_items_within_themselves_end(views: ViewSet, tmp_path: Path) -> None:
    many = "<ExpandedItem>*this</ExpandedItem>" * 8
    load(views, tmp_path, f'<Type Name="List"><Expand>{many}</Expand></Type>')
    assert len(rows(views, chain(2, 0))) == 20


def test_displays_within_themselves_end(views: ViewSet, tmp_path: Path) -> None:
    load(views, tmp_path, '<Type Name="List"><DisplayString>a{*this}</DisplayString></Type>')
    assert present(views, chain(2, 0)).text == "aaaaaaa{...}"


@pytest.mark.parametrize("body", ["<Exec>n++</Exec>", "<Loop/>", "<If><Exec>n++</Exec></If>"])
def test_endless_loops_end(views: ViewSet, tmp_path: Path, body: str) -> None:
    load(
        views,
        tmp_path,
        f"""<Type Name="List"><Expand><CustomListItems>
      <Variable Name="n" InitialValue="0"/><Loop>{body}</Loop></CustomListItems></Expand></Type>""",
    )
    (row,) = rows(views, chain(2, 0))
    assert row == "[0] <the view takes more than 100000 steps>"


def test_custom_lists(views: ViewSet, tmp_path: Path) -> None:
    load(views, tmp_path, """<Type Name="List"><Expand><CustomListItems>
      <Variable Name="n" InitialValue="head"/><Variable Name="i" InitialValue="0"/>
      <Loop><Break Condition="n == 0"/>
      <If Condition="n-&gt;v == 7"><Item Name="seven {i}">n-&gt;v,x</Item></If>
      <Elseif Condition="n-&gt;v == 9"><Item>n</Item></Elseif>
      <Else><Item>n-&gt;v</Item></Else>
      <Exec>n = n-&gt;next</Exec><Exec>i++</Exec></Loop></CustomListItems></Expand>
      </Type>""")  # fmt: skip
    assert rows(views, chain(2, 0)) == ["seven 0 0x00000007", "[1] 8"]
    assert rows(views, chain(2, 0), skip=1) == ["[1] 8"]


# -- which view ----------------------------------------------------------------------------------


def test_the_best_view_is_taken(views: ViewSet, tmp_path: Path) -> None:
    pair = CompoundType(
        "ns::Pair<int, ns::Pair<int,int> >", 16, "struct",
        lambda: CompoundParts((Member("a", INT, 0),), arguments=(TemplateArgument("T", UINT),)),
    )  # fmt: skip
    load(views, tmp_path, """
      <Type Name="ns::Pair&lt;*,*&gt;"><DisplayString>any</DisplayString></Type>
      <Type Name="ns::Pair&lt;int,*&gt;"><DisplayString>int {$T1}</DisplayString></Type>
      <Type Name="ns::Pair&lt;*&gt;" Priority="Low"><DisplayString>low</DisplayString></Type>
      <Type Name="ns::Pair&lt;int,*&gt;" Priority="High">
        <DisplayString Condition="odd" Optional="true">odd</DisplayString>
        <DisplayString Optional="true">{no_such}</DisplayString>
        <DisplayString>{sizeof(a)} of {a}</DisplayString></Type>""")  # fmt: skip
    assert present(views, value(pair, [5])).text == "0x4 of 5"
    load(views, tmp_path, """<Type Name="ns::Pair&lt;*&gt;" Priority="High">
      <DisplayString>{($T1)a}</DisplayString></Type>""", "b.natvis")  # fmt: skip
    assert present(views, value(pair, [5])).text == "0x5"
    assert views.unload("b.natvis") is not None
    assert views.unload("b.natvis") is None
    assert present(views, value(pair, [5])).text == "0x4 of 5"


def test_views_of_bases_serve_derived_classes(views: ViewSet, tmp_path: Path) -> None:
    base = compound("Base", ("x", INT, 0))
    middle = compound("Middle", bases=(base,))
    derived = compound("Derived", ("x", INT, 8), bases=(middle,))
    load(views, tmp_path, '<Type Name="Base"><DisplayString>{x}</DisplayString></Type>')
    assert present(views, value(derived, [1, 2])).text == "1"
    load(views, tmp_path, """<Type Name="Base" Inheritable="false">
      <DisplayString>{x}</DisplayString></Type>""")  # fmt: skip
    assert views.present(value(derived, [1, 2])) is None
    assert present(views, value(base, [1])).text == "1"


def test_types_without_view_and_files_that_cannot_be_read(views: ViewSet, tmp_path: Path) -> None:
    assert views.present(value(LIST, [0, 0])) is None
    assert views.present(value(INT, [0])) is None
    with pytest.raises(CommandError, match="No such file"):
        views.load(str(tmp_path / "no.natvis"))


def test_intrinsics_and_named_views(views: ViewSet, tmp_path: Path) -> None:
    load(views, tmp_path, """
      <Intrinsic Name="twice" Expression="n * 2"><Parameter Name="n"/></Intrinsic>
      <Type Name="Node"><DisplayString IncludeView="brief">b{v}</DisplayString>
      <DisplayString>{twice(v)} {twice(twice(v) + 1)}</DisplayString></Type>
      <Type Name="List">
      <DisplayString>{*head} {*head,view(brief)} {head,na} {*head,!}</DisplayString>
      <Expand><Synthetic Name="s"><DisplayString>{size,d}</DisplayString><Expand>
      <Item Name="v" ExcludeView="x">head-&gt;v</Item></Expand></Synthetic></Expand>
      </Type>""")  # fmt: skip
    shown = chain(2, 0)
    assert present(views, shown).text == "14 30 b7 14 30 {...}"
    (synthetic,) = islice(present(views, shown).children(0), 5)  # type: ignore[misc]
    assert (synthetic.name, synthetic.text) == ("s", "2")
    assert synthetic.children is not None
    assert [row_text(views, each) for each in synthetic.children()] == ["v 7"]


# -- words ---------------------------------------------------------------------------------------

COLOR = EnumType("Color", lambda: INT, lambda: [Enumerator("Red", 1)])
TEXT = "h\u00e9llo\0x".encode()


@pytest.mark.parametrize(
    ("type_", "specifiers", "expected"),
    [
        (INT, "", "-7"),
        (INT, "x", "0xfffffff9"),
        (INT, "xb", "fffffff9"),
        (INT, "X", "0xFFFFFFF9"),
        (INT, "o", "037777777771"),
        (INT, "d", "-7"),
        (UINT, "d", "4294967289"),
        (CHAR, "bb", "11111001"),
        (CHAR, "nvo", "-7"),
        (COLOR, "", "-7"),
        (pointer(INT), "", "0xfffffff9"),
    ],
    ids=range(11),
)
def test_numbers_by_specifier(views: ViewSet, type_: Type, specifiers: str, expected: str) -> None:
    assert words_of(views, value(type_, [0xFFFFFFF9]), specifiers) == expected


@pytest.mark.parametrize(
    ("specifiers", "expected"),
    [
        ("s", '"h\u00e9llo"'),
        ("sb", "h\u00e9llo"),
        ("[3]s8", '"h\u00e9"'),
        ("[8]s8b", "h\u00e9llo\\x00x"),
        ("na", '"h\u00e9llo"'),
        ("", f'{BASE + 8:#x} "h\u00e9llo"'),
        ("[2]", "{104 'h', -61 ''}"),
    ],
    ids=range(7),
)
def test_strings_by_specifier(views: ViewSet, specifiers: str, expected: str) -> None:
    shown = value(pointer(CHAR), [BASE + 8], TEXT)
    assert words_of(views, shown, specifiers) == expected


def test_enumerators(views: ViewSet) -> None:
    assert words_of(views, value(COLOR, [1])) == "Red (1)"
    assert words_of(views, value(COLOR, [1]), "en") == "Red"


# -- views that come along -----------------------------------------------------------------------


def microsoft_string(unit: ScalarType) -> CompoundType:
    union = compound(
        "Bxty", ("_Buf", ArrayType(lambda: unit, 16 // unit.size), 0), ("_Ptr", pointer(unit), 0)
    )
    inner = compound("Val", ("_Bx", union, 0), ("_Mysize", SIZE, 16), ("_Myres", SIZE, 24))
    pair = compound("Pair", ("_Myval2", inner, 0))
    name = (
        f"std::basic_string<{unit.name},std::char_traits<{unit.name}>,std::allocator<{unit.name}> >"
    )
    return compound(name, ("_Mypair", pair, 0))


@pytest.mark.parametrize("length", [3, 20])
def test_strings_of_microsoft(views: ViewSet, length: int) -> None:
    text = ("abc" * 7)[:length].encode()
    if length < 16:
        words = [int.from_bytes(text, "little"), 0, length, 15]
        shown = value(microsoft_string(CHAR), words)
    else:
        shown = value(microsoft_string(CHAR), [BASE + 32, 0, length, 31], text)
    assert present(views, shown).text == f'"{text.decode()}"'
    assert rows(views, shown, skip=2, limit=1) == ["[0] 97 'a'"]


def test_forms_of_rust_whose_discriminant_is_wrong(views: ViewSet) -> None:
    some = compound("E::Some", ("__0", INT, 8))
    part = VariantPart(
        Member("", SIZE, 0),
        (Variant(((0, 0),), (Member("None", compound("E::None"), 0),)),
         Variant(((1, 1),), (Member("Some", some, 0),))),
    )  # fmt: skip
    enum = CompoundType("E", 16, "struct", lambda: CompoundParts(variant_part=part))
    assert present(views, value(enum, [0, 0])).text == "None"
    assert present(views, value(enum, [1, 5])).text == "Some(5)"
    assert present(views, value(enum, [2, 5])).problem == "no form belongs to the discriminant 0x2"


def test_our_own_files_are_known_by_name_before_they_are_read() -> None:
    """The classes that they have views of are told without XML, the same ones."""
    for file in own_files():
        names = [name for view in file.content.types for name in view.names]
        keys = {key_of(name) for name in names}
        assert len(keys) > 20
        for key in keys:
            assert {name for name in names if key_of(name) == key} == {
                name
                for pattern in file.patterns(key)
                for name in pattern.view.names
                if key_of(name) == key
            }
