"""What run-time libraries leave in memory when they end a program."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from polydbg.engine.analysis.assertion import asserted
from polydbg.engine.analysis.ended import named_reason
from polydbg.engine.analysis.last_words import ending_of, text_on_stack
from polydbg.engine.analysis.runtime import end_reason, is_helper, is_of_heap
from polydbg.engine.analysis.rust_panic import find_panic
from polydbg.engine.analysis.thrown_itanium import shown_text, thrown_objects
from polydbg.engine.analysis.traps import trap_of
from polydbg.engine.modules import Place
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context
from polydbg.unwind.frames import Frame, FrameTrust

BASE, STACK, HEAP = 0x400000, 0x7E000, 0x200000
LINUX = 0x8201


@contextmanager
def memory(tmp_path: Path, *pieces: tuple[int, bytes]) -> Iterator[System]:
    """Yield a system of Linux that has these pieces and a module at BASE."""
    builder = MinidumpBuilder("amd64").system(platform=LINUX)
    builder.module(BASE, 0x10000, "/app/app")
    stack = next((data for address, data in pieces if address == STACK), bytes(16))
    builder.thread(7, amd64_context(rsp=STACK, rip=BASE), stack=(STACK, stack))
    for address, data in pieces:
        if address != STACK:
            builder.memory(address, data)
    path = tmp_path / "made.dmp"
    path.write_bytes(builder.build())
    session = Session()
    try:
        yield session.open_dump(str(path))
    finally:
        session.close()


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def frames(*names: str, sp: int = STACK, size: int = 0x100) -> list[StackFrame]:
    """Return frames of functions with these names, innermost first."""
    found = []
    for number, name in enumerate(names):
        at = sp + number * size
        frame = Frame(BASE, at, BASE, {}, FrameTrust.CFI, number > 0, at + size, False, "")
        found.append(StackFrame(number, frame, Place(BASE, "app", name), "", 0, False))
    return found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("app: a.c:5: int main(): Assertion `x > 0' failed.", "ASSERTION"),
        ("*** stack smashing detected ***: terminated", "STACK_BUFFER_OVERRUN"),
        ("*** buffer overflow detected ***: terminated", "BUFFER_OVERRUN"),
        ("free(): double free detected in tcache 2", "DOUBLE_FREE"),
        ("double free or corruption (fasttop)", "DOUBLE_FREE"),
        ("double free or corruption (!prev)", "HEAP_CORRUPTION"),
        ("munmap_chunk(): invalid pointer", "HEAP_CORRUPTION"),
        ("malloc(): unaligned tcache chunk detected", "HEAP_CORRUPTION"),
        ("corrupted size vs. prev_size", "HEAP_CORRUPTION"),
        ("Fatal error: glibc detected an invalid stdio handle", "ABORT"),
    ],
)
def test_messages_of_the_c_library(text: str, problem: str) -> None:
    found = ending_of(text)
    assert found.problem_class == problem
    assert found.text == text


def test_texts_that_the_stack_leads_to(tmp_path: Path) -> None:
    stack = words(1, HEAP, HEAP + 0x100, BASE)
    texts = b"free() is a function\0".ljust(0x100, b"\0") + b"corrupted size vs. prev_size\n\0"
    with memory(tmp_path, (STACK, stack), (HEAP, texts)) as system:
        found = text_on_stack(system, STACK)
    assert found is not None
    assert found.text == "corrupted size vs. prev_size"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("pthread_kill@@GLIBC raise abort main", "ABORT"),
        ("raise abort __libc_message __fortify_fail __stack_chk_fail main", "STACK_BUFFER_OVERRUN"),
        ("raise abort __libc_message __fortify_fail __chk_fail main", "BUFFER_OVERRUN"),
        ("raise abort x y std::terminate __cxa_pure_virtual Base::call", "PURE_VIRTUAL_CALL"),
        ("raise abort handler __cxxabiv1::__terminate std::terminate __cxa_throw", "CPP_TERMINATE"),
        ("raise abort std::panicking::panic_with_hook core::panicking::panic", "RUST_PANIC"),
        ("raise abort crab::main std::panicking::catch_unwind::do_call", "ABORT"),
        ("runtime.raise runtime.fatalpanic runtime.gopanic runtime.goPanicIndex", "GO_PANIC"),
    ],
)
def test_the_most_telling_name(names: str, problem: str) -> None:
    found = named_reason(frames(*names.split()))
    assert found is not None
    assert found[0].problem_class == problem


def test_gos_panics_in_words() -> None:
    found = end_reason("runtime.goPanicIndex")
    assert found is not None
    assert found.words.endswith("an index was out of range")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("std::vector<int, std::allocator<int> >::at", True),
        ("<alloc::vec::Vec<u8> as core::ops::index::Index<usize>>::index", True),
        ("<usize as core::slice::index::SliceIndex<[T]>>::index", True),
        ("core::ops::function::FnOnce::call_once", True),
        ("<app::Shell as core::fmt::Display>::fmt", False),
        ("core::Engine::run", False),
        ("app::std::run", False),
        ("__memmove_avx_unaligned_erms", True),
        ("_int_malloc", True),
        ("main", False),
    ],
)
def test_code_of_standard_libraries_is_never_to_blame(name: str, is_one: bool) -> None:
    assert is_helper(name) is is_one


def test_functions_of_the_heap() -> None:
    assert is_of_heap("__GI___libc_free")
    assert is_of_heap("unlink_chunk.constprop.0") is False
    assert not is_of_heap("release")


@pytest.mark.parametrize(
    ("code", "machine", "problem"),
    [
        ("670fb94016", "amd64", "UNDEFINED_BEHAVIOR"),
        ("0fb94016", "x86", "UNDEFINED_BEHAVIOR"),
        ("40a22ad4", "arm64", "UNDEFINED_BEHAVIOR"),  # brk #0x5512
        ("200020d4", "arm64", "ILLEGAL_INSTRUCTION"),  # brk #1
        ("408e38d4", "arm64", "POINTER_AUTHENTICATION"),  # brk #0xc472
        ("00003ed4", "arm64", ""),  # brk #0xf000
        ("0f0b9090", "amd64", ""),
        ("", "amd64", ""),
        ("670fb9", "amd64", ""),
    ],
)
def test_traps_of_compilers(code: str, machine: str, problem: str) -> None:
    found = trap_of(bytes.fromhex(code), machine)
    assert (found.problem_class if found else "") == problem


def _exception(count: int = 1, users: int = 1, name: bytes = b"\0++CCUNG") -> bytes:
    """Return an exception of libstdc++ at HEAP: the object lies 0x80 further, its type_info at
    BASE + 0x100."""
    head = words(users, 0, BASE + 0x100, 0, 0, 0, 0) + struct.pack("<ii", count, 0)
    head += words(0, 0, 0, 0) + name + words(0, 0, 0)
    return head + words(BASE + 0x200, HEAP + 0x118).ljust(0x80, b"\0") + words(5, 5, 0) + b"words\0"


def _types(name: bytes) -> bytes:
    return words(BASE + 0x300, BASE + 0x180).ljust(0x80, b"\0") + name + b"\0"


@pytest.mark.parametrize("distance", [0x10, 0x60, 0x80])
def test_a_thrown_object_is_found_by_any_of_its_parts(tmp_path: Path, distance: int) -> None:
    stack = words(0, 1, HEAP + distance, 3)
    pieces = ((STACK, stack), (HEAP, _exception()), (BASE + 0x100, _types(b"N4park4GateE")))
    with memory(tmp_path, *pieces) as system:
        (found,) = thrown_objects(system, frames("std::terminate", "__cxa_throw"))
    assert (found.types, found.address) == (("park::Gate",), HEAP + 0x80)
    assert shown_text(found) == ""  # what it holds is not known


def test_the_text_of_a_standard_exception_is_checked(tmp_path: Path) -> None:
    exception = _exception()
    types = _types(b"St13runtime_error")
    for data, text in (
        (exception, 'what() is "words"'),
        (exception.replace(words(5, 5), words(9, 5)), ""),
    ):
        pieces = ((STACK, words(HEAP + 0x60)), (HEAP, data), (BASE + 0x100, types))
        with memory(tmp_path, *pieces) as system:
            (found,) = thrown_objects(system, frames("std::terminate", "__cxa_throw"))
        assert shown_text(found) == text


@pytest.mark.parametrize(
    "exception",
    [
        _exception(count=0),  # thrown, caught by nobody yet
        _exception(users=0),  # let go
        _exception(users=1 << 20),
        _exception(name=b"\0++CCUNX"),
        _exception()[:0x40],
    ],
)
def test_what_is_no_exception_in_flight_is_not_taken(tmp_path: Path, exception: bytes) -> None:
    pieces = ((STACK, words(HEAP + 0x60)), (HEAP, exception), (BASE + 0x100, _types(b"i")))
    with memory(tmp_path, *pieces) as system:
        assert thrown_objects(system, frames("std::terminate", "__cxa_throw")) == []


def test_an_assertions_text_is_what_the_code_before_the_call_passes(tmp_path: Path) -> None:
    code = bytes.fromhex("eb00") + bytes.fromhex("488d05") + struct.pack("<i", 0x80 - 9)
    code += bytes.fromhex("4889c7 be78563412 ba84000000 e800000000")
    end = BASE + 0x1000 + len(code)
    texts = b"x > 0\0".ljust(0x10, b"\0")
    pieces = (
        (BASE + 0xF00, b"\x90" * 0x100),
        (BASE + 0x1000, code.ljust(0x80, b"\x90") + texts),
    )
    row, caller = frames("__assert_fail", "main")
    caller = msgspec.structs.replace(caller, frame=msgspec.structs.replace(caller.frame, pc=end))
    with memory(tmp_path, *pieces) as system:
        assert asserted(system, row, caller) == "x > 0"  # the file's name is not at hand
        assert asserted(system, caller, row) == ""


def _panic(tmp_path: Path, payload: Sequence[int], size: int, text: bytes) -> tuple[str, str]:
    """Return message and place of a panic whose payload holds *payload*."""
    stack = words(0, STACK + 0x40, BASE + 0x400, BASE + 0x500, 0, 0, 0, 0, *payload)
    path = b"src/main.rs"
    location = words(BASE + 0x600, len(path)) + struct.pack("<II", 31, 20)
    pieces = (
        (STACK, stack.ljust(0x100, b"\0")),
        (HEAP, text),
        (BASE + 0x400, words(0, size, 8)),
        (BASE + 0x500, location),
        (BASE + 0x600, path),
    )
    with memory(tmp_path, *pieces) as system:
        found = find_panic(system, frames("std::panicking::panic_with_hook", "main"))
    assert found is not None
    return found.message, found.place


def test_messages_of_rusts_panics(tmp_path: Path) -> None:
    text, place = b"index out of bounds", "src/main.rs:31:20"
    formatted = (0x40, HEAP, len(text), STACK + 0x80)  # a String and what it is made from
    assert _panic(tmp_path, formatted, 32, text) == (text.decode(), place)
    assert _panic(tmp_path, (HEAP, len(text)), 16, text) == (text.decode(), place)
    assert _panic(tmp_path, (0x40, len(text), HEAP), 24, text) == (text.decode(), place)


def test_what_is_no_message_is_not_taken_for_one(tmp_path: Path) -> None:
    place = "src/main.rs:31:20"
    assert _panic(tmp_path, (HEAP, 5), 8, b"words") == ("", place)
    assert _panic(tmp_path, (HEAP, 5), 16, b"a\xff\x00cd") == ("", place)
    assert _panic(tmp_path, (0, HEAP, 5), 24, b"words") == ("", place)  # it has no room


def test_frames_without_a_panic(tmp_path: Path) -> None:
    with memory(tmp_path) as system:
        assert find_panic(system, frames("abort", "main")) is None
