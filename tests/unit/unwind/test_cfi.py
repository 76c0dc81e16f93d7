"""Call frame rules: where they lead, and how far that is believed."""

from __future__ import annotations

from typing import Literal

import pytest

from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.symbols.frame_info import CfiRules
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.walker import walk

CODE, STACK = 0x400000, 0x7FFF00001000
RETURNS = {".cfa": "$rsp 8 +", ".ra": ".cfa -8 + ^"}


class Context:
    """A module without image whose symbols have rules for all of it, and a stack."""

    byte_order: Literal["little", "big"] = "little"

    address_mask = 0

    def __init__(self, rules: dict[str, str], *quads: int) -> None:
        self.rules = rules
        self.memory = BufferSpace(b"".join(q.to_bytes(8, "little") for q in quads), STACK)

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        return None

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + 0x1000

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> CfiRules | None:
        return CfiRules(self.rules) if self.is_code(address) else None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None


def frames(context: Context) -> list[Frame]:
    return list(walk(context, {"rip": CODE + 0x10, "rsp": STACK}, 10))


def test_a_caller_in_a_module_is_sure() -> None:
    found = frames(Context(RETURNS, CODE + 0x20, 0))
    assert [(f.pc, f.trust) for f in found] == [
        (CODE + 0x10, FrameTrust.CONTEXT),
        (CODE + 0x20, FrameTrust.CFI),
    ]
    assert found[-1].return_address == 0


def test_code_outside_all_modules_is_shown_and_marked() -> None:
    found = frames(Context(RETURNS, 0x50000010, 0))
    assert [(f.pc, f.trust) for f in found][1:] == [(0x50000010, FrameTrust.NO_MODULE)]
    assert found[1].trust.is_guess


@pytest.mark.parametrize("distance", [0, 8, 0x100000])
def test_nothing_returns_to_the_stack(distance: int) -> None:
    found = frames(Context(RETURNS, STACK + distance, 0))
    assert len(found) == 1
    assert found[0].note.startswith("call frame rules lead to 00007fff`00")
    assert found[0].note.endswith(", which is on the stack")


@pytest.mark.parametrize("rules", [{".cfa": "$rsp 8 +"}, {".cfa": "$rsp 8 +", ".ra": ".undef"}])
def test_no_return_address_ends_the_stack(rules: dict[str, str]) -> None:
    (only,) = frames(Context(rules, CODE + 0x20))
    assert only.return_address == 0
