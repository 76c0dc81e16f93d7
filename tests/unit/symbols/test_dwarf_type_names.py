"""Types of DWARF by name: shared strings, tables of strings, type units, declarations."""

from __future__ import annotations

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_type_builder import DeclaredType
from polydbg.symbols.dwarf_type_names import spellings
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry
from polydbg.types.model import CompoundType, EnumType, PointerType, Type, TypedefType

Attribute = tuple[int, int, int | str | bytes]
C99, CPP = 0x0C, 0x04


def name(text: str, form: int = c.FORM_STRP) -> Attribute:
    return c.AT_NAME, form, text


def size(value: int) -> Attribute:
    return c.AT_BYTE_SIZE, c.FORM_DATA1, value


def struct(text: str, bytes_: int, *children: Entry, label: str = "") -> Entry:
    return Entry(c.TAG_STRUCTURE_TYPE, name(text), size(bytes_), children=children, label=label)


def declared(text: str, label: str = "") -> Entry:
    flag = (c.AT_DECLARATION, c.FORM_FLAG, 1)
    return Entry(c.TAG_STRUCTURE_TYPE, name(text), flag, label=label)


def space(text: str, *children: Entry) -> Entry:
    return Entry(c.TAG_NAMESPACE, name(text), children=children)


def unit(made: DwarfBuilder, *children: Entry, language: int = CPP) -> None:
    root = (c.AT_LANGUAGE, c.FORM_DATA1, language)
    made.unit(Entry(c.TAG_COMPILE_UNIT, root, children=children))


def source(made: DwarfBuilder) -> DwarfSource:
    return DwarfSource(DwarfFile(made.debug_sections()), "x", base=0, lowest=0x800)


def sizes(made: DwarfSource, *names: str) -> list[int | None]:
    found = [made.type_named(each) for each in names]
    return [each.size if each is not None else None for each in found]


def names_of(found: list[Type]) -> list[str]:
    return [each.name for each in found]


@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("offset_size", [4, 8])
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_scopes_and_cases(version: int, offset_size: int, big: bool) -> None:
    made = DwarfBuilder(version, big=big, offset_size=offset_size)
    unit(made, struct("Node", 1), space("a", struct("Node", 2)), struct("node", 3))
    unit(made, space("a", space("b", struct("Node", 4))))
    found = source(made)
    assert sizes(found, "Node", "a::Node", "node", "a::b::Node") == [1, 2, 3, 4]
    assert sizes(found, "struct Node", "class a::Node", "enum Node") == [1, 2, None]
    assert sizes(found, "NODE", "A::B::node", "Nod", "a::c::Node") == [1, 4, None, None]
    matching = list(found.types_matching("a::*", CancelToken()))
    assert names_of(matching) == ["a::Node", "a::b::Node"]
    assert names_of(list(found.types_matching("*node", CancelToken()))) == [
        "Node",
        "a::Node",
        "node",
        "a::b::Node",
    ]


def test_names_that_share_their_ends() -> None:
    made = DwarfBuilder()
    text = made.add(".debug_str", b"other\0big_tree_node\0")
    place = (c.AT_NAME, c.FORM_STRP, text + len("other\0big_tree_"))
    unit(made, Entry(c.TAG_STRUCTURE_TYPE, place, size(9)), struct("another", 1))
    assert sizes(source(made), "node", "tree_node") == [9, None]


def test_names_in_tables_of_strings() -> None:
    made = DwarfBuilder()
    texts = [made.add(".debug_str", each) for each in (b"zero\0", b"Wanted\0")]
    first = made.add(".debug_str_offsets", made.measured(made.number(5, 2) + bytes(2)) + bytes(8))
    second = made.add(
        ".debug_str_offsets", made.measured(made.number(5, 2) + bytes(2) + bytes(8))[:8]
    )
    assert second > first
    for each in texts:
        made.add(".debug_str_offsets", made.offset(each))
    root = Entry(
        c.TAG_COMPILE_UNIT,
        (c.AT_LANGUAGE, c.FORM_DATA1, CPP),
        (c.AT_STR_OFFSETS_BASE, c.FORM_SEC_OFFSET, second + 8),
        children=[
            Entry(c.TAG_STRUCTURE_TYPE, size(7), (c.AT_NAME, c.FORM_STRX1, 1)),
            Entry(c.TAG_STRUCTURE_TYPE, size(6), (c.AT_NAME, c.FORM_STRX, 0)),
        ],
    )
    made.unit(root)
    assert sizes(source(made), "Wanted", "zero") == [7, 6]


def test_names_without_a_fixed_place() -> None:
    made = DwarfBuilder()
    loose = Entry(
        c.TAG_STRUCTURE_TYPE, (c.AT_BYTE_SIZE, c.FORM_UDATA, 300), name("Loose", c.FORM_STRING)
    )
    unit(made, loose)
    assert sizes(source(made), "Loose") == [300]


@pytest.mark.parametrize("version", [4, 5])
def test_units_of_one_type(version: int) -> None:
    made = DwarfBuilder(version)
    root = (c.AT_LANGUAGE, c.FORM_DATA1, CPP)
    inner = Entry(
        c.TAG_STRUCTURE_TYPE,
        name("Own"),
        size(12),
        children=[struct("Part", 5)],
        label="own",
    )
    made.unit(
        Entry(c.TAG_COMPILE_UNIT, root, children=[space("n", inner)]),
        kind=c.UT_TYPE,
        signature=0x77,
        type_label="own",
    )
    flag = (c.AT_DECLARATION, c.FORM_FLAG, 1)
    repeated = Entry(
        c.TAG_STRUCTURE_TYPE,
        flag,
        (c.AT_SIGNATURE, c.FORM_REF_SIG8, 0x77),
        children=[Entry(c.TAG_TYPEDEF, name("value"))],
        label="mark",
    )
    pointer = Entry(c.TAG_POINTER_TYPE, (c.AT_TYPE, c.FORM_REF4, "mark"), label="pointer")
    alias = Entry(c.TAG_TYPEDEF, name("Alias"), (c.AT_TYPE, c.FORM_REF4, "pointer"))
    unit(made, space("n", repeated), pointer, alias)
    found = source(made)
    assert sizes(found, "n::Own", "n::Own::Part") == [12, 5]
    whole = found.type_named("Alias")
    assert whole is not None
    assert isinstance(whole.bare, PointerType)
    assert whole.bare.target is found.type_named("n::Own")
    assert isinstance(found.type_named("n::Own::value"), TypedefType)


def test_declarations_are_completed_by_other_units() -> None:
    made = DwarfBuilder()
    pointer = Entry(c.TAG_POINTER_TYPE, (c.AT_TYPE, c.FORM_REF4, "mark"), label="pointer")
    alias = Entry(c.TAG_TYPEDEF, name("Alias"), (c.AT_TYPE, c.FORM_REF4, "pointer"))
    unit(made, space("n", declared("Far", label="mark")), pointer, alias)
    unit(made, space("n", struct("Far", 24)), declared("Gone"))
    found = source(made)
    assert sizes(found, "n::Far") == [24]
    alias_type = found.type_named("Alias")
    assert alias_type is not None
    assert isinstance(alias_type.bare, PointerType)
    far = alias_type.bare.target
    assert isinstance(far, DeclaredType)
    assert (far.name, far.size, far.is_declaration) == ("n::Far", 24, False)
    gone = found.type_named("Gone")
    assert isinstance(gone, CompoundType)
    assert (gone.size, gone.is_declaration, gone.members) == (None, True, ())


def test_classes_that_are_completed_outside_of_their_scope() -> None:
    made = DwarfBuilder()
    whole = Entry(
        c.TAG_STRUCTURE_TYPE,
        (c.AT_SPECIFICATION, c.FORM_REF4, "inner"),
        size(16),
        children=[struct("Deep", 3)],
    )
    outer = Entry(
        c.TAG_CLASS_TYPE, name("Outer"), size(8), children=[declared("Inner", label="inner")]
    )
    unit(made, outer, whole)
    found = source(made)
    assert sizes(found, "Outer::Inner", "Outer::Inner::Deep") == [16, 3]
    matching = list(found.types_matching("Outer*", CancelToken()))
    assert names_of(matching) == ["Outer", "Outer::Inner", "Outer::Inner::Deep"]


def test_declarations_that_complete_each_other() -> None:
    made = DwarfBuilder()
    loop = Entry(
        c.TAG_STRUCTURE_TYPE,
        (c.AT_SPECIFICATION, c.FORM_REF4, "inner"),
        size(16),
        children=[declared("Inner", label="inner"), struct("Deep", 3)],
    )
    unit(made, loop)
    found = source(made)
    for each in found.types_matching("*", CancelToken()):
        assert each.name
    assert found.type_named("Deep") is None


def test_a_typedef_of_the_same_name_gives_way() -> None:
    made = DwarfBuilder()
    typedef = Entry(c.TAG_TYPEDEF, name("tag"), (c.AT_TYPE, c.FORM_REF4, "tag"))
    unit(made, typedef, struct("tag", 8, label="tag"), language=C99)
    found = source(made).type_named("tag")
    assert isinstance(found, CompoundType)


def test_opaque_enumerations_are_completed() -> None:
    made = DwarfBuilder()
    flag = (c.AT_DECLARATION, c.FORM_FLAG, 1)
    opaque = Entry(c.TAG_ENUMERATION_TYPE, name("E"), flag, size(4), label="e")
    alias = Entry(c.TAG_TYPEDEF, name("Alias"), (c.AT_TYPE, c.FORM_REF4, "e"))
    unit(made, opaque, alias)
    one = Entry(c.TAG_ENUMERATOR, name("ONE"), (c.AT_CONST_VALUE, c.FORM_DATA1, 1))
    unit(made, Entry(c.TAG_ENUMERATION_TYPE, name("E"), size(4), children=[one]))
    found = source(made).type_named("Alias")
    assert found is not None
    assert isinstance(found.bare, EnumType)
    assert [each.name for each in found.bare.enumerators] == ["ONE"]


def test_spellings() -> None:
    assert spellings("plain") == ["plain"]
    found = spellings("a<b<c,d>>")
    assert found[0] == "a<b<c,d>>"
    assert "a<b<c, d> >" in found
    assert "a<b<c, d>>" in found


@pytest.mark.parametrize("version", [2, 4, 5])
def test_patterns_find_what_has_their_text_in_its_name_or_its_scopes(version: int) -> None:
    made = DwarfBuilder(version)
    shared = made.add(".debug_str", b"a_Walker_of\0") + len("a_")
    place = (c.AT_NAME, c.FORM_STRP, shared)
    unit(
        made,
        struct("other", 1),
        space("walking", struct("inner", 2)),
        Entry(c.TAG_STRUCTURE_TYPE, place, size(3)),
    )
    found = source(made)

    def matching(pattern: str) -> list[str]:
        return names_of(list(found.types_matching(pattern, CancelToken())))

    assert matching("*walk*") == ["walking::inner", "Walker_of"]
    assert matching("*WALKER*") == ["Walker_of"]
    assert matching("*walking::in*") == ["walking::inner"]
    assert matching("*a_walker*") == []
    assert matching("*") == ["other", "walking::inner", "Walker_of"]
