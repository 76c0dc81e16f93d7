"""What error numbers mean: Win32 errors, NTSTATUS values, HRESULTs and their facilities.

An HRESULT of the facility WIN32 wraps a Win32 error, one with bit 28 an NTSTATUS. A code that no
table has is still taken apart into severity, facility and code.
"""

from __future__ import annotations

import functools
from typing import Final

import msgspec

UNKNOWN: Final = "unknown"

_FACILITY_WIN32 = 7
_NT_BIT = 0x10000000
_SEVERITY_ERROR = 0x80000000
_CUSTOMER_BIT = 0x20000000


class ErrorMeaning(msgspec.Struct, frozen=True):
    """*kind* is ``Win32``, ``NTSTATUS`` or ``HRESULT``; *name* the constant, ``""`` if unknown.

    *text* is a sentence, or :data:`UNKNOWN` with what can be told from the number's parts.
    """

    code: int
    kind: str
    name: str
    text: str

    @property
    def is_known(self) -> bool:
        return bool(self.name)


def meaning_of(code: int) -> ErrorMeaning:
    """Return what *code* (32 bits) means, by its looks: small is Win32, ``Cxxxxxxx`` NTSTATUS."""
    code &= 0xFFFFFFFF
    if code < 0x10000:
        return win32_meaning(code)
    # 80000001 to 80010001 are in both tables; an NTSTATUS is the likelier in a debugger.
    if code in _table("NTSTATUS"):
        return ntstatus_meaning(code)
    if code >> 30 == 3 and not code & (_CUSTOMER_BIT | _NT_BIT):
        return ntstatus_meaning(code)
    return hresult_meaning(code)


def win32_meaning(code: int) -> ErrorMeaning:
    """Return what a Win32 error (``GetLastError``) or a network one means."""
    code &= 0xFFFFFFFF
    name, text = _table("WIN32").get(code, ("", UNKNOWN))
    return ErrorMeaning(code, "Win32", name, text)


def ntstatus_meaning(code: int) -> ErrorMeaning:
    """Return what an NTSTATUS value or exception code means."""
    code &= 0xFFFFFFFF
    name, text = _table("NTSTATUS").get(code, ("", ""))
    if not name:
        severity = ("success", "information", "warning", "error")[code >> 30]
        maker = ", not Microsoft's" if code & _CUSTOMER_BIT else ""
        facility = code >> 16 & 0xFFF
        text = f"{UNKNOWN} ({severity}{maker}, facility {facility:#x}, code {code & 0xFFFF:#x})"
    return ErrorMeaning(code, "NTSTATUS", name, text)


def hresult_meaning(code: int) -> ErrorMeaning:
    """Return what an HRESULT means, also one that wraps a Win32 error or an NTSTATUS value."""
    code &= 0xFFFFFFFF
    name, text = _table("HRESULT").get(code, ("", ""))
    if name:
        return ErrorMeaning(code, "HRESULT", name, text)
    if code & _NT_BIT:
        inner = ntstatus_meaning(code & ~_NT_BIT)
        return ErrorMeaning(code, "HRESULT", inner.name, inner.text)
    facility = code >> 16 & 0x7FF
    if facility == _FACILITY_WIN32 and code & _SEVERITY_ERROR:
        inner = win32_meaning(code & 0xFFFF)
        if inner.is_known:
            return ErrorMeaning(code, "HRESULT", inner.name, inner.text)
    outcome = "failure" if code & _SEVERITY_ERROR else "success"
    maker = ", not Microsoft's" if code & _CUSTOMER_BIT else ""
    where = _facilities().get(facility, f"{facility:#x}")
    text = f"{UNKNOWN} ({outcome}{maker}, facility {where}, code {code & 0xFFFF:#x})"
    return ErrorMeaning(code, "HRESULT", "", text)


@functools.cache
def _table(kind: str) -> dict[int, tuple[str, str]]:
    """Return code -> (name, text), parsed when first asked for: most sessions never ask."""
    from polydbg.base import error_codes_status, error_codes_win32

    source, radix = {
        "WIN32": (error_codes_win32.TABLE, 10),
        "NTSTATUS": (error_codes_status.NTSTATUS, 16),
        "HRESULT": (error_codes_status.HRESULT, 16),
    }[kind]
    found: dict[int, tuple[str, str]] = {}
    for line in source.strip().splitlines():
        code, name, text = line.split(" ", 2)
        found[int(code, radix)] = (name, text)
    return found


@functools.cache
def _facilities() -> dict[int, str]:
    from polydbg.base.error_codes_status import FACILITIES

    return {int(n): name for n, name in map(str.split, FACILITIES.strip().splitlines())}
