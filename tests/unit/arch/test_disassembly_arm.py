"""ARM and Thumb listings; the codes are what LLVM's assembler makes of the instructions."""

from __future__ import annotations

import pytest

from polydbg.arch.disassembly import Disassembler, FlowKind

THUMB = [
    ("f0b5", "b5f0     push        {r4-r7,lr}", FlowKind.NEXT, None),
    ("2de9f84f", "e92d4ff8 push        {r3-r11,lr}", FlowKind.NEXT, None),
    ("01f000f8", "f001f800 bl          app!f (00002004)", FlowKind.CALL, 0x2004),
    ("069b", "9b06     ldr         r3,[sp,#0x18]", FlowKind.NEXT, None),
    ("2ded088b", "ed2d8b08 vpush       {d8-d11}", FlowKind.NEXT, None),
    ("20b1", "b120     cbz         r0,app!f (0000100c)", FlowKind.BRANCH, 0x100C),
    ("7047", "4770     bx          lr", FlowKind.RETURN, None),
    ("10bd", "bd10     pop         {r4,pc}", FlowKind.RETURN, None),
    ("08d0", "d008     beq         app!f (00001014)", FlowKind.BRANCH, 0x1014),
    ("9847", "4798     blx         r3", FlowKind.CALL, None),
    ("5df814fb", "f85dfb14 ldr         pc,[sp],#0x14", FlowKind.RETURN, None),
    ("dfe800f0", "e8dff000 tbb         [pc,r0]", FlowKind.JUMP, None),
    ("fede", "defe     trap", FlowKind.STOP, None),
]
ARM = [
    ("30482de9", "e92d4830 push        {r4-r5,r11,lr}", FlowKind.NEXT, None),
    ("04b08de2", "e28db004 add         r11,sp,#4", FlowKind.NEXT, None),
    ("400000eb", "eb000040 bl          app!f (00001108)", FlowKind.CALL, 0x1108),
    ("1eff2f01", "012fff1e bxeq        lr", FlowKind.BRANCH, None),
    ("1080bde8", "e8bd8010 pop         {r4,pc}", FlowKind.RETURN, None),
]


@pytest.mark.parametrize(
    ("arch", "code", "shown", "kind", "target"),
    [("thumb", *row) for row in THUMB] + [("arm", *row) for row in ARM],
)
def test_rows_and_flow(
    arch: str, code: str, shown: str, kind: FlowKind, target: int | None
) -> None:
    decoder = Disassembler(arch)
    row = decoder.decode_one(bytes.fromhex(code), 0x1000, lambda address: "app!f")
    assert row is not None
    assert row.row("00001000") == f"00001000 {shown}"
    flow = decoder.flow(row)
    assert (flow.kind, flow.target) == (kind, target)


def test_what_is_no_instruction_takes_one_unit() -> None:
    (row,) = Disassembler("thumb").decode(b"\xff\xff", 0)
    assert (row.mnemonic, row.data) == ("???", b"\xff\xff")
