"""NatVis files: what they say, what is refused, and how names match."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.natvis.model import (
    ArrayItems,
    CustomListItems,
    Exec,
    Formatted,
    If,
    Item,
    LinkedListItems,
    Loop,
    NatvisFile,
    Synthetic,
    TreeItems,
)
from polydbg.formats.natvis.names import key_of, match_name, parse_name, stars_in
from polydbg.formats.natvis.reader import read_natvis
from polydbg.formats.natvis.texts import split_format, split_pieces
from polydbg.formats.natvis.xml_tree import MAX_DEPTH, MAX_TEXT

NAMESPACE = "http://schemas.microsoft.com/vstudio/debugger/natvis/2010"


def read(types: str) -> NatvisFile:
    text = f'<?xml version="1.0"?>\n<AutoVisualizer xmlns="{NAMESPACE}">\n{types}\n'
    return read_natvis(f"{text}</AutoVisualizer>".encode())


def test_a_type_with_everything() -> None:
    (view,) = read(
        """<Type Name="app::List&lt;*&gt;" Priority="High" Inheritable="false">
          <AlternativeType Name="app::Queue&lt;*&gt;"/>
          <Intrinsic Name="count" Expression="size + n"><Parameter Name="n" Type="int"/></Intrinsic>
          <DisplayString Condition="size == 0" Optional="true">empty</DisplayString>
          <DisplayString IncludeView="simple">{{ {size,d} of {name,[len]su} }}</DisplayString>
          <Expand HideRawView="1">
            <Item Name="[{size}]">items[0],view(simple)na</Item>
            <Synthetic Name="rest"><DisplayString>more</DisplayString>
              <Expand><Item Name="a">a</Item></Expand></Synthetic>
            <ArrayItems><Direction>Backward</Direction><Rank>2</Rank><Size>dims[$i]</Size>
              <ValuePointer Condition="x">p</ValuePointer><ValuePointer>q</ValuePointer>
            </ArrayItems>
            <LinkedListItems><HeadPointer>head</HeadPointer><NextPointer>next</NextPointer>
              <ValueNode Name="n{$i}">this</ValueNode></LinkedListItems>
            <TreeItems><Size>size</Size><HeadPointer>h</HeadPointer><LeftPointer>l</LeftPointer>
              <RightPointer>r</RightPointer><ValueNode Condition="!nil">v</ValueNode></TreeItems>
          </Expand></Type>"""
    ).types
    assert view.names == ("app::List<*>", "app::Queue<*>")
    assert (view.priority, view.is_inheritable, view.hides_raw) == (4, False, True)
    assert view.intrinsics[0].parameters == ("n",)
    assert (view.display[0].condition, view.display[0].is_optional) == ("size == 0", True)
    assert view.display[1].include_view == "simple"
    assert view.display[1].pieces == (
        "{ ", Formatted("size", "d"), " of ", Formatted("name", "[len]su"), " }",
    )  # fmt: skip
    item, synthetic, array, linked, tree = view.parts or ()
    assert isinstance(item, Item)
    assert item.what == Formatted("items[0]", "view(simple)na")
    assert isinstance(synthetic, Synthetic)
    assert len(synthetic.parts) == 1
    assert isinstance(array, ArrayItems)
    assert (array.rank, array.is_forward) == ("2", False)
    assert [each.condition for each in array.pointers] == ["x", ""]
    assert isinstance(linked, LinkedListItems)
    assert linked.value_name == ("n", Formatted("$i"))
    assert isinstance(tree, TreeItems)
    assert tree.value_condition == "!nil"


def test_custom_lists_are_programs() -> None:
    (view,) = read(
        """<Type Name="T"><Expand><CustomListItems MaxItemsPerView="5">
          <Variable Name="n" InitialValue="head"/><Size>count</Size>
          <Loop Condition="n != 0">
            <If Condition="n->a"><Item Name="[a]">n->a</Item></If>
            <Elseif Condition="n->b"><Break/></Elseif>
            <Else><Exec>n = 0</Exec></Else>
            <Exec Condition="n">n = n->next</Exec>
          </Loop></CustomListItems></Expand></Type>""".replace("->", "-&gt;")
    ).types
    (part,) = view.parts or ()
    assert isinstance(part, CustomListItems)
    assert part.variables == (("n", "head"),)
    (loop,) = part.body
    assert isinstance(loop, Loop)
    branches, step = loop.body
    assert isinstance(branches, If)
    assert [condition for condition, _ in branches.branches] == ["n->a", "n->b", ""]
    assert isinstance(step, Exec)
    assert step.expression == "n = n->next"


def test_what_is_not_known_is_listed() -> None:
    found = read('<Type Name="T"><Odd/><UIVisualizer/><Expand>\n<Other/></Expand></Type><More/>')
    assert [(each.name, each.line) for each in found.unsupported] == [
        ("Odd", 3), ("Other", 4), ("More", 4),
    ]  # fmt: skip


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<AutoVisualizer>&b;</AutoVisualizer>"""
EXTERNAL = b"""<!DOCTYPE a SYSTEM "file:///etc/passwd"><AutoVisualizer/>"""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (BOMB, "line 1: document types and entities are refused"),
        (EXTERNAL, "line 1: document types and entities are refused"),
        (b"", "no element found"),
        (b"<AutoVisualizer>", "no sound XML"),
        (b"<AutoVisualizer>&x;</AutoVisualizer>", "undefined entity"),
        (b"<a/>", "line 1: the outermost element is a"),
        (b"<AutoVisualizer>\n<Type/></AutoVisualizer>", "line 2: a type has no name"),
        (b'<?xml version="1.0" encoding="klingon"?><AutoVisualizer/>', "encoding"),
        (b"<AutoVisualizer>" + b"<a>" * (MAX_DEPTH + 1), "too deep"),
        (b"<AutoVisualizer>" + b"x" * (MAX_TEXT + 1) + b"</AutoVisualizer>", "too long"),
        (b'<AutoVisualizer a="' + b"x" * (MAX_TEXT + 1) + b'"/>', "too long"),
    ],
    ids=["bomb", "external", "empty", "open", "entity", "root", "no-name", "encoding", "deep",
         "text", "attribute"],
)  # fmt: skip
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_natvis(data)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ('<Type Name="T"><DisplayString>{x</DisplayString></Type>', "a brace does not close"),
        ('<Type Name="T" Priority="Odd"/>', "no such priority: odd"),
        ('<Type Name="T"><Expand><ArrayItems/></Expand></Type>', "ArrayItems needs Size"),
        ('<Type Name="T"><Expand><Item Name="a"/></Expand></Type>', "Item has no expression"),
        ('<Type Name="T"><Intrinsic Name="f"/></Type>', "an intrinsic needs"),
        ("<Type Name='T'><Expand><CustomListItems><Else/></CustomListItems></Expand></Type>",
         "Else without If"),
    ],
    ids=["brace", "priority", "size", "item", "intrinsic", "else"],
)  # fmt: skip
def test_what_is_malformed_names_the_line(types: str, words: str) -> None:
    with pytest.raises(FormatError, match=f"line 3: {words}"):
        read(types)


@pytest.mark.parametrize(
    ("text", "expression", "specifiers"),
    [
        ("x", "x", ""),
        ("x,x", "x", "x"),
        ("f(a, b)", "f(a, b)", ""),
        ("f(a, b),d", "f(a, b)", "d"),
        ("p,[f(n, m)]s8", "p", "[f(n, m)]s8"),
        ("p,[n + 1]s8", "p", "[n + 1]s8"),
        ("*this,view(simple)na", "*this", "view(simple)na"),
        ("v,!", "v", "!"),
        ("v,10", "v", "10"),
        ("A<int,long>::b", "A<int,long>::b", ""),
        ("c == ','", "c == ','", ""),
        ("c == ',',d", "c == ','", "d"),
    ],
)
def test_formats_are_split_off(text: str, expression: str, specifiers: str) -> None:
    assert split_format(text) == Formatted(expression, specifiers)


def test_pieces_of_display_strings() -> None:
    assert split_pieces("a {b,x} {{c}}") == ("a ", Formatted("b", "x"), " {c}")
    assert split_pieces('{f("}")}') == (Formatted('f("}")'),)
    assert split_pieces("{") is None


def bound(pattern: str, name: str) -> list[str] | None:
    tree, other = parse_name(pattern), parse_name(name)
    assert tree is not None
    assert other is not None
    found = match_name(tree, other)
    return None if found is None else [each.text for each in found]


@pytest.mark.parametrize(
    ("pattern", "name", "texts"),
    [
        ("std::vector<*,*>", "std::vector<int, std::allocator<int> >",
         ["int", "std::allocator<int>"]),
        ("std::vector<*>", "std::vector<int, std::allocator<int>>", ["int", "std::allocator<int>"]),
        ("std::vector<bool,*>", "std::vector<int, A>", None),
        ("A<*,*>", "A<int>", None),
        ("A<*>", "A<>", []),
        ("A<*>::B<*>", "A<int>::B<char>", ["int", "char"]),
        ("A<*>", "A<int>::B", None),
        ("A<B<*>,*>", "A<class B<X>,int>", ["X", "int"]),
        ("std::array<*,4>", "std::array<int, 4ul>", ["int"]),
        ("&[*]", "&[alloc::string::String]", ["alloc::string::String"]),
        ("V<*>", "V<(i32, u8), fn(i32) -> A<u8>>", ["(i32, u8)", "fn(i32) -> A<u8>"]),
    ],
    ids=range(11),
)  # fmt: skip
def test_names_match(pattern: str, name: str, texts: list[str] | None) -> None:
    assert bound(pattern, name) == texts


def test_bindings_say_how_to_reach_the_argument() -> None:
    pattern, name = parse_name("M<*,A<*>,*>"), parse_name("M<int,A<P<x> >,char>")
    assert pattern is not None
    assert name is not None
    assert [each.path for each in match_name(pattern, name) or ()] == [(0,), (1, 0), (2,)]
    assert stars_in(pattern) == 3


@pytest.mark.parametrize("name", ["A<int", "A<(>)", "A<" * 100 + ">" * 100, "A" * 20000, "A<}>"])
def test_names_that_are_none(name: str) -> None:
    tree = parse_name(name)
    assert tree is None or tree.text == name


@pytest.mark.parametrize(
    "name",
    ["a::b<c>", "&[u8]", "(int,f<x>)", "core::{impl#0}::x<y>", "class V<int> ", "a>b", "", "<x>",
     "a b < c >", "dyn a::b<c>+d", "f->g<x>"],
    ids=range(11),
)  # fmt: skip
def test_keys_are_those_of_the_whole_name(name: str) -> None:
    tree = parse_name(name)
    assert key_of(name) == (tree.key if tree is not None else "")
