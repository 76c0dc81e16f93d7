"""The 32-bit side of a 64-bit Windows process (WOW64): its x86 registers.

A dump of such a process holds 64-bit contexts. While a thread runs in 32-bit code, that context
says it all: its code segment is 0x23 and the x86 registers are the lower halves. While the thread
is in 64-bit code (nearly always: every system call goes there), the x86 registers lie in memory,
where TLS slot 1 of the 64-bit thread block points.

Facts, settled on ``minidump/kdlib/stacktest_wow64.dmp`` (Windows 10 17134): slot 1 at block +0x1488
points to a 16-bit word of flags, a 16-bit machine (0x14c) and, at +4, the ``WOW64_CONTEXT`` of
winnt.h. The blocks of both widths are in ``engine/windows_process.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.formats.minidump.contexts import X86_SIZE, parse_context
from polydbg.targets.target import Target, ThreadInfo

CODE_SEGMENT_32 = 0x23
"""The selector of 32-bit user code in 64-bit Windows; 64-bit code has 0x33."""

_TLS_SLOT_1 = 0x1480 + 8
_MACHINE_X86 = 0x14C
_CONTEXT_AT = 4

_WIDE_NAMES = {
    f"e{name}": f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")
}
_NARROW = ("efl", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
_SAME = (
    *("cs", "ss", "ds", "es", "fs", "gs", "mxcsr", "fpcw", "fpsw", "fptw"),
    *(f"st{i}" for i in range(8)),
    *(f"{prefix}{i}" for prefix in ("xmm", "ymm") for i in range(8)),
)


def is_wow64(target: Target) -> bool:
    """Return whether *target* is a 64-bit picture of a 32-bit Windows process."""
    return target.arch == "amd64" and any(
        module.file_name.lower() == "wow64.dll" for module in target.modules()
    )


def runs_32_bit_code(registers: Mapping[str, int]) -> bool:
    """Return whether the 64-bit context *registers* was taken in 32-bit code."""
    return registers.get("cs") == CODE_SEGMENT_32


def narrowed(registers: Mapping[str, int]) -> dict[str, int]:
    """Return the x86 registers of a 64-bit context that was taken in 32-bit code."""
    found = {name: registers[wide] for name, wide in _WIDE_NAMES.items() if wide in registers}
    found |= {name: registers[name] for name in _NARROW if name in registers}
    found = {name: value & 0xFFFFFFFF for name, value in found.items()}
    return found | {name: registers[name] for name in _SAME if name in registers}


def x86_registers(target: Target, thread: ThreadInfo) -> Mapping[str, int]:
    """Return the x86 registers of *thread*, empty where they are not in the dump."""
    native = target.registers(thread)
    if runs_32_bit_code(native):
        return narrowed(native)
    if thread.teb is None:
        return {}
    slot = target.memory.read_some(thread.teb + _TLS_SLOT_1, 8)
    if len(slot) < 8:
        return {}
    saved = int.from_bytes(slot, "little")
    data = target.memory.read_some(saved, _CONTEXT_AT + X86_SIZE)
    if int.from_bytes(data[2:4], "little") != _MACHINE_X86 or len(data) < _CONTEXT_AT + X86_SIZE:
        return {}
    return parse_context(data[_CONTEXT_AT:], "x86")
