"""``k`` and ``.frame`` on the practice dump: columns, letters, counts, scope."""

from __future__ import annotations

import re

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure, Notice
from polydbg.commands.stack import FrameRow

FRAME = re.compile(r"^[0-9a-f]{2} [0-9a-f]{8}`[0-9a-f]{8} [0-9a-f]{8}`[0-9a-f]{8}     \S")


def test_k_has_todays_heading_and_numbered_rows(run: Run) -> None:
    run(".ecxr")
    lines = run("k")
    assert lines[0] == "  *** Stack trace for last set context - .thread/.cxr resets it"
    assert lines[1] == " # Child-SP          RetAddr               Call Site"
    assert lines[2].startswith("00 (Inline Function) --------`--------     practice!record_sale")
    assert lines[2].endswith("orders.c @ 60]")
    assert any(FRAME.match(line) for line in lines)


def test_a_count_is_hex_and_leaves_out_the_context_line(run: Run) -> None:
    run(".ecxr")
    assert len(run("k 2")) == 3
    assert len(run("k 0n3")) == 4


def test_inlined_calls_are_rows_of_their_own(run: Run, items: Items) -> None:
    run(".ecxr")
    rows = [i for i in items("k") if isinstance(i, FrameRow)]
    inlined = [r for r in rows if r.is_inline]
    assert inlined
    assert inlined[0].text().count("(Inline Function) --------`--------") == 1
    run(".inline 0")
    assert not any(r.is_inline for r in items("k") if isinstance(r, FrameRow))


def test_kc_prints_names_alone(run: Run) -> None:
    run(".ecxr")
    lines = run("kc 2")
    assert lines[0] == " # Call Site"
    assert re.fullmatch(r"00 practice!\w+", lines[1])


def test_kl_hides_source_and_kf_shows_sizes(run: Run) -> None:
    run(".ecxr")
    assert not any("[" in line for line in run("kL 3"))
    lines = run("kf 6")
    assert lines[0].startswith(" #   Memory  Child-SP")
    assert any(re.match(r"^[0-9a-f]{2}\s+[0-9a-f]+ [0-9a-f]{8}`", line) for line in lines[2:])


def test_kv_prints_four_words_of_home_space(run: Run) -> None:
    run(".ecxr")
    row = next(line for line in run("kv") if "main" in line)
    assert row.count(" : ") == 2
    assert len(row.split(" : ")[1].split()) == 4


def test_every_frame_says_how_it_was_found(items: Items, run: Run) -> None:
    run(".ecxr")
    rows = [i for i in items("k") if isinstance(i, FrameRow)]
    assert rows[0].trust == "context"
    assert [r.trust for r in rows if r.call_site.startswith("practice!")].count("scan") == 0


def test_a_warning_stands_before_the_first_guess(items: Items, run: Run) -> None:
    """The practice dump comes without the system's DLLs: their frames can only be guessed."""
    run(".ecxr")
    found = items("k")
    guess = next(n for n, i in enumerate(found) if isinstance(i, FrameRow) and i.is_guess)
    before = [i for i in found[:guess] if isinstance(i, Notice)]
    assert "Following frames may be wrong" in before[-1].text()
    assert not any(isinstance(i, FrameRow) and i.is_guess for i in found[:guess])


def test_frames_are_chosen_and_kept(run: Run) -> None:
    run(".ecxr")
    first = run(".frame 1")[0]
    assert first.startswith("01 ")
    assert run(".frame") == [first]
    assert run(".f+")[0].startswith("02 ")
    assert run(".f-") == [first]
    assert "Cannot find frame 0x99, previous scope unchanged" in run(".frame 99")
    assert run(".frame") == [first]


def test_the_chosen_frame_stays_the_one_whose_registers_are_put_in_force(run: Run) -> None:
    """A frame that another was inlined in is not the first row of its own registers."""
    run(".ecxr")
    second, third = run(".frame 1")[0], run(".frame 2")[0]
    run(".frame /c 1")
    assert run(".frame")[0] == second
    assert run(".f+")[0] == third
    run(".frame /c 2")
    assert run(".frame")[0][2:] == third[2:]
    assert run("k 1")[-1][2:] == third[2:]


def test_lost_registers_of_a_caller_are_not_shown_as_values(run: Run) -> None:
    """Volatile registers do not survive a call; the callee's values must not stand in."""
    run(".ecxr")
    block = "\n".join(run(".frame /r 4"))
    assert "rax=????????????????" in block
    assert re.search(r"rip=[0-9a-f]{16}", block)


@pytest.mark.parametrize("line", ["kx", "k nosuch", "k 10000"])
def test_wrong_arguments_fail_in_one_line(line: str, items: Items) -> None:
    failures = [i for i in items(line) if isinstance(i, Failure)]
    assert len(failures) == 1
    assert "Traceback" not in failures[0].text()


def test_k_from_given_registers(run: Run) -> None:
    run(".ecxr")
    plain = run("kL 3")[1:]
    assert run("k = @rsp @rip 3")[1:] != []
    assert [line.split()[1] for line in run("kL = @rsp @rip 3")[1:]] == [
        line.split()[1] for line in plain
    ]


def test_kframes_sets_the_default_depth(run: Run) -> None:
    assert run(".kframes") == ["Default stack trace depth is 0n256 frames"]
    assert run(".kframes 2") == ["Default stack trace depth is 0n2 frames"]
    assert len(run("k")) == 3
