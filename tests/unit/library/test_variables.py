"""Variables as Python objects: parts, texts, what cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import polydbg
from polydbg.base.errors import CommandError
from polydbg.library.session import DumpSession
from polydbg.library.variables import Variable
from polydbg.types.place import ValueUnavailableError

pytestmark = pytest.mark.corpus


@pytest.fixture
def session(data_dir: Path, sample_dump: Callable[[str], Path]) -> Iterator[DumpSession]:
    folder = data_dir / "samples" / "win" / "bin"
    with polydbg.open(sample_dump("nullwrite"), symbols=folder, images=folder) as found:
        yield found


def _frame_variable(session: DumpSession, number: int, name: str) -> Variable:
    return list(session.crash_frames(4))[number].locals[name]


def test_the_known_truth_of_a_structure(session: DumpSession) -> None:
    first = _frame_variable(session, 2, "first")
    assert first["id"].value == 1001
    assert (first["state"].value, first["state"].text) == (5, "ORDER_PAID (0n5)")
    flags = first["flags"]
    shown = {each.name: each.value for each in flags}
    assert shown == {"gift": 1, "priority": 5, "zone": 100, "offset": -3, "rest": 0xBEEF}
    assert flags["zone"].address is None  # bit fields have none
    items = first["items"]
    assert (len(items), items[0]["sku"].value, items[0]["grade"].text) == (3, 0xC0FFEE, "0n65 'A'")
    assert items[1]["price"]["real"].value == 19.75
    assert first["customer"].string() == "Ada Example"
    assert first["city"].string() == "K\u00f6ln"
    assert (first["box"]["low"]["x"].value, first["weight"].value) == (11, 2.5)
    assert first["code"].value == "AX-17"
    assert first["next"]["customer"].string() == "Blue Door"  # through the pointer
    assert first["next"].dereference()["id"].value == 1002


def test_pointers_have_elements(session: DumpSession) -> None:
    rates = _frame_variable(session, 1, "rates")
    assert [rates[number].value for number in range(3)] == [3, 1, 4]
    with pytest.raises(IndexError):
        rates[-1]


def test_what_is_not_there(session: DumpSession) -> None:
    frames = list(session.crash_frames(5))
    first = frames[2].locals["first"]
    with pytest.raises(KeyError):
        first["nosuch"]
    with pytest.raises(IndexError):
        first["items"][3]
    with pytest.raises(KeyError):
        frames[2].locals["nosuch"]
    item = frames[0].locals["item"]  # the null pointer of the crash
    assert item.value == 0
    with pytest.raises(polydbg.DebuggerError):
        _ = item["sku"].value
    assert item["sku"].problem
    assert not item["sku"].is_available
    with pytest.raises(CommandError) as error:
        _ = frames[4].locals
    assert error.value.identifier == "types.no-locals"


def test_expressions(session: DumpSession) -> None:
    assert session.value("sizeof(nullwrite!order)").value == 0xA8
    with pytest.raises(polydbg.DebuggerError):
        session.value("nosuch")


def test_a_lost_value_says_why(data_dir: Path, sample_dump: Callable[[str], Path]) -> None:
    folder = data_dir / "samples" / "win" / "bin"
    with polydbg.open(sample_dump("fastpath"), symbols=folder, images=folder) as session:
        tally = next(each for each in session.crash_frames() if each.symbol == "tally")
        scale = tally.locals["scale"]
        assert "scale" in tally.locals.parameters
        assert not scale.is_available
        with pytest.raises(ValueUnavailableError) as error:
            _ = scale.value
        assert error.value.message == scale.problem != ""


def test_an_index_is_of_the_elements_that_a_view_shows(
    data_dir: Path, sample_dump: Callable[[str], Path]
) -> None:
    win = data_dir / "samples" / "win"
    folders = [win / "bin", win / "wine"]
    with polydbg.open(sample_dump("shelf"), symbols=folders, images=folders) as session:
        read = next(each for each in session.crash_frames() if each.symbol == "read")
        books = read.locals["shelf"]["books_"]
        assert books["[size]"].value == 2  # the rows before the elements have names alone
        assert books[1]["year"].value == 1987
        assert [books[0]["pages"][number].value for number in range(3)] == [1, 2, 3]
        with pytest.raises(IndexError):
            books[2]
        with pytest.raises(IndexError):
            read.locals["shelf"]["counter_"][1]
    with polydbg.open(sample_dump("shelf.wine"), symbols=folders, images=folders) as session:
        read = next(each for each in session.crash_frames() if each.symbol == "read")
        with pytest.raises(ValueUnavailableError, match="is not present"):
            read.locals["shelf"]["books_"][0]  # the heap is not in the file


def test_the_text_of_a_pointer_that_is_lost(
    data_dir: Path, sample_dump: Callable[[str], Path]
) -> None:
    folder = data_dir / "samples" / "win" / "bin"
    with polydbg.open(sample_dump("fastpath"), symbols=folder, images=folder) as session:
        tally = next(each for each in session.crash_frames() if each.symbol == "tally")
        assert str(tally.locals["tree"]) == "tree * tree = <value unavailable>"
