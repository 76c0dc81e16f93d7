"""Views of the libraries' types: those of libstdc++ against gdb's own printers, Rust's against what
the program puts into its variables."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.engine.model.context import ModelContext
from polydbg.engine.model.native import NativeObject
from polydbg.engine.session import Session
from polydbg.engine.variables import variables_of
from polydbg.engine.views.words import words_of
from polydbg.types.model import ArrayType, CompoundType, Encoding, PointerType, ScalarType
from polydbg.types.presentation import Child
from polydbg.types.scalars import number_of
from polydbg.types.value import Value

pytestmark = pytest.mark.peer

PROGRAMS = Path(__file__).parent / "programs"
BUILDS = {
    "gcc": ("g++", "-O0 -std=c++17"),
    "gcc-20": ("g++", "-O1 -std=c++20 -gdwarf-4"),
    "gcc-old-abi": ("g++", "-O0 -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=0"),
    "clang": ("clang++-19", "-O0 -std=c++17"),
    "clang-whole": ("clang++-19", "-O0 -std=c++20 -fstandalone-debug"),
}
LIMIT = 30
_ABOUT = ("[size]", "[capacity]", "[bucket_count]", "[index]", "[strong]", "[weak]")
_NOT_COMPARED = frozenset(
    (
        "any", "any_empty", "any_string", "path", "bitset", "function", "function_empty",
        "complex", "atomic", "it", "mit", "mit_end", "mit_root", "ref",
    )
)  # fmt: skip
"""gdb shows the type in ``any`` and only the ones of ``bitset``, takes ``path`` apart, makes a text
of ``atomic`` and of iterators, and has no printer for the others."""


def _locals(core: Path, function: str) -> tuple[Session, dict[str, Value]]:
    session = Session()
    system = session.open_dump(str(core))
    for row in session.stack(system, system.scope_registers(), 40):
        if row.place.symbol == function:
            found = variables_of(system, row) or []
            return session, {each.name: each.value for each in found}
    raise AssertionError(f"no frame of {function}")


def _plain(session: Session, value: Value) -> Any:
    """Return a value as ``gdb_views.py`` does."""
    bare = value.type.bare
    if isinstance(bare, PointerType) and bare.is_reference:
        return _plain(session, value.target())
    if isinstance(bare, ScalarType):
        number = number_of(value)
        return bool(number) if bare.encoding is Encoding.BOOL else number
    if isinstance(bare, PointerType):
        return value.bits()
    if isinstance(bare, ArrayType):
        count = min(bare.count or 0, LIMIT)
        return [_plain(session, value.element(index)) for index in range(count)]
    assert isinstance(bare, CompoundType)
    found = session.presenter.present(value)
    if found is None:
        return [_plain(session, value.member(each)) for each in bare.members]
    assert not found.problem, found
    if "basic_string" in found.view:
        assert found.text is not None
        return found.text[1:-1]
    if found.children is None:
        (member,) = bare.members
        return [_plain(session, value.member(member))]
    rows = [each for each in islice(found.children(0), LIMIT + 3) if each.name not in _ABOUT]
    return [_row(session, each) for each in rows[:LIMIT]]


def _row(session: Session, row: Child) -> Any:
    assert row.value is not None, row.text
    return _plain(session, row.value)


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, str) and theirs.endswith("..."):
        return str(ours).startswith(theirs[:20])
    return ours == theirs or [ours] == theirs  # without a printer, gdb's are the members


@pytest.mark.parametrize("name", BUILDS)
def test_views_of_libstdcxx_are_gdbs(name: str, tmp_path: Path) -> None:
    compiler, flags = BUILDS[name]
    if shutil.which(compiler) is None or shutil.which("gdb") is None:
        pytest.skip(f"needs {compiler} and gdb")
    program = tmp_path / name
    command = [compiler, "-g", *flags.split(), "-o", str(program), str(PROGRAMS / "views.cpp")]
    subprocess.run(command, check=True, cwd=tmp_path)
    subprocess.run(
        ["gdb", "-q", "-batch", "-x", PROGRAMS / "gdb_views.py", program],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False,
        env={**os.environ, "VIEWS_OUT": str(program)},
    )  # fmt: skip
    theirs = json.loads(Path(f"{program}.json").read_text())
    session, ours = _locals(Path(f"{program}.core"), "main")
    compared = [
        (variable, _plain(session, ours[variable]), expected)
        for variable, expected in theirs.items()
        # clang leaves out types that gdb's printers need
        if variable not in _NOT_COMPARED and "error" not in str(expected)
    ]
    assert [each for each in compared if not _same(*each[1:])] == []
    assert len(compared) > (20 if name == "clang" else 40)
    if "-O0" in flags:
        # Lists of the old ABI have no count.
        other = {"longlist": "{...}"} if "old-abi" in name else {}
        assert _texts(session, ours) == CXX_TEXTS | other


CXX_TEXTS = {
    "small": '"short text"', "empty": '""', "wide": '"wide \u00e9"', "utf16": '"utf \u20ac"',
    "view": '"short"', "numbers": "{ size=5 }", "none": "{ size=0 }", "bits": "{ size=70 }",
    "deque": "{ size=305 }", "longlist": "{ size=100000 }", "map": "{ size=3 }",
    "umap": "{ size=1 }", "unique_null": "empty", "shared_null": "empty", "opt": "9",
    "opt_none": "nullopt", "opt_string": '"held"', "variant": '"variant text"',
    "variant_double": "2.500000", "variant_int": "12", "pair": '(4, "four")',
    "tuple": '(1, "tuple", 0.500000)', "tuple_empty": "()", "array": "{ size=4 }",
    "bitset": "{ size=70 }", "function_empty": "empty", "any_empty": "empty", "ms": "1500 ms",
    "secs": "90 s", "path": '"/usr/lib"', "pq": "{ size=2 }", "atomic": "33",
    "mit": '(2, "two")', "mit_end": "end", "mit_root": '(3, "three")', "ref": "2",
    "complex": "1.500000-2.000000i",
}  # fmt: skip
"""Display strings, known from the program."""


def _texts(session: Session, values: dict[str, Value]) -> dict[str, str]:
    return {each: words_of(session.presenter, values[each]) for each in CXX_TEXTS}


RUST_TEXTS = {
    "nonzero": "Some(0x5)",
    "string": '"rust text"', "empty": '""', "str_slice": '"rust"', "unicode": '"h\u00e9 \u20ac"',
    "numbers": "{ len=3 }", "slice": "{ len=2 }", "many": "{ len=100000 }", "deque": "{ len=4 }",
    "boxed_slice": "{ len=2 }", "boxed_str": '"boxed"', "arc": "5", "some": "Some(7)",
    "none": "None", "some_string": 'Some("held")', "none_string": "None", "ok": "Ok(1)",
    "err": 'Err("bad")', "shape1": "Empty", "shape2": "Circle { r: 1.500000 }",
    "shape3": "Rect(2, 3)", "hash": "{ len=1 }", "btree": "{ len=5 }", "btree_empty": "{ len=0 }",
    "cell": "6", "refcell": "{ len=1 } (borrowed 1 times)", "mutex": "12", "path": '"/usr/lib"',
    "os": '"os"', "tuple": '(1, "t", 0.500000)', "list": "{ len=2 }",
}  # fmt: skip

RUST_ROWS: dict[str, list[str]] = {
    "numbers": ["1", "2", "3"], "slice": ["2", "3"], "names": ['"one"', '"two"'],
    "pairs": ["(1, 0x2)", "(3, 0x4)"], "deque": ["-1", "0", "1", "2"], "boxed_slice": ["7", "8"],
    "hash": ['(42, "answer")'], "hashset": ["0x9"], "list": ["1", "2"],
    "btree": ['"v0"', '"v1"', '"v2"', '"v3"', '"v4"'], "btreeset": ["2", "4"],
    "btree_big": [str(each * each) for each in range(200)], "nested": ["Some(1)", "None"],
}  # fmt: skip


def _numbered_rows(session: Session, value: Value) -> list[str]:
    found = session.presenter.present(value)
    assert found is not None
    assert found.children is not None
    rows = (each for each in found.children(0) if re.match(r"\[.*\d.*\]", each.name))
    return [words_of(session.presenter, each.value) for each in rows if each.value is not None]


@pytest.fixture(scope="module")
def rust_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("rustc") is None or shutil.which("gdb") is None:
        pytest.skip("needs rustc and gdb")
    folder = tmp_path_factory.mktemp("rust")
    built = subprocess.run(
        ["rustc", "-g", "-Awarnings", "-o", folder / "views", PROGRAMS / "views.rs"],
        check=False, cwd=folder, capture_output=True,
    )  # fmt: skip
    if built.returncode:
        pytest.skip("rustc does not build the program here")
    subprocess.run(
        ["gdb", "-q", "-batch", "-ex", "run", "-ex", "generate-core-file core", folder / "views"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False, cwd=folder,
    )  # fmt: skip
    return folder / "core"


def test_views_of_rust_are_what_the_program_made(rust_core: Path) -> None:
    session, values = _locals(rust_core, "views::main")
    texts = {each: words_of(session.presenter, values[each]) for each in RUST_TEXTS}
    assert texts == RUST_TEXTS
    assert {each: _numbered_rows(session, values[each]) for each in RUST_ROWS} == RUST_ROWS
    many = sorted(_numbered_rows(session, values["hash2"]))
    assert many == sorted(f'("k{each}", {each})' for each in range(20))


def test_dx_goes_through_references_of_rust(rust_core: Path) -> None:
    session, values = _locals(rust_core, "views::main")
    context = ModelContext(session, CancelToken())
    elements = NativeObject(values["refhash"], context).elements()
    assert [each.load().words() for each in elements or ()] == ['(42, "answer")']
    parts = NativeObject(values["refstring"], context).parts()
    rows = {each.name: each.load() for each in parts if each.name}
    assert str(rows["[chars]"].words()).endswith(' : "rust text"')


def test_many_elements_are_shown_from_anywhere_at_once(rust_core: Path) -> None:
    session, values = _locals(rust_core, "views::main")
    found = session.presenter.present(values["many"])
    assert found is not None
    assert found.children is not None
    started = time.process_time()
    rows = list(islice(found.children(90_000), 100))
    assert time.process_time() - started < 2
    assert [each.value and number_of(each.value) for each in rows[:2]] == [179996, 179998]


LIBCXX_TEXTS = {
    "s": ('"abc"', ["97 'a'", "98 'b'", "99 'c'"]),
    "l": ('"abcdefghijklmnopqrstuvwxyz"', None),
    "v": ("{ size=3 }", ["1", "2", "3"]),
    "li": ("{ size=2 }", ["5", "6"]),
    "m": ("{ size=2 }", ["(1, 0.500000)", "(2, 0.000000)"]),
    "t": ("(4, ...)", ["4", "0.000000"]),
}


def test_views_of_libcxx_fit_its_public_layouts(tmp_path: Path) -> None:
    if shutil.which("clang++-19") is None or shutil.which("gdb") is None:
        pytest.skip("needs clang++ and gdb")
    command = ["clang++-19", "-g", "-w", "-o", "views", PROGRAMS / "views_libcxx.cpp"]
    subprocess.run(command, check=True, cwd=tmp_path)
    subprocess.run(
        ["gdb", "-q", "-batch", "-ex", "run", "-ex", "generate-core-file core", "views"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False, cwd=tmp_path,
    )  # fmt: skip
    session, values = _locals(tmp_path / "core", "main")
    for name, (text, expected) in LIBCXX_TEXTS.items():
        assert words_of(session.presenter, values[name]) == text
        assert expected is None or _numbered_rows(session, values[name]) == expected, name
