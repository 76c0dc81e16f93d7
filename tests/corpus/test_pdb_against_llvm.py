"""The PDB reader against what others say of the same files.

``peer-output``: llvm-pdbutil's records and llvm-symbolizer's frames; ``*.sym`` beside the PDBs:
Breakpad's dump, made with Microsoft's DIA; ``expected/symbolic``: inlined calls of crash.pdb;
``windbg-transcripts``: the debugger's own lists and frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.symbols.demangle import undecorate
from polydbg.symbols.pdb import PdbSource, open_pdb
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.types.naming import spelled

pytestmark = pytest.mark.corpus
pytest.importorskip("pycxxfilt")

DIA = [
    "breakpad-win/dump_syms_regtest",
    "breakpad-win/dump_syms_regtest64",
    "breakpad-win/omap_stretched",
    "breakpad-win/omap_reorder_bbs",
    "symbolic-windows/crash",
]
REFUSED = {
    "TypeServerTest.pdb": "pdb.types_only",
    "portable.pdb": "pdb.portable",
    "Sentry.Samples.Console.Basic.pdb": "pdb.portable",
    "System.Threading.Thread.pdb": "pdb.portable",
}


def pdbs(data_dir: Path) -> list[Path]:
    found = sorted((data_dir / "symbols").rglob("*.pdb"))
    found += sorted((data_dir / "samples" / "win" / "bin").glob("*.pdb"))
    return [path for path in found if path.is_file()]


def peer(data_dir: Path, path: Path, tool: str) -> str:
    """The recorded output of a tool for a file of ``symbols``, "" when there is none."""
    name = path.relative_to(data_dir / "symbols")
    output = data_dir / "peer-output" / "symbols" / f"{name}.{tool}.txt"
    return output.read_text("utf-8", "replace") if output.exists() else ""


def test_every_pdb_opens_or_is_refused_by_name(data_dir: Path) -> None:
    checked = 0
    for path in pdbs(data_dir):
        if path.name in REFUSED:
            with pytest.raises(FormatError) as caught:
                open_pdb(path)
            assert caught.value.identifier == REFUSED[path.name], path
            continue
        pdb = open_pdb(path)
        text = ""
        if path.is_relative_to(data_dir / "symbols"):
            text = peer(data_dir, path, "llvm-pdbutil")
        guid = re.search(r"GUID: \{([0-9A-F-]+)\}", text)
        if guid:
            assert pdb.debug_id.guid == guid[1].replace("-", ""), path
            checked += 1
        pdb.close()
    assert checked >= 30


def test_the_age_is_that_of_dbi(data_dir: Path) -> None:
    """The file's own age is 2 and 4, the images name 1."""
    for name in ("samply-win64/softokn3.pdb", "symbolic-windows/crash_with_srcsrv.pdb"):
        assert open_pdb(data_dir / "symbols" / name).debug_id.age == 1


# -- records, as llvm-pdbutil dumps them ---------------------------------------------------------

_RECORD = re.compile(r"\| (S_PUB32|S_[GL]PROC32) \[size = \d+\] `(.*)`$")
_ADDRESS = re.compile(r"addr = (\d{4}):(\d+)")


def dumped_records(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, name, packed address) of publics and functions."""
    kind = name = ""
    for line in text.splitlines():
        record = _RECORD.search(line)
        address = _ADDRESS.search(line)
        if record:
            kind, name = record[1], record[2]
        elif address and kind:
            yield kind, name, int(address[1]) << 32 | int(address[2])
            kind = ""


def test_every_dumped_record_is_found_at_its_address(data_dir: Path) -> None:
    count = 0
    for path in pdbs(data_dir):
        if path.name in REFUSED or not path.is_relative_to(data_dir / "symbols"):
            continue
        pdb = open_pdb(path)
        for kind, name, key in dumped_records(peer(data_dir, path, "llvm-pdbutil")):
            rva = pdb.file.rva_of_key(key)
            if rva is None:
                continue  # a section that the image does not have: absolute symbols
            if pdb.file.key_of_rva(rva) != key:
                continue  # one past the end of its section
            here = pdb.symbols_at(rva)
            names = {symbol.name for symbol in here}
            shown = undecorate(name) if kind == "S_PUB32" else name
            private = any(symbol.kind is not SymbolKind.PUBLIC for symbol in here)
            assert shown in names or (kind == "S_PUB32" and private), (path, name)
            if kind != "S_PUB32":
                found = pdb.symbol_at(rva)
                assert found is not None
                assert found.kind is SymbolKind.FUNCTION, (path, name)
            count += 1
    assert count >= 400


# -- frames, as llvm-symbolizer prints them ------------------------------------------------------


def recorded_frames(text: str) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Yield (RVA, frames from the innermost as (name, file:line)) of a recorded run."""
    rva, frames = -1, list[tuple[str, str]]()
    for line in text.splitlines():
        start = re.match(r"0x([0-9a-f]+): ?(.*)", line)
        body = start[2] if start else line.removeprefix(" (inlined by) ")
        if "[the tool itself crashed here]" in line:
            return
        if start:
            if frames:
                yield rva, frames
            rva, frames = int(start[1], 16), []
        name, _, place = f" {body}".rpartition(" at ")
        frames.append((name.strip(), place.lower()))
    if frames:
        yield rva, frames


def our_frames(pdb: PdbSource, rva: int) -> list[tuple[str, str]]:
    symbol, line = pdb.symbol_at(rva), pdb.line_at(rva)
    name = symbol.name if symbol is not None else ""
    place = f"{line.file}:{line.line}" if line is not None else "??:0"
    frames = [(site.name, f"{site.file}:{site.line}") for site in reversed(pdb.inlines_at(rva))]
    return [(name, place.lower()) for name, place in [*frames, (name, place)]]


def _bare(name: str) -> str:
    """A name without blanks, keywords, leading underscores; LLVM writes dtor for destructor."""
    name = re.sub(r"\b(?:class|struct|enum|union) ", "", name).replace("destructor", "dtor")
    return name.replace(" ", "").lstrip("_@")


def _same_name(theirs: str, ours: str) -> bool:
    theirs, ours = _bare(theirs), _bare(ours)
    return theirs == ours or theirs.startswith((ours + "(", ours.partition("@")[0] + "("))


def test_frames_of_llvm_symbolizer(data_dir: Path) -> None:
    """Names, lines and inlined calls; where they differ, one of the reasons below holds."""
    total, reasons = 0, dict[str, int]()
    for name in ("llvm-pdb/SimpleTest", "llvm-pdb/test", "llvm-pdb/test-pdb",
                 "breakpad-win/dump_syms_regtest64", "samply-win64/softokn3",
                 "dump_syms/basic32-min", "symbolic-windows/crash"):  # fmt: skip
        path = data_dir / "symbols" / f"{name}.pdb"
        image = path.with_suffix(".dll" if "softokn3" in name or "basic32" in name else ".exe")
        pdb = open_pdb(path)
        for rva, theirs in recorded_frames(peer(data_dir, image, "llvm-symbolizer")):
            total += 1
            reason = difference(pdb, rva, theirs, our_frames(pdb, rva))
            assert reason != "unknown", (name, hex(rva), theirs, our_frames(pdb, rva))
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
    assert total > 2000
    assert sum(reasons.values()) - reasons["thunk"] - reasons["folded"] < 100, reasons


def difference(
    pdb: PdbSource, rva: int, theirs: list[tuple[str, str]], ours: list[tuple[str, str]]
) -> str:
    """Return "" when both agree, a reason why ours is right, or "unknown"."""
    places = [place for _, place in theirs] == [place for _, place in ours]
    if len(theirs) == len(ours) and places:
        if all(_same_name(their[0], our[0]) for their, our in zip(theirs, ours, strict=True)):
            return ""
        symbol = pdb.symbol_at(rva)
        if theirs[0][0] == "":  # LLVM names no thunks, nor what lies between functions
            return "thunk"
        if symbol is not None and symbol.kind is SymbolKind.FUNCTION:
            folded = {_bare(each.name) for each in pdb.symbols_at(symbol.rva)}
            if _bare(theirs[-1][0].partition("(")[0]) in folded:
                return "folded"
            if symbol.rva + symbol.size <= rva:
                return "after a function LLVM takes the last public, we the last function"
        return "unknown"
    if len(ours) > len(theirs):
        # MSVC's sites have several ranges (hot and cold); symbolic's listing agrees with us.
        return "LLVM leaves out inlined calls" if theirs[-1][1] == ours[-1][1] else "unknown"
    if len(ours) < len(theirs):
        return "unknown"
    if (len(ours) > 1 and theirs[1:] == ours[1:]) or (theirs[-1][1] == ours[-1][1]):
        # llvm-pdbutil's own dump of the annotations gives our line.
        return "LLVM leaves out the line delta of an annotation"
    row = pdb.line_at(rva)
    if row is not None and row.rva == rva:
        return "of several rows at one address the last one has the code (as in DIA)"
    if row is not None and theirs[0][1].rpartition(":")[0] != ours[0][1].rpartition(":")[0]:
        # Rows of a second file in one function: LLVM stays in the block where it found one.
        rows = pdb.file.module_at(pdb.file.key_of_rva(rva) or 0)
        assert rows is not None
        return "LLVM takes the other file's row before"
    return "unknown"


# -- what DIA says -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIA)
def test_lines_and_functions_of_dia(data_dir: Path, name: str) -> None:
    path = data_dir / "symbols" / name
    pdb = open_pdb(path.with_suffix(".pdb"))
    files: dict[str, str] = {}
    lines = functions = 0
    for text in path.with_suffix(".sym").read_text("utf-8", "replace").splitlines():
        words = text.split()
        if words[0] == "FILE":
            files[words[1]] = text.split(" ", 2)[2].lower()
        elif words[0] == "FUNC":
            functions += check_function(pdb, text)
        elif re.fullmatch("[0-9a-f]+", words[0]) and len(words) == 4 and words[1] != "0":
            lines += check_line(pdb, words, files)
    assert lines > 700
    assert functions > 90


def check_function(pdb: PdbSource, text: str) -> int:
    text = text.replace("FUNC m ", "FUNC ")
    _, address, _, _, name = text.split(" ", 4)
    rva = int(address, 16)
    symbol = pdb.symbol_at(rva)
    assert symbol is not None, text
    # A rearranged function has several entries; all have the name of the one it was.
    assert symbol.rva <= rva
    candidates = {symbol.name, *(each.name for each in pdb.symbols_at(symbol.rva))}
    bare = name.replace(" ", "")
    assert any(each.replace(" ", "").lstrip("_@").partition("@")[0] in bare for each in candidates)
    return 1


def check_line(pdb: PdbSource, words: list[str], files: dict[str, str]) -> int:
    rva, size, line = int(words[0], 16), int(words[1], 16), int(words[2])
    if line == 0xF00F00:
        return 0  # "do not step here": we show the line before
    for at in (rva, rva + size - 1):
        row = pdb.line_at(at)
        assert row is not None, words
        assert (row.line, row.file.lower()) == (line, files[words[3]]), words
    return 1


# -- inlined calls of MSVC -----------------------------------------------------------------------

_SYMBOLIC = re.compile(r"^( *)> 0x([0-9a-f]+): (.*) \(0x[0-9a-f]+\)$")
_SYMBOLIC_LINE = re.compile(r"^ *0x([0-9a-f]+): (.*):(\d+) \(")


def test_inlined_calls_of_msvc(data_dir: Path) -> None:
    """Each listed line is where one of the frames at its address is."""
    pdb = open_pdb(data_dir / "symbols" / "symbolic-windows" / "crash.pdb")
    path = data_dir / "expected" / "symbolic" / "test_objects__pdb_functions.snap"
    depth, count, name = 0, 0, ""
    for text in path.read_text().splitlines():
        function, line = _SYMBOLIC.match(text), _SYMBOLIC_LINE.match(text)
        if function:
            depth, name = len(function[1]) // 2, function[3]
        elif line:
            rva = int(line[1], 16)
            frames = list(reversed(our_frames(pdb, rva)))
            place = f"\\{line[2].lower()}:{line[3]}"
            found = [frame for frame in frames if frame[1].endswith(place)]
            assert found, (text, frames)
            if depth:
                assert any(_bare(frame[0]) in _bare(name) for frame in found), (text, frames)
            count += 1
    assert count > 200


# -- the debugger's own words --------------------------------------------------------------------

_ROW = re.compile(r"^([0-9a-f]{8})`([0-9a-f]{8}) (\w+)!(.*)$")


def transcript(data_dir: Path, name: str, command: str) -> list[str]:
    """The lines that follow a command in a transcript."""
    path = data_dir / "windbg-transcripts" / "samples" / f"{name}.txt"
    lines = path.read_text("utf-8").splitlines()
    start = lines.index(f"0:000> {command}") + 1
    end = next(index for index in range(start, len(lines)) if lines[index].startswith("0:0"))
    return lines[start:end]


def row_of(pdb: PdbSource, module: str, symbol: Symbol) -> str:
    address = 0x140000000 + symbol.rva
    text = f"{address >> 32:08x}`{address & 0xFFFFFFFF:08x} {module}!{symbol.name}"
    if symbol.is_code:
        return f"{text} {pdb.signature_of(symbol) or '(<no parameter info>)'}"
    return text if symbol.kind is SymbolKind.DATA else f"{text} = <no type information>"


@pytest.mark.parametrize(
    ("name", "module", "pattern"),
    [
        ("figures-snap.figures", "figures", pattern)
        for pattern in ("*", "geometry::*", "geometry::Box::*", "*paint*", "*Vec*", "*Box*",
                        "*hidden*", "geometry::Figure::*")
    ]
    + [
        ("nullwrite.nullwrite", "nullwrite", pattern)
        for pattern in ("*", "g_*", "*order*", "price_order", "nosuch")
    ],
)  # fmt: skip
def test_lists_are_those_of_the_debugger(
    data_dir: Path, name: str, module: str, pattern: str
) -> None:
    """Same rows, same order: names, addresses and parameters (values are not ours to read)."""
    expected = []
    for line in transcript(data_dir, name, f"x {module}!{pattern}"):
        row = _ROW.match(line)
        assert row, line
        value = " = <no type information>" if line.endswith("= <no type information>") else ""
        expected.append(line.partition(" = ")[0] + value if " = " in line else line)
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / f"{module}.pdb")
    ours = [row_of(pdb, module, each) for each in pdb.symbols_matching(pattern, CancelToken())]
    assert ours == expected


@pytest.mark.parametrize(
    ("name", "module"), [("figures-snap.figures", "figures"), ("nullwrite.nullwrite", "nullwrite")]
)
def test_types_of_data(data_dir: Path, name: str, module: str) -> None:
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / f"{module}.pdb")
    for line in transcript(data_dir, name, f"x /t {module}!g_*"):
        row = re.match(rf"^[0-9a-f`]{{17}} (.*) {module}!(\w+) = ", line)
        assert row, line
        symbol = pdb.symbol_named(row[2])
        assert symbol is not None
        type_ = pdb.type_of_index(symbol.type_index)
        assert type_ is not None
        assert spelled(type_) == row[1]


def test_sizes_of_data(data_dir: Path) -> None:
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / "nullwrite.pdb")
    for line in transcript(data_dir, "nullwrite.nullwrite", "x /v nullwrite!g_*"):
        row = re.match(r"^prv global \S+ +([0-9a-f]+) nullwrite!(\w+) = ", line)
        assert row, line
        symbol = pdb.symbol_named(row[2])
        assert symbol is not None
        assert symbol.size == int(row[1], 16)


def test_lines_of_uf(data_dir: Path) -> None:
    """Inside inlined calls, too, the function's own line is the call's."""
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / "fastpath.pdb")
    count = 0
    for line in transcript(data_dir, "fastpath.fastpath", "uf fastpath!tally"):
        row = re.match(r"^ +(\d+) 00000001`4000([0-9a-f]{4}) ", line)
        if row:
            found = pdb.line_at(int(row[2], 16))
            assert found is not None
            assert (found.line, found.file) == (int(row[1]), "C:\\samples\\src\\fastpath.c"), line
            count += 1
    assert count > 50


def test_nested_inlined_calls_as_the_stack_shows_them(data_dir: Path) -> None:
    """``read_leaf+0x4b @ 16`` in ``walk+0x84 @ 23`` in ``tally+0x94 @ 31``."""
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / "fastpath.pdb")
    tally = pdb.symbol_named("tally")
    assert tally is not None
    rva = tally.rva + 0x94
    walk, leaf = pdb.inlines_at(rva)
    assert (walk.name, rva - walk.start_rva, walk.line, walk.call_line) == ("walk", 0x84, 23, 31)
    assert (leaf.name, rva - leaf.start_rva, leaf.line, leaf.call_line) == (
        "read_leaf",
        0x4B,
        16,
        23,
    )


def test_neighbours_as_ln_shows_them(data_dir: Path) -> None:
    for module, at, below, above in [
        ("fastpath", 0x15C4, "tally", "main"),
        ("nullwrite", 0x1580, "price_order", "run_shop"),
        ("nullwrite", 0xC020, "g_corner", "g_matrix"),
        ("figures", 0x15E0, "geometry::Box::paint", "total_area"),
        ("addin_a", 0x13DE, "addin_parse", "_do_global_dtors"),
    ]:
        pdb = open_pdb(data_dir / "samples" / "win" / "bin" / f"{module}.pdb")
        found = pdb.neighbours(at)
        assert [each.name if each else "" for each in found] == [below, above]


def test_frames_in_a_pdb_of_msvc(data_dir: Path) -> None:
    pdb = open_pdb(data_dir / "symbols" / "kdlib" / "cv_allreg_amd64" / "targetapp.pdb")
    for name, offset, line, parameters in [
        ("test_cv_allreg_amd64", 0x39, 126, "(char *, char *)"),
        ("operator new", 0x1F, 35, "(unsigned int64)"),
    ]:
        symbol = pdb.symbol_named(name)
        assert symbol is not None
        row = pdb.line_at(symbol.rva + offset)
        assert row is not None
        assert row.line == line
        assert pdb.signature_of(symbol) == parameters


@pytest.mark.parametrize("pattern", ["*leaf*", "walk", "tally"])
def test_inlined_calls_in_lists(data_dir: Path, pattern: str) -> None:
    pdb = open_pdb(data_dir / "samples" / "win" / "bin" / "fastpath.pdb")
    rows = [row_of(pdb, "fastpath", each) for each in pdb.symbols_matching(pattern, CancelToken())]
    for call in pdb.inlined_matching(pattern, CancelToken()):
        offset = call.rva - call.caller.rva
        caller = f"fastpath!{call.caller.name}+{offset:x}"
        rows.append(
            f"00000001`{0x40000000 + call.rva:08x} fastpath!{call.name} =  (inline caller) {caller}"
        )
    assert rows == transcript(data_dir, "fastpath.fastpath", f"x fastpath!{pattern}")
