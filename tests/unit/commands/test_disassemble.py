"""``u``, ``ub``, ``uu``, ``uf``, ``#``, ``.fnent`` on the practice dump."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from conftest_types import Items, Run

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import Failure, Notice
from polydbg.commands.stop_display import InstructionRow, SymbolLine
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, x86_context

UNREADABLE = "00000000`00000000 ??              ???"
CRASH = (
    "practice!record_sale [C:\\practice\\orders.c @ 68] "
    "[inlined in practice!price_line+0x17 [C:\\practice\\orders.c @ 68]]:"
)


@pytest.fixture
def at_crash(run: Run) -> Run:
    run(".ecxr")
    return run


def test_inlined_call_is_named_in_the_first_heading_only(at_crash: Run) -> None:
    assert at_crash("u @rip L3") == [
        CRASH,
        "00000001`40001567 897014          mov     dword ptr [rax+14h],esi",
        "00000001`4000156a 014810          add     dword ptr [rax+10h],ecx",
        "00000001`4000156d 48634004        movsxd  rax,dword ptr [rax+4]",
    ]


def test_heading_again_where_the_symbol_changes(run: Run) -> None:
    lines = run("u practice!find_price+1f L3")
    assert lines[0] == "practice!find_price+0x1f [C:\\practice\\orders.c @ 55]:"
    assert lines[2] == "practice!price_line [C:\\practice\\orders.c @ 65]:"


def test_u_goes_on_where_it_ended_until_the_context_changes(at_crash: Run) -> None:
    at_crash("u practice!find_price L2")
    assert at_crash("u")[1].startswith("00000001`40001537 7e14 ")
    assert len(at_crash("u")) > 8
    at_crash("~1s")
    assert at_crash("u")[0].startswith("practice!count_stock+0x")


def test_ub_ends_before_its_address_and_u_goes_on_there(at_crash: Run) -> None:
    assert at_crash("ub @rip L2")[-1].startswith("00000001`40001563 48634f04 ")
    assert at_crash("u")[0] == CRASH
    assert len([line for line in at_crash("ub practice!price_line+2 L6") if "`" in line]) == 6


def test_an_end_address_is_included(at_crash: Run) -> None:
    assert len(at_crash("u @rip @rip+3")) == 3


def test_unreadable_code(run: Run, items: Items) -> None:
    assert run("u 0") == [UNREADABLE, "         ^ Memory access error in 'u 0'"]
    assert run("uu 0") == [f"00000000`0000000{digit} ??              ???" for digit in range(8)]
    (failure,) = items("ub 0")
    assert isinstance(failure, Failure)
    assert failure.message == "Unable to find valid previous instruction"
    assert run("uf 0") == ["No code found, aborting"]


def test_the_last_bytes_of_the_address_space(run: Run) -> None:
    assert run("uu ffffffff`fffffffe") == [
        "ffffffff`fffffffe ??              ???",
        "ffffffff`ffffffff ??              ???",
    ]


def test_physical_and_real_mode_code_is_refused(run: Run) -> None:
    lines = run("up @rip L2")
    assert lines[0] == ("       ^ Operation not supported in current debug session 'up @rip L2'")
    assert "virtual memory" in lines[1]


def test_uf_shows_blocks_with_lines(run: Run) -> None:
    lines = run("uf practice!find_price")
    assert lines[:6] == [
        "practice!find_price [C:\\practice\\orders.c @ 51]:",
        "   51 00000001`40001530 4c634110        movsxd  r8,dword ptr [rcx+10h]",
        "   51 00000001`40001534 4d85c0          test    r8,r8",
        "   51 00000001`40001537 7e14            jle     "
        "practice!find_price+0x1d (00000001`4000154d)",
        "",
        "practice!find_price+0x9 [C:\\practice\\orders.c @ 51]:",
    ]
    assert lines[-1] == "   55 00000001`4000154f c3              ret"
    assert lines.count("") == 5
    assert run("uf /o practice!find_price+9") == lines
    assert run("uf /i practice!find_price")[:3] == ["12 instructions scanned", "", lines[0]]


def test_uf_m_lets_a_block_have_several_exits(run: Run) -> None:
    assert run("uf /m practice!find_price").count("") == 3


def test_uf_c_lists_calls(run: Run) -> None:
    assert run("uf /c practice!price_line") == [
        "practice!price_line (00000001`40001550) [C:\\practice\\orders.c @ 65]",
        "  practice!price_line+0xe (00000001`4000155e) [C:\\practice\\orders.c @ 66]:",
        "    call to practice!find_price (00000001`40001530) [C:\\practice\\orders.c @ 51]",
    ]
    assert run("uf /c practice!find_price")[1:] == ["    no calls found"]


def test_uf_without_symbols_takes_the_extent_from_unwind_data(tmp_path: Path) -> None:
    for name in ("practice.dmp", "practice.exe"):
        with resources.as_file(resources.files("polydbg") / "demo" / name) as path:
            shutil.copyfile(path, tmp_path / name)
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(tmp_path))
    session.open_dump(str(tmp_path / "practice.dmp"))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    found = list(interpreter.run("uf 140001567"))
    names = [item.identifier for item in found if isinstance(item, Notice)]
    assert "disassembly.extent-from-unwind-data" in names
    rows = [item for item in found if isinstance(item, InstructionRow)]
    assert (rows[0].address, rows[-1].mnemonic, len(rows)) == (0x140001550, "ret", 16)


def test_options_of_uf_are_checked(run: Run) -> None:
    assert run("uf /x practice")[0].endswith("^ Syntax error in 'uf /x practice'")


def test_assembly_options(session: Session, at_crash: Run) -> None:
    options = session.settings.assembly_options
    options.add("no_code_bytes")
    assert at_crash("u @rip L1")[1] == "00000001`40001567 mov     dword ptr [rax+14h],esi"
    options.clear()
    options.add("source_line")
    row = "00000001`40001567 897014          mov     dword ptr [rax+14h],esi"
    assert at_crash("u @rip L1")[1] == f"   68 {row}"
    session.settings.lines = False
    assert at_crash("uf @rip")[0] == "practice!price_line:"
    assert row in at_crash("uf @rip")
    options.clear()
    options.add("ignore_output_width")
    wide = "00000001`40001567 897014                  mov     dword ptr [rax+14h],esi"
    assert at_crash("u @rip L1")[1] == wide
    assert at_crash("r")[-1].startswith(wide)


def test_search_finds_the_next_match_and_goes_on(run: Run) -> None:
    found = "00000001`4000155e e8cdffffff      call    practice!find_price (00000001`40001530)"
    assert run("# call practice!price_line") == [found]
    assert run('# "call*find_price" practice!price_line L7') == [found]
    assert run("# e8cd* practice!price_line") == [found]
    assert run("# 4000155e practice!price_line") == [found]
    following = run("# ret")
    assert following == ["00000001`4000157b c3              ret"]
    assert run("#") != following
    assert run("# call practice!price_line L6") == [""]


def test_search_reaches_the_end_of_what_is_readable(run: Run) -> None:
    lines = run('# "no such text" practice!price_line')
    assert "Memory access error" in lines[0]
    assert lines[1].strip().startswith("no match before 00000001`4")


def test_search_without_a_pattern(run: Run) -> None:
    assert run("#")[0].endswith("^ Syntax error in '#'")


def test_function_entry(at_crash: Run) -> None:
    lines = at_crash(".fnent @rip")
    assert lines[0].startswith("Debugger function entry 00000001`4000")
    start = lines.index("BeginAddress      = 00000000`00001550")
    assert lines[start + 1] == "EndAddress        = 00000000`0000157c"
    assert lines[start + 4].endswith(", a bytes")
    assert lines[start + 5 :] == [
        "  version 1, flags 0, prolog 6, codes 3",
        "  00: offs 6, unwind op 2, op info 4\tUWOP_ALLOC_SMALL.",
        "  01: offs 2, unwind op 0, op info 7\tUWOP_PUSH_NONVOL reg: rdi.",
        "  02: offs 1, unwind op 0, op info 6\tUWOP_PUSH_NONVOL reg: rsi.",
    ]
    assert at_crash(".fnent 0")[0] == "No function entry for 00000000`00000000"


def test_return_values_have_the_type_of_the_function(run: Run) -> None:
    assert run(".fnret practice!find_price 0") == ["struct price * 0x00000000`00000000"]
    assert run(".fnret /s practice!count_stock 5; ?? @$callret + 1") == ["int 0n5", "int 0n6"]
    assert "starts at practice!main+0x1" in run(".fnret practice!main+1")[0]


def test_items_have_typed_fields(items: Items) -> None:
    title, row = items("u practice!find_price L1")
    assert isinstance(title, SymbolLine)
    assert (title.name, title.line) == ("practice!find_price", 51)
    assert isinstance(row, InstructionRow)
    assert (row.address, row.data, row.mnemonic) == (0x140001530, "4c634110", "movsxd")
    assert msgspec.to_builtins(row)["operands"] == "r8,dword ptr [rcx+10h]"


def _interpret(path: Path, builder: MinidumpBuilder) -> Callable[[str], list[str]]:
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return lambda line: [text for i in interpreter.run(line) for text in i.text().split("\n")][:-1]


def test_code_without_modules_has_no_heading(tmp_path: Path) -> None:
    builder = MinidumpBuilder().thread(4, amd64_context(rip=0x5000))
    builder.memory(0x5000, bytes.fromhex("55 eb01 cc c3"))
    run = _interpret(tmp_path / "a.dmp", builder)
    assert run("u L2") == [
        "00000000`00005000 55              push    rbp",
        "00000000`00005001 eb01            jmp     00000000`00005004",
    ]
    lines = run("uf .")
    assert "no symbol and no unwind data" in lines[0]
    assert [line[:17] for line in lines[1:]] == [
        "00000000`00005000",
        "00000000`00005001",
        "",
        "00000000`00005004",
    ]


def test_x86_addresses_have_eight_digits(tmp_path: Path) -> None:
    builder = MinidumpBuilder("x86").thread(4, x86_context(eip=0x401000))
    builder.memory(0x401000, bytes.fromhex("8bff 55 8bec c3"))
    run = _interpret(tmp_path / "a.dmp", builder)
    assert run("u L2") == [
        "00401000 8bff            mov     edi,edi",
        "00401002 55              push    ebp",
    ]
    assert run("u . L1") == ["00401000 8bff            mov     edi,edi"]
    assert run("ub 401005 L1") == ["00401003 8bec            mov     ebp,esp"]
    assert run("uu fffffffe") == ["fffffffe ??              ???", "ffffffff ??              ???"]
