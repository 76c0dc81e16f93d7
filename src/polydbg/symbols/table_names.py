"""Finds symbols of a symbol table by name without reading every name.

A search takes the words of the pattern that must stand in the linker's name as they are
(identifiers do, in C++ and Rust too; built-in types and operators do not), finds the longest in the
string table, and undecorates only the names there that have the others too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.base.cancel import CancelToken
from polydbg.base.wildcards import literals_of
from polydbg.formats.section import Section

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
#: What demanglers write of their own accord: codes stand for these in linker names.
_WRITTEN = """
    operator unsigned signed short long float double char wchar_t char8_t char16_t char32_t bool
    void int __int128 _float16 nullptr_t decltype auto nullptr true false const volatile restrict
    noexcept throw typeinfo name for vtable vtt construction guard variable reference temporary
    thread-local wrapper initialization routine tls init function template parameter object
    virtual thunk non-virtual covariant return to hidden alias anonymous namespace lambda unnamed
    enum block literal invocation clone typename sizeof alignof requires new delete co_await
    dynamic_cast static_cast const_cast reinterpret_cast complex imaginary string allocator
    basic_string basic_istream basic_ostream basic_iostream char_traits std closure shim extern
    unsafe impl dyn mut usize isize u128 i128 f128 f64 f32 u64 i64 u32 i32 u16 i16 str
    abi half decimal32 decimal64 decimal128 __float128 _bitint
"""
#: The same, but parts of these are fine; numbered where a function has several: ``'lambda0'``.
_WHOLE = ("lambda", "unnamed", "literal", "__vector")
_MAX_OFFSETS = 1 << 20
_WINDOW = 4 << 20


def words_of(pattern: str) -> list[bytes]:
    """Return the words that every linker name of a match contains, in some case: the longest
    first; none if the pattern has no such word."""
    words = dict.fromkeys(word for run in literals_of(pattern) for word in _words(run))
    return [word.encode("ascii") for word in sorted(words, key=len, reverse=True)]


def _words(run: str) -> Iterator[str]:
    for match in _WORD.finditer(run):
        word = match[0].lower()
        # A word at the edge of a literal may be a part of a longer one. What is not ASCII is
        # written as it is or in codes, by language.
        is_plain = run[match.end() : match.end() + 1].isascii() and word not in _WRITTEN
        is_plain = is_plain and word.rstrip("0123456789") not in _WHOLE
        if is_plain and (match.start() == 0 or run[match.start() - 1].isascii()):
            yield match[0]


def offsets_with(strings: Section, word: bytes, cancel: CancelToken) -> set[int] | None:
    """Return the offsets in *strings*, a string table, at which a name with *word* may begin, in
    any case; ``None`` where there are too many to list."""
    buffer, start, end = strings.extent
    found: set[int] = set()
    word = word.lower()
    for window in range(start, end, _WINDOW):
        cancel.check()
        # Faster than a regular expression that ignores case, by far.
        block = bytes(buffer[window : min(window + _WINDOW + len(word) - 1, end)]).lower()
        hit = block.find(word)
        while hit >= 0:
            place = window + hit
            first = buffer.rfind(b"\0", start, place) + 1
            # Linkers let a name be the end of another one: it may begin anywhere up to the word.
            found.update(range(max(first, start) - start, place - start + 1))
            if len(found) > _MAX_OFFSETS:
                return None
            hit = block.find(word, hit + 1)
    return found


def offsets_of(strings: Section, name: bytes) -> set[int]:
    """Return the offsets in *strings*, a string table, at which *name* stands, up to a NUL."""
    buffer, start, end = strings.extent
    found: set[int] = set()
    wanted = name + b"\0"
    place = buffer.find(wanted, start, end) if name else -1
    while place >= 0 and len(found) < _MAX_OFFSETS:
        found.add(place - start)
        place = buffer.find(wanted, place + 1, end)
    return found
