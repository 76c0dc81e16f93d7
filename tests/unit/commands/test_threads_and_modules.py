"""``~``, ``|``, ``||``, ``lm``, ``.exr``, ``.ecxr``, ``vertarget`` on the practice dump."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.commands.modules import ModuleRow
from polydbg.commands.output import Failure
from polydbg.commands.threads import ThreadRow
from polydbg.engine.modules import SymbolState
from polydbg.engine.session import Session

ROW = re.compile(r"^[.# ]  ?\d+  Id: [0-9a-f]+\.[0-9a-f]+ Suspend: \d+ Teb: \S+ Unfrozen")


def test_thread_rows(run: Run, items: Items) -> None:
    rows = [i for i in items("~") if isinstance(i, ThreadRow)]
    assert len(rows) >= 2
    assert all(ROW.match(r.text()) for r in rows)
    assert [r.marker for r in rows].count(".") == 1


def test_choosing_a_thread_changes_prompt_and_registers(session: Session, run: Run) -> None:
    before = run("r rsp")
    lines = run("~1s")
    assert re.match(r"^\S+:$", lines[0])
    assert session.prompt == "0:001> "
    assert run("r rsp") != before
    assert run("~.")[0].startswith(".  1")


def test_prefixed_commands_leave_the_current_thread(session: Session, run: Run) -> None:
    prompt = session.prompt
    assert len(run("~*e .echo x")) == len(session.current.threads)
    every = run("~*k 1")
    assert sum("Id: " in line for line in every) == len(session.current.threads)
    assert session.prompt == prompt


def test_wrong_selectors(items: Items) -> None:
    for line, words in (
        ("~99s", "Illegal thread error"),
        ("|5s", "Illegal process error"),
        ("||5s", "Illegal debuggee error"),
        ("~1f", "Operation not supported in current debug session"),
    ):
        failure = items(line)[-1]
        assert isinstance(failure, Failure)
        assert words in failure.text()


def test_processes_and_systems(run: Run, session: Session) -> None:
    assert re.match(r"^\.  0\tid: [0-9a-f]+\texamine\tname: .*practice\.exe$", run("|")[0])
    assert run("||")[0].startswith(".  0 User mini dump: ")
    session.open_dump(session.current.target.path)
    assert session.prompt.startswith("||0:0:")
    run("||1s")
    assert session.prompt.startswith("||1:0:")


def test_modules(run: Run, items: Items) -> None:
    assert run("lm")[0] == "start             end                 module name"
    assert any("(deferred)" in line for line in run("lm"))
    rows = [i for i in items("lm m practice") if isinstance(i, ModuleRow)]
    assert [r.name for r in rows] == ["practice"]
    run(".ecxr")
    assert "(private pdb symbols)" in run("lm m practice")[1]
    assert "practice" in run("lm1m")
    assert len(run("lm a @rip")) == 2
    details = "\n".join(run("lmvm practice"))
    for label in ("Image path:", "Image name:", "Timestamp:", "CheckSum:", "ImageSize:"):
        assert label in details


def test_no_match_gives_the_heading_alone(run: Run) -> None:
    assert run("lm m nosuch*") == ["start             end                 module name"]


def test_exception(run: Run) -> None:
    lines = run(".exr -1")
    assert lines[0].startswith("ExceptionAddress: 0000000140001567 (practice!")
    assert lines[1] == "   ExceptionCode: c0000005 (Access violation)"
    assert lines[-1].startswith("Attempt to write to address 00000000")
    assert run(".lastevent")[0].startswith("Last event: ")


def test_exception_context_holds_until_reset(run: Run) -> None:
    assert "rip=0000000140001567" in "\n".join(run(".ecxr"))
    assert run("r rip") == ["Last set context:", "rip=0000000140001567"]
    assert run(".cxr") == ["Resetting default scope"]
    assert run("r rip")[0].startswith("rip=")


def test_target(run: Run) -> None:
    lines = run("vertarget")
    assert re.match(r"^Windows \S+ Version \d+ .*Free x64$", lines[0])
    assert any(line.startswith("Debug session time: ") for line in lines)
    assert run(".effmach") == ["Effective machine: x64 (AMD64)"]


def test_modules_without_symbols_count_as_loaded(session: Session, run: Run) -> None:
    """``lml`` and the image line are about what is not deferred, as in the engine's transcripts."""
    module = session.current.modules.modules[-1]
    assert "Loaded symbol image file" not in "\n".join(run(f"lmvm {module.name}"))
    module.state = SymbolState.NONE
    assert any(f" {module.name} " in line for line in run("lml"))
    assert "Loaded symbol image file" in "\n".join(run(f"lmvm {module.name}"))


@pytest.mark.corpus
def test_file_flags_have_names(data_dir: Path, session: Session, run: Run) -> None:
    session.open_dump(str(data_dir / "minidump" / "breakpad" / "ascii_read_av_conditional.dmp"))
    run("||1s")
    assert "    File flags:       1 (Mask 3F) Debug" in run("lmvm msvcr90d")
