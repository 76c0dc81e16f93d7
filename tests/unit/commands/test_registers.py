"""``r`` and its forms."""

from __future__ import annotations

import pytest
from conftest_types import Items, Run

from polydbg.commands.output import Failure
from polydbg.commands.registers_text import extended_float_text


def test_the_block_is_followed_by_the_instruction(run: Run) -> None:
    run(".ecxr")
    lines = run("r")
    assert lines[0] == "Last set context:"
    assert lines[1].startswith("rax=")
    assert lines[-2].endswith(":")
    assert lines[-1].startswith("00000001`40001567 ")


def test_names_parts_and_flags(run: Run) -> None:
    run(".ecxr; .cxr")
    value = int(run("r rsp")[0].split("=")[1], 16)
    assert run("r esp") == [f"esp={value & 0xFFFFFFFF:x}"]
    assert run("r rsp,rip")[0].count("=") == 2
    assert run("r zf")[0] in ("zf=0", "zf=1")
    assert run("r @rsp") == run("r rsp")


def test_user_registers(run: Run) -> None:
    assert run("r $t0") == ["$t0=0000000000000000"]
    assert run("r $t0 = 5") == [""]
    assert run("r $t0") == ["$t0=0000000000000005"]
    assert run("? @$t0 + 1") == ["Evaluate expression: 6 = 00000000`00000006"]


@pytest.mark.parametrize("line", ["r nosuch", "r rax=5", "r $nosuch"])
def test_refusals(line: str, items: Items) -> None:
    failure = items(line)[-1]
    assert isinstance(failure, Failure)
    assert "Bad register error" in failure.text()


def test_masks(run: Run) -> None:
    assert run("rm")[0] == "Register output mask is a:"
    assert run("rM 80")[0] == "Ignored invalid bits 80"
    assert run("rX")[0].startswith("xmm0=")
    assert run("rF")[0].startswith("fpcw=")


def test_float_texts() -> None:
    assert extended_float_text(0) == " 0.000000000000000000000e+0000"
    assert extended_float_text(0x3FFF8000000000000000) == " 1.000000000000000000000e+0000"
    assert extended_float_text(0xC0008000000000000000) == "-2.000000000000000000000e+0000"
