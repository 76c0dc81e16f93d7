"""What debug information answers about types and variables, and what it needs to know for that.

A variable finds its place in a *frame view*: registers, memory and the caller of one frame, as the
engine provides them. So PDB's register ranges and DWARF's expressions end in the same
:class:`~polydbg.types.place.Place`.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.types.model import Type
from polydbg.types.place import Place
from polydbg.types.value import Memory


class FrameView(Protocol):
    """One frame, as the places of variables need it.

    What is not known raises :class:`~polydbg.types.place.ValueUnavailableError`, which says why.
    Registers have the names of register contexts (``rax``, ``xmm0``, ``x19``, ``v0``).
    """

    @property
    def machine(self) -> str:
        """Return the processor's name, as targets spell it: ``amd64``, ``x86``, ``arm64``."""
        ...

    @property
    def memory(self) -> Memory: ...

    @property
    def module_base(self) -> int:
        """Return where the module of the frame's code lies."""
        ...

    @property
    def types(self) -> TypeSource | None:
        """Return what the debug information of that module answers, ``None`` without any."""
        ...

    @property
    def rva(self) -> int:
        """Return the RVA to look scopes and ranges up at: pc, or inside the call for a return
        address."""
        ...

    def register(self, name: str) -> int:
        """Return a register as this frame has it: only what the unwind rules restored, or what
        they leave alone and a callee has to keep.

        :raises ValueUnavailableError: it was not kept.
        """
        ...

    def register_by_number(self, number: int) -> tuple[str, int]:
        """Return name and value of the register with DWARF's *number*. Errors as above."""
        ...

    def cfa(self) -> int:
        """Return the canonical frame address, the stack pointer before the call. Errors as
        above."""
        ...

    def virtual_frame(self) -> int:
        """Return what PDB calls the virtual frame of x86 (``$T0`` of the frame's program). Errors
        as above."""
        ...

    def caller(self) -> FrameView:
        """Return the view of the frame that called this one (the physical one).

        :raises ValueUnavailableError: there is none, it is a guess, or it was interrupted.
        """
        ...

    def thread_local(self, module_base: int, offset: int) -> int:
        """Return the address of the thread's variable at *offset* of that module's block.

        :raises ValueUnavailableError: the block is not allocated, or cannot be found.
        """
        ...


class VariableKind(enum.Enum):
    """How a variable is declared."""

    PARAMETER = "param"
    LOCAL = "local"
    STATIC = "static"
    GLOBAL = "global"
    THREAD = "thread"
    CONSTANT = "constant"


class Variable(msgspec.Struct, frozen=True, eq=False):
    """A variable: *type* loads its type, *locate* finds it in a frame.

    *locate* takes ``None`` where there is no frame (globals); it returns a place of kind NOWHERE
    with the reason rather than raise, but for damage (``FormatError``). *place_words* is what
    ``dv /V`` prints for the place, given the frame: ``@rsp+0x0070``, ``@r10``; ``""`` for statics.
    *rva* is that of a variable with a fixed address. *is_artificial*: the compiler made it.
    *type_in* returns the type with the lengths of arrays that a program computes, ``None`` for
    types that are the same in every frame.
    """

    name: str
    kind: VariableKind
    type: Callable[[], Type]
    locate: Callable[[FrameView | None], Place]
    place_words: Callable[[FrameView | None], str] = lambda frame: ""
    rva: int | None = None
    is_artificial: bool = False
    type_in: Callable[[FrameView], Type | None] = lambda frame: None


class Scope(msgspec.Struct, frozen=True, eq=False):
    """A function at an address: the one that contains it, or a call inlined there.

    *variables* are those in scope at the address: the innermost block first, then parameters and
    locals as recorded, statics last. *function_type* is ``None`` where the file does not say;
    *owner* is the class of a method.
    """

    name: str
    variables: tuple[Variable, ...]
    function_type: Callable[[], Type | None] = lambda: None
    owner: Callable[[], Type | None] = lambda: None


class TypeSource(Protocol):
    """What debug information answers about types. Names are without the module."""

    def type_named(self, name: str, cancel: CancelToken | None = None) -> Type | None:
        """Return the type of that name (qualified; ``struct`` and its like may stand in front), a
        definition rather than a declaration; by case first, then folded."""
        ...

    def types_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Type]:
        """Yield the named types that match a WinDbg wildcard pattern (folded), each name once."""
        ...

    def type_of_index(self, index: int) -> Type | None:
        """Return the type that :attr:`Symbol.type_index` stands for, ``None`` for 0."""
        ...

    def type_at(self, rva: int) -> Type | None:
        """Return the type of the function or variable that starts at *rva*."""
        ...

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        """Return the function at *rva* and the calls inlined there, the outermost first; empty
        where the file has no records of variables."""
        ...

    def global_named(self, name: str, cancel: CancelToken | None = None) -> Variable | None:
        """Return a global or static variable, a thread's own, or a constant of that name."""
        ...

    def globals_without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        """Yield what :meth:`SymbolSource.symbols_matching` does not: the threads' own variables
        that match, and constants that are declared as variables."""
        ...

    def global_near(
        self, rva: int, name: str, cancel: CancelToken | None = None
    ) -> Variable | None:
        """Return the file's own static variable that code at *rva* means by *name*."""
        ...


class NoTypes:
    """What a :class:`TypeSource` without types answers."""

    def type_named(self, name: str, cancel: CancelToken | None = None) -> Type | None:
        return None

    def types_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Type]:
        return iter(())

    def type_of_index(self, index: int) -> Type | None:
        return None

    def type_at(self, rva: int) -> Type | None:
        return None

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        return ()

    def global_named(self, name: str, cancel: CancelToken | None = None) -> Variable | None:
        return None

    def globals_without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        return iter(())

    def global_near(
        self, rva: int, name: str, cancel: CancelToken | None = None
    ) -> Variable | None:
        return None


class TypesFromPart(ABC):
    """A :class:`TypeSource` that hands every question on to a part of it, made when first asked."""

    @property
    @abstractmethod
    def types(self) -> TypeSource: ...

    def type_named(self, name: str, cancel: CancelToken | None = None) -> Type | None:
        return self.types.type_named(name, cancel)

    def types_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Type]:
        return self.types.types_matching(pattern, cancel)

    def type_of_index(self, index: int) -> Type | None:
        return self.types.type_of_index(index)

    def type_at(self, rva: int) -> Type | None:
        return self.types.type_at(rva)

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        return self.types.scopes_at(rva)

    def global_named(self, name: str, cancel: CancelToken | None = None) -> Variable | None:
        return self.types.global_named(name, cancel)

    def globals_without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        return self.types.globals_without_address(pattern, cancel)

    def global_near(
        self, rva: int, name: str, cancel: CancelToken | None = None
    ) -> Variable | None:
        return self.types.global_near(rva, name, cancel)
