"""What error numbers mean, and that the tables are in order."""

from __future__ import annotations

import pytest

from polydbg.base.error_codes import meaning_of, ntstatus_meaning
from polydbg.base.error_codes_status import HRESULT, NTSTATUS
from polydbg.base.error_codes_win32 import TABLE


@pytest.mark.parametrize(("table", "radix"), [(TABLE, 10), (NTSTATUS, 16), (HRESULT, 16)])
def test_tables_ascend_and_every_row_has_words(table: str, radix: int) -> None:
    rows = [line.split(" ", 2) for line in table.strip().splitlines()]
    codes = [int(code, radix) for code, _, _ in rows]
    assert codes == sorted(set(codes))
    assert len({name for _, name, _ in rows}) == len(rows)
    assert all(text.endswith(".") for _, _, text in rows)


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        (0, "Win32", "ERROR_SUCCESS"),
        (5, "Win32", "ERROR_ACCESS_DENIED"),
        (10054, "Win32", "WSAECONNRESET"),
        (0xC0000374, "NTSTATUS", "STATUS_HEAP_CORRUPTION"),
        (0x80000003, "NTSTATUS", "STATUS_BREAKPOINT"),
        (0xE06D7363, "NTSTATUS", "MSVC_CPP_EXCEPTION"),
        (0x80004005, "HRESULT", "E_FAIL"),
        (0x80070005, "HRESULT", "ERROR_ACCESS_DENIED"),
        (0xD0000022, "HRESULT", "STATUS_ACCESS_DENIED"),
        (0xFFFFFFFF_C0000005, "NTSTATUS", "STATUS_ACCESS_VIOLATION"),
    ],
)
def test_known_codes(code: int, kind: str, name: str) -> None:
    found = meaning_of(code)
    assert (found.kind, found.name) == (kind, name)
    assert found.is_known


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (54321, "unknown"),
        (0x80041234, "unknown (failure, facility ITF, code 0x1234)"),
        (0x87FF0001, "unknown (failure, facility 0x7ff, code 0x1)"),
        (0xC0AA0001, "unknown (error, facility 0xaa, code 0x1)"),
        (0xA0000001, "unknown (failure, not Microsoft's, facility NULL, code 0x1)"),
    ],
)
def test_unknown_codes_are_taken_apart(code: int, text: str) -> None:
    found = meaning_of(code)
    assert not found.is_known
    assert found.text == text


def test_a_small_number_as_status() -> None:
    assert ntstatus_meaning(0x102).name == "STATUS_TIMEOUT"
