"""Prologs and epilogs of x86 code, decoded."""

from __future__ import annotations

import pytest

from polydbg.unwind.x86_code import Epilog, decode_epilog, decode_prolog


def epilog(code: str, *, inside: bool = False) -> Epilog | None:
    return decode_epilog(bytes.fromhex(code), lambda _: not inside)


def test_a_prolog_with_a_frame() -> None:
    code = bytes.fromhex("8bff 55 8bec 83ec10 53 56")
    whole = decode_prolog(code)
    assert (whole.depth, whole.frame_depth, whole.is_whole, whole.is_standard) == (
        28,
        4,
        True,
        True,
    )
    assert whole.saved == (("ebp", 4), ("ebx", 24), ("esi", 28))
    begun = decode_prolog(code[:3])
    assert (begun.depth, begun.frame_depth, begun.is_standard) == (4, None, False)
    assert decode_prolog(b"").is_whole


def test_a_prolog_without_a_frame() -> None:
    found = decode_prolog(bytes.fromhex("57 81ec00020000 6a05 6800104000"))
    assert (found.depth, found.frame_depth, found.saved) == (0x20C, None, (("edi", 4),))
    assert found.is_whole


def test_a_frame_pointer_may_point_into_the_locals() -> None:
    found = decode_prolog(bytes.fromhex("55 8dac2434ffffff 81eccc000000"))
    assert (found.depth, found.frame_depth, found.is_standard) == (0xD0, 0xD0, False)


@pytest.mark.parametrize("code", ["55 e800000000", "55 8b4508", "55 83", "83ecf0", "55 83ec"])
def test_what_is_no_prolog_ends_it(code: str) -> None:
    assert not decode_prolog(bytes.fromhex(code)).is_whole


def test_epilogs_count_from_esp_or_ebp() -> None:
    found = epilog("83c408 5f 5e 5b 5d c3")
    assert found is not None
    assert (found.base, found.offset, found.arguments_size) == ("esp", 24, 0)
    assert found.restored == (
        ("edi", "esp", 8),
        ("esi", "esp", 12),
        ("ebx", "esp", 16),
        ("ebp", "esp", 20),
    )
    found = epilog("5f 5e 8be5 5d c20c00")
    assert found is not None
    assert (found.base, found.offset, found.arguments_size) == ("ebp", 4, 12)
    assert found.restored == (("edi", "esp", 0), ("esi", "esp", 4), ("ebp", "ebp", 0))
    found = epilog("8d65f4 5b 5e 5f 5d c3")
    assert found is not None
    assert (found.base, found.offset) == ("ebp", 4)
    assert found.restored[0] == ("ebx", "ebp", -12)
    left = epilog("c9 c3")
    assert left is not None
    assert (left.base, left.offset, left.restored) == ("ebp", 4, (("ebp", "ebp", 0),))


def test_structured_handlers_are_taken_off() -> None:
    found = epilog("8b4df0 64890d00000000 33c0 59 5f 8be5 5d c3")
    assert found is not None
    assert (found.base, found.offset) == ("ebp", 4)


def test_jumps_count_when_they_leave_the_function() -> None:
    assert epilog("5d e900010000", inside=True) is None
    found = epilog("5d e900010000")
    assert found is not None
    assert not found.is_jump_only
    bare = epilog("e900010000")
    assert bare is not None
    assert bare.is_jump_only
    assert epilog("5d ffe0") is not None
    assert epilog("ff2485 00104000") is None  # a table of jumps


@pytest.mark.parametrize("code", ["", "90 c3", "83c4", "5d", "5d c9 c3", "5d 8be5 c3", "8b06 c3"])
def test_what_is_no_epilog(code: str) -> None:
    assert epilog(code) is None
