"""Memory of a big-endian processor, as s390x cores have it."""

from __future__ import annotations

from pathlib import Path

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.testing.core_builder import ElfCoreBuilder

S390 = 22
STACK = 0x3FF00001000


def lines(tmp_path: Path, line: str) -> list[str]:
    registers = [0] * 17
    builder = ElfCoreBuilder(is_big=True, machine=S390).thread(7, 11, *registers)
    builder.memory(STACK, bytes(range(0x41, 0x51)) + b"\0a\0b\0\0" + bytes(10), 0x1000)
    path = tmp_path / "big.core"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    shown = "\n".join(item.text() for item in interpreter.run(line)).rstrip("\n")
    session.close()
    return shown.split("\n")


def test_words(tmp_path: Path) -> None:
    at = f"{STACK:x}"
    assert lines(tmp_path, f"dw {at} L2") == ["000003ff`00001000  4142 4344"]
    assert lines(tmp_path, f"dq {at} L1") == ["000003ff`00001000  41424344`45464748"]
    assert lines(tmp_path, f"dps {at} L1") == ["000003ff`00001000  41424344`45464748"]
    # The characters stay as they lie.
    assert lines(tmp_path, f"dc {at} L2") == [
        "000003ff`00001000  41424344 45464748                    ABCDEFGH"
    ]
    assert lines(tmp_path, f"du {at}+10") == ['000003ff`00001010  "ab"']


def test_expressions_and_searches(tmp_path: Path) -> None:
    at = f"{STACK:x}"
    assert lines(tmp_path, f"? dwo({at}+4)") == [
        "Evaluate expression: 1162233672 = 00000000`45464748"
    ]
    (hit,) = lines(tmp_path, f"s -d {at} L8 45464748")
    assert hit.startswith("000003ff`00001004  45464748")
