"""Types from how they are written, with the names of the debug information."""

from __future__ import annotations

from polydbg.expr.cpp.arithmetic import ArithmeticTypes
from polydbg.expr.cpp.context import CppContext
from polydbg.expr.cpp.nodes import TypeNode, TypeStep
from polydbg.expr.cpp.template_names import other_spellings
from polydbg.expr.cpp.type_names import STANDARD
from polydbg.types.model import (
    ArrayType,
    FunctionType,
    MemberPointerType,
    PointerKind,
    PointerType,
    QualifiedType,
    Type,
    TypedefType,
    VoidType,
)

_POINTERS = {
    "*": PointerKind.POINTER,
    "&": PointerKind.REFERENCE,
    "&&": PointerKind.RVALUE_REFERENCE,
}
VOID = VoidType()


class TypeBuilder:
    """Makes the types that expressions name. *context* knows names, *types* those of the
    language."""

    def __init__(self, context: CppContext, types: ArithmeticTypes) -> None:
        self._context = context
        self._types = types

    def build(self, node: TypeNode) -> Type | None:
        """Return the type that *node* spells; ``None``: there is no type of that name."""
        type_ = self.named(node.name, is_builtin=node.is_builtin)
        for step in node.steps:
            if type_ is None:
                return None
            type_ = self._stepped(type_, step)
        return type_

    def named(self, name: str, *, is_builtin: bool = False) -> Type | None:
        """Return the type of that name, as the debug information has it or the language."""
        if is_builtin:
            return VOID if name == "void" else self._types.named(name)
        found = self._context.type_named(name) or self._standard(name)
        if found is None:
            spellings = map(self._context.type_named, other_spellings(name))
            found = next((each for each in spellings if each is not None), None)
        return found

    def _standard(self, name: str) -> Type | None:
        """Return one of ``<stdint.h>`` and ``<stddef.h>`` that the program does not use."""
        known = STANDARD.get(name.removeprefix("std::"))
        if known is None:
            return None
        size, signed = known
        target = self._types.signed_of_size(size) if size else self._types.difference
        target = target if signed else self._types.unsigned(target)
        return TypedefType(name, lambda: target)

    def _stepped(self, type_: Type, step: TypeStep) -> Type | None:
        size = self._context.model.pointer_size
        kind = _POINTERS.get(step.kind)
        if kind is not None:
            return PointerType(lambda: type_, size, kind)
        if step.kind == "[]":
            return ArrayType(lambda: type_, step.count)
        if step.kind == "()":
            parameters = [self.build(each) for each in step.parameters]
            known = [each for each in parameters if each is not None and each is not VOID]
            if len(known) < len(parameters) and parameters != [VOID]:
                return None
            return FunctionType(lambda: type_, lambda: known)
        if step.kind == "::*":
            owner = self._context.type_named(step.owner)
            if owner is None:
                return None
            width = size if not isinstance(type_, FunctionType) else 2 * size
            return MemberPointerType(lambda: type_, lambda: owner, width)
        return QualifiedType(lambda: type_, (step.kind,))
