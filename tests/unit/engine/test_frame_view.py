"""What a frame tells of itself: registers and their parts, frame addresses, its caller."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from polydbg.engine import frame_view
from polydbg.engine.frame_view import PhysicalFrameView, thread_view
from polydbg.types.place import ValueUnavailableError
from polydbg.unwind.frames import Frame, FrameTrust

BASE = 0x400000


def system_of(machine: str) -> Any:
    module = SimpleNamespace(base=BASE, symbols=None)
    modules = SimpleNamespace(
        at=lambda address: module if BASE <= address < BASE + 0x10000 else None,
        symbols=lambda of: None,
    )
    return SimpleNamespace(
        machine=machine, modules=modules, memory="memory", byte_order="little", thread="current"
    )


def frame_of(registers: Mapping[str, int], **more: Any) -> Frame:
    values: dict[str, Any] = {
        "pc": BASE + 0x100,
        "sp": 0x8000,
        "return_address": BASE + 0x200,
        "registers": registers,
        "trust": FrameTrust.CONTEXT,
        "is_return_address": False,
        "caller_sp": 0x8100,
        "machine_frame": False,
        "note": "",
    }
    return Frame(**{**values, **more})


def view_of(machine: str, registers: Mapping[str, int], **more: Any) -> PhysicalFrameView:
    return PhysicalFrameView(system_of(machine), frame_of(registers, **more), None)


AMD64 = {"rip": BASE + 0x100, "rsp": 0x8000, "rbx": 0x1122334455667788, "xmm1": 5, "ymm1": 1 << 200}


def test_registers_of_amd64() -> None:
    view = view_of("amd64", AMD64)
    assert view.register("rbx") == 0x1122334455667788
    assert view.register("ebx") == 0x55667788
    assert view.register("bl") == 0x88
    assert view.register_by_number(3) == ("rbx", 0x1122334455667788)
    assert view.register_by_number(7) == ("rsp", 0x8000)
    # Values may be as wide as the whole register.
    assert view.register_by_number(18) == ("ymm1", 1 << 200)
    for number in (0, 17, 33, 67, 999):
        with pytest.raises(ValueUnavailableError):
            view.register_by_number(number)
    with pytest.raises(ValueUnavailableError, match="rax was not kept"):
        view.register("rax")


def test_registers_of_others() -> None:
    arm64 = view_of("arm64", {"pc": BASE, "sp": 1, "x3": 0x1234567890, "fp": 7, "v8": 1 << 100})
    assert arm64.register("w3") == 0x34567890
    assert arm64.register_by_number(29) == ("fp", 7)
    assert arm64.register_by_number(72) == ("v8", 1 << 100)
    kept = view_of("arm64", {"pc": BASE, "sp": 1, "d8": 9})
    assert kept.register_by_number(72) == ("d8", 9)
    x86 = view_of("x86", {"eip": BASE, "esp": 1, "ebx": 0x1234, "st0": 1 << 79})
    assert x86.register_by_number(3) == ("ebx", 0x1234)
    assert x86.register_by_number(11) == ("st0", 1 << 79)
    unknown = view_of("vax", {"r0": 1})
    with pytest.raises(ValueUnavailableError, match="not known"):
        unknown.register_by_number(0)


def test_where_it_is_looked_up() -> None:
    view = view_of("amd64", AMD64, is_return_address=True)
    assert (view.module_base, view.rva) == (BASE, 0xFF)
    outside = view_of("amd64", AMD64, pc=0x1000)
    assert (outside.module_base, outside.rva, outside.types) == (0, 0x1000, None)


@pytest.fixture
def without_rules(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    view = SimpleNamespace(call_frames_at=lambda address: None, memory="memory")
    monkeypatch.setattr(frame_view, "unwind_view", lambda system: view)
    return monkeypatch


def test_frame_address_by_the_caller(without_rules: pytest.MonkeyPatch) -> None:
    caller = frame_of(AMD64, trust=FrameTrust.UNWIND_INFO, sp=0x8100, is_return_address=True)
    without_rules.setattr(frame_view, "callers_of", lambda *given: iter([caller]))
    view = view_of("amd64", AMD64)
    assert view.cfa() == 0x8100
    assert view.caller().rva == 0xFF
    assert view.caller() is view.caller()


@pytest.mark.parametrize(
    ("own", "caller", "words"),
    [
        ({"caller_sp": None}, {}, "is not known"),
        ({"machine_frame": True}, {}, "is not known"),
        ({}, {"trust": FrameTrust.FRAME_POINTER}, "is a guess"),
    ],
    ids=["no caller", "interrupted", "guess"],
)
def test_frame_address_that_is_not_sure(
    without_rules: pytest.MonkeyPatch, own: dict[str, Any], caller: dict[str, Any], words: str
) -> None:
    found = frame_of(AMD64, **{"trust": FrameTrust.UNWIND_INFO, **caller})
    without_rules.setattr(frame_view, "callers_of", lambda *given: iter([found]))
    with pytest.raises(ValueUnavailableError, match=words):
        view_of("amd64", AMD64, **own).cfa()


@pytest.mark.parametrize(
    ("own", "caller", "words"),
    [
        ({"machine_frame": True}, {}, "interrupted"),
        ({}, {"pc": 0}, "no caller"),
        ({}, {"trust": FrameTrust.SCAN}, "is a guess"),
        ({}, {"follows_guess": True}, "is a guess"),
    ],
    ids=["interrupted", "none", "guess", "behind a guess"],
)
def test_callers_that_are_not_told(
    without_rules: pytest.MonkeyPatch, own: dict[str, Any], caller: dict[str, Any], words: str
) -> None:
    found = frame_of(AMD64, **{"trust": FrameTrust.CFI, **caller})
    without_rules.setattr(frame_view, "callers_of", lambda *given: iter([found]))
    with pytest.raises(ValueUnavailableError, match=words):
        view_of("amd64", AMD64, **own).caller()


def test_only_x86_has_virtual_frames() -> None:
    with pytest.raises(ValueUnavailableError, match="only x86"):
        view_of("amd64", AMD64).virtual_frame()


def test_a_view_of_no_frame() -> None:
    system = system_of("amd64")
    module = system.modules.at(BASE)
    view = thread_view(system, module, None)
    assert isinstance(view, PhysicalFrameView)
    assert (view.module_base, view.thread) == (BASE, "current")
    with pytest.raises(ValueUnavailableError):
        view.register("rsp")
    other: Any = "other"
    given = PhysicalFrameView(system, frame_of(AMD64), other)
    own = thread_view(system, module, given)
    assert isinstance(own, PhysicalFrameView)
    assert own.thread == "other"
