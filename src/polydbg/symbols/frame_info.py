"""What a debug file says about the frames of its functions: how to get from one to its caller.

Sources of the facts: Breakpad's symbol file format (``STACK CFI``, ``STACK WIN``), and the FPO and
frame data streams of PDB files (``FPO_DATA``, ``FRAMEDATA``), which ``STACK WIN`` copies.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class CfiRules(msgspec.Struct, frozen=True):
    """The call frame rules in force at one address (``STACK CFI INIT`` and what follows it).

    *rules* maps ``.cfa``, ``.ra`` and register names as the file writes them (``$rbp``, ``x29``,
    ``r11``) to postfix expressions over registers and ``.cfa``; ``^`` reads a pointer.
    """

    rules: Mapping[str, str]


class WinFrame(msgspec.Struct, frozen=True):
    """How an x86 function lays out its frame: one record of FPO or frame data. Sizes in bytes.

    *program* is the postfix text that computes the caller's registers, ``""`` for plain FPO
    records, where *uses_frame_pointer* says whether ebp was saved and is used for something else
    (``FPO_DATA.fUseBP``).
    """

    rva: int
    code_size: int
    prolog_size: int
    parameters_size: int
    saved_size: int
    locals_size: int
    max_stack_size: int
    program: str
    uses_frame_pointer: bool
