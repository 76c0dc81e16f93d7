"""What the unwind codes of ARM64 and ARM images do, in one vocabulary.

Both processors describe prologs and epilogs by codes that stand for one instruction each, so the
place of the program counter says which of them are to be undone. Source: Microsoft, "ARM64
exception handling" and "ARM exception handling".
"""

from __future__ import annotations

import enum

import msgspec


class ArmOp(enum.Enum):
    """Operations; *registers* and *value* are those of :class:`ArmCode`."""

    ALLOC = "alloc"  # sp += value
    RESTORE = "restore"  # registers from [sp + value] on
    POP = "pop"  # registers from [sp] on, then sp += value
    SET_SP = "set sp"  # sp = the one register - value
    NOP = "nop"
    SIGN_LR = "sign lr"  # lr carries a pointer authentication code
    SCALABLE = "scalable"  # depends on the length of SVE vectors
    TRAP_FRAME = "trap frame"  # a KTRAP_FRAME at sp
    MACHINE_FRAME = "machine frame"  # sp and pc at sp
    CONTEXT = "context"  # a CONTEXT at sp
    EC_CONTEXT = "EC context"  # an x64 CONTEXT of an ARM64EC thread at sp
    CLEAR_UNWOUND = "clear unwound to call"  # the caller's pc is exact, not behind a call
    END = "end"  # of the codes; in an epilog it stands for the return
    END_SCOPE = "end of scope"  # end_c: what follows is the prolog of the enclosing region


class ArmCode(msgspec.Struct, frozen=True):
    """One unwind code. *length* is that of its instruction in bytes, *data* the code itself.

    *registers* are named as in contexts (``x19``, ``fp``, ``lr``, ``d8``, ``v6``, ``r4``); they
    lie one behind the other in memory, each as wide as :func:`register_width` says.
    """

    op: ArmOp
    registers: tuple[str, ...]
    value: int
    length: int
    data: bytes

    @property
    def is_end(self) -> bool:
        """Return whether the code ends a prolog or an epilog."""
        return self.op is ArmOp.END or self.op is ArmOp.END_SCOPE


def register_width(name: str) -> int:
    """Return the bytes that a register of an unwind code takes on the stack of ARM64 (``lr`` and
    ``fp`` too) or ARM (``r4``; there the caller knows that ``lr`` has 4)."""
    return {"v": 16, "r": 4}.get(name[0], 8)
