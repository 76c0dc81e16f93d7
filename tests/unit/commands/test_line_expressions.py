"""`` `file:line` `` in expressions: quiet, the exact line first, inlined code included."""

from __future__ import annotations

from conftest_types import Items, Run

from polydbg.commands.output import Notice
from polydbg.engine.line_search import search_groups
from polydbg.engine.modules import SymbolState
from polydbg.engine.session import Session


def test_an_inlined_line_is_found_where_it_was_inlined(run: Run, session: Session) -> None:
    """Line 60 is where the program crashed, inlined in price_line."""
    event = session.current.target.event()
    assert event is not None
    address = event.exception.address
    for name in ("orders.c", "practice!orders.c", "ORDERS.C"):
        assert run(f"? `{name}:60`")[-1].endswith(f"{address >> 32:08x}`{address & 0xFFFFFFFF:08x}")


def test_modules_without_symbols_are_passed_over_in_silence(items: Items) -> None:
    found = items("? `orders.c:60`; ? `nothing.c:1`")
    assert not any(isinstance(item, Notice) for item in found)


def test_what_was_passed_over_is_said_when_it_matters(items: Items, session: Session) -> None:
    items("? `nothing.c:1`")
    module = session.current.modules.named("kernel32")
    assert module is not None
    assert module.state is SymbolState.NONE
    session.files.unwind_data_missing(module)
    assert any("kernel32.dll not found" in item.text() for item in items("? 1"))


def test_modules_with_symbols_and_with_the_name_come_first(session: Session) -> None:
    modules = session.current.modules
    here = modules.named("practice")
    first, named, rest = search_groups(modules, "c:\\src\\ntdll.c", here)
    assert first[0] is here
    assert [module.name for module in named] == ["ntdll"]
    assert len(first) + len(named) + len(rest) == len(modules.modules)
