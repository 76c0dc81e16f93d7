"""The registers of a thread or frame as an object: groups of names with numbers.

The names and their order are those of the engine: whole registers, their 32-, 16- and 8-bit parts,
flags (transcript nullwrite-data.lang).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from polydbg.arch.registers import AMD64_PARTS, X86_PARTS
from polydbg.engine.evaluation import register_value
from polydbg.engine.model.objects import DataObject, Load, ModelObject

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_AMD64 = _names(
    "rax rbx rcx rdx rsi rdi rsp rbp rip efl cs ds es fs gs ss "
    "r8 r9 r10 r11 r12 r13 r14 r15 dr0 dr1 dr2 dr3 dr6 dr7"
)
_AMD64_PARTS = _names(
    "eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d eip "
    "ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w ip fl "
    "al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b ah ch dh bh"
)
_FLAGS = ("iopl", "of", "df", "if", "tf", "sf", "zf", "af", "pf", "cf", "vip", "vif")
_HIGH_FLAGS = {"vip": 20, "vif": 19}
_FLOATING = re.compile(r"st\d|mm\d|fp[cst]w|mxcsr|fpcr|fpsr|fop|fip|fdp|fpi\w*|fpd\w*")
_VECTORS = re.compile(r"[xyz]mm\d+|k\d|[vqds]\d+|v[rs]\d+")
_KERNEL = re.compile(r"cr\d+|gdt[rl]|idt[rl]|tr|ldtr|[fg]s_base|orig_rax|tpidr\w*")


def registers_object(context: ModelContext, registers: Mapping[str, int]) -> DataObject:
    """Return the groups ``User``, ``Kernel``, ``SIMD``, ``FloatingPoint``; those without registers
    are left out."""
    groups: dict[str, dict[str, int]] = {"User": {}, "Kernel": {}, "SIMD": {}, "FloatingPoint": {}}
    for name in _user_names(registers):
        value = _value(registers, name)
        if value is not None:
            groups["User"][name] = value
    known = set(groups["User"]) | set(AMD64_PARTS) | set(X86_PARTS)
    for name, value in registers.items():
        if name in known:
            continue
        if _VECTORS.fullmatch(name):
            groups["SIMD"][name] = value
        elif _FLOATING.fullmatch(name):
            groups["FloatingPoint"][name] = value
        elif _KERNEL.fullmatch(name):
            groups["Kernel"][name] = value
        else:
            groups["User"][name] = value
    return ModelObject(
        {name: _group_load(context, group) for name, group in groups.items() if group}
    )


def _user_names(registers: Mapping[str, int]) -> tuple[str, ...]:
    if "rip" in registers:
        return _AMD64 + _AMD64_PARTS + _FLAGS
    if "eip" in registers:
        whole = ("eax", "ebx", "ecx", "edx", "esi", "edi", "esp", "ebp", "eip", "efl")
        parts = tuple(name for name in _AMD64_PARTS if name in X86_PARTS)
        return whole + _AMD64[10:16] + _AMD64[-6:] + parts + _FLAGS
    return ()


def _value(registers: Mapping[str, int], name: str) -> int | None:
    flags = registers.get("efl")
    if name in _HIGH_FLAGS:
        return None if flags is None else flags >> _HIGH_FLAGS[name] & 1
    if name == "fl":
        return None if flags is None else flags & 0xFFFF
    return register_value(registers, name)


def _group_load(context: ModelContext, group: Mapping[str, int]) -> Load:
    properties = {name: _number(context, value) for name, value in group.items()}
    return lambda: ModelObject(properties)


def _number(context: ModelContext, value: int) -> Callable[[], DataObject]:
    if value >> 64:
        return lambda: context.text(f"{value:#x}")  # wider than any number of the language
    return lambda: context.number(value)
