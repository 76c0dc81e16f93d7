"""What a parameter was when its function was called: the call sites of callers.

A compiler that lost a parameter may still describe what the caller passed. That holds only where it
is certain which call led here: the caller's frame is no guess, its call site names this function,
and no function between the two was left by a tail call. Sources: DWARF 5 sections 2.5.1.7 and 3.4;
GCC's ``DW_TAG_GNU_call_site``.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.functions import functions_of
from polydbg.formats.dwarf.names import is_external, name_of
from polydbg.formats.dwarf.tree import entries_below
from polydbg.formats.dwarf.unit import Die, Unit
from polydbg.symbols.dwarf_names import DwarfNames
from polydbg.symbols.dwarf_units import CodeUnits
from polydbg.types.place import ValueUnavailableError
from polydbg.types.source import FrameView, TypeSource

_SITES = frozenset({c.TAG_CALL_SITE, c.TAG_GNU_CALL_SITE})
_PARAMETERS = frozenset({c.TAG_CALL_SITE_PARAMETER, c.TAG_GNU_CALL_SITE_PARAMETER})
_TAIL_CALLS = (c.AT_CALL_TAIL_CALL, c.AT_GNU_TAIL_CALL)
#: What says that all calls of a function, or those in its ends, are described.
_ALL_TAIL_CALLS = frozenset({0x7A, 0x7C, 0x2116, 0x2117})
_CODE = frozenset({c.AT_LOW_PC, c.AT_RANGES})
_TARGETS = (c.AT_CALL_TARGET, c.AT_GNU_CALL_SITE_TARGET)
_VALUES = (c.AT_CALL_VALUE, c.AT_GNU_CALL_SITE_VALUE)
_DATA_VALUES = (c.AT_CALL_DATA_VALUE, c.AT_GNU_CALL_SITE_DATA_VALUE)
_MAX_KEPT = 64
_MAX_TAIL_CALLED = 64
_MAX_LINKS = 16


class FrameCode(msgspec.Struct, frozen=True, eq=False):
    """A frame and the entry of the function whose code it runs; *address* is that of the file to
    look up, *calls* are those of its module. *depth* counts how many callers were gone to, and
    other variables asked."""

    view: FrameView
    function: Die
    address: int
    calls: CallSites
    depth: int = 0


class Expression(msgspec.Struct, frozen=True):
    """An *expression* of the entry *die*."""

    die: Die
    expression: bytes


class Call(msgspec.Struct, frozen=True):
    """A call: the frame of the *caller*, the entry of the *site*. *target* computes, in the
    caller's frame, the address of the function; ``None`` where the entry names it."""

    caller: FrameCode
    site: Die
    target: Expression | None


class CallSites:
    """The calls of one module; RVA 0 is address *base* of the file."""

    def __init__(self, units: CodeUnits, names: DwarfNames, base: int) -> None:
        self._units = units
        self._names = names
        self.base = base
        self._sites: dict[tuple[int, int], list[Die]] = {}
        self._bodies: dict[Unit, dict[int, int]] = {}

    def function_at(self, address: int) -> Die | None:
        """Return the entry of the function at an address of the file."""
        for unit in self._units.at(address):
            try:
                found = unit.function_at(address)
                die = unit.entries.die(found[2]) if found is not None else None
            except FormatError:
                continue
            if die is not None:
                return die
        return None

    def caller_of(self, frame: FrameCode) -> Call:
        """Return the call that led to *frame*.

        :raises ValueUnavailableError: it is not known, or not certain.
        :raises FormatError: the entries are damaged.
        """
        view = frame.view.caller()
        calls = self if view.module_base == frame.view.module_base else _calls_of(view.types)
        address = view.rva + calls.base
        function = calls.function_at(address)
        if function is None:
            raise ValueUnavailableError("nothing describes the caller")
        caller = FrameCode(view, function, address, calls, frame.depth + 1)
        site = calls._site_at(function, address + 1)
        if site is None:
            raise ValueUnavailableError("the call to the function is not described")
        target = None
        origin = _origin_of(site)
        if origin is None:
            target = _target_of(site)
        elif not is_same(origin, frame.function) and not self._is_alias(origin, frame.function):
            raise ValueUnavailableError("another function was called, which called this one last")
        self._check_tail_calls(frame.function)
        return Call(caller, site, target)

    def value_of_register(self, site: Die, location: bytes, *, is_memory: bool) -> Expression:
        """Return the expression for what the call passed in the place of that *location*; of what
        the register points to, where *is_memory*."""
        for parameter in _parameters(site):
            if parameter.block(c.AT_LOCATION) == location:
                names = _DATA_VALUES if is_memory else _VALUES
                return _expression(parameter, names)
        raise ValueUnavailableError("what the caller passed is not described")

    def value_of_parameter(self, site: Die, wanted: Die) -> Expression:
        """Return the expression for what the call passed for the parameter with that entry."""
        for parameter in _parameters(site):
            for name in (c.AT_CALL_PARAMETER, c.AT_ABSTRACT_ORIGIN):
                origin = parameter.reference(name) if name in parameter.attributes else None
                if origin is not None and is_same(origin, wanted):
                    return _expression(parameter, _VALUES)
        raise ValueUnavailableError("what the caller passed is not described")

    # -- is it certain? ----------------------------------------------------------------------

    def _sites_of(self, function: Die) -> list[Die]:
        key = _key(function)
        found = self._sites.get(key)
        if found is None:
            below = entries_below(function, _may_have_calls)
            found = [die for _, die in below if die.tag in _SITES]
            if len(self._sites) >= _MAX_KEPT:
                self._sites.clear()
            self._sites[key] = found
        return found

    def _site_at(self, function: Die, return_address: int) -> Die | None:
        for site in self._sites_of(function):
            for name in (c.AT_CALL_RETURN_PC, c.AT_LOW_PC):
                if name in site.attributes and site.address(name) == return_address:
                    return site
        return None

    def _check_tail_calls(self, function: Die) -> None:
        """Check that *function* cannot have called itself, on whatever way, by tail calls: then
        these would not be the values of this call."""
        seen, todo = [function], [function]
        while todo:
            current = todo.pop()
            if not current.attributes.keys() & _ALL_TAIL_CALLS:
                raise ValueUnavailableError("the calls in the function's end are not described")
            for site in self._sites_of(current):
                if not any(site.number(name) for name in _TAIL_CALLS):
                    continue
                called = _origin_of(site)
                if called is None or len(seen) > _MAX_TAIL_CALLED:
                    raise ValueUnavailableError("the function may have been called anew in its end")
                if is_same(called, function):
                    raise ValueUnavailableError("the function may have called itself in its end")
                body = self._body_of(called)
                if body is not None and all(_key(each) != _key(body) for each in seen):
                    seen.append(body)
                    todo.append(body)

    def _body_of(self, function: Die) -> Die | None:
        """Return the entry with the code of *function*, ``None`` where the module has none: other
        modules' functions are taken not to come back in their ends."""
        if not function.attributes.keys().isdisjoint(_CODE):
            return function
        offset = self._bodies_in(function.unit).get(function.offset)
        if offset is not None:
            return function.unit.die(offset)
        if not is_external(function):
            return None
        symbol = self._names.named(self._units.shown(name_of(function)), CancelToken())
        if symbol is None or not symbol.is_code:
            return None
        return self.function_at(symbol.rva + self.base)

    def _is_alias(self, called: Die, function: Die) -> bool:
        """Tell whether *called* is another name for *function*, by the symbols."""
        if not is_external(called):
            return False
        symbol = self._names.named(self._units.shown(name_of(called)), CancelToken())
        ranges = function.ranges()
        if symbol is None or not ranges:
            return False
        return symbol.rva + self.base == ranges[0][0]

    def _bodies_in(self, unit: Unit) -> dict[int, int]:
        """Return the entries of *unit* that have code, by those that they complete or repeat."""
        found = self._bodies.get(unit)
        if found is None:
            found = {}
            for offset in functions_of(unit, self._units.lowest).values:
                die = unit.die(offset)
                for _, origin in _chain(die) if die is not None else ():
                    found.setdefault(origin, offset)
            if len(self._bodies) >= _MAX_KEPT:
                self._bodies.clear()
            self._bodies[unit] = found
        return found


def _expression(parameter: Die, names: tuple[int, ...]) -> Expression:
    for name in names:
        found = parameter.block(name)
        if found:
            return Expression(parameter, found)
    raise ValueUnavailableError("what the caller passed is not described")


def _parameters(site: Die) -> Iterator[Die]:
    for _, die in entries_below(site, lambda die: False):
        if die.tag in _PARAMETERS:
            yield die


def _may_have_calls(die: Die) -> bool:
    return die.tag in (c.TAG_LEXICAL_BLOCK, c.TAG_INLINED_SUBROUTINE)


def _origin_of(site: Die) -> Die | None:
    for name in (c.AT_CALL_ORIGIN, c.AT_ABSTRACT_ORIGIN):
        if name in site.attributes:
            return site.reference(name)
    return None


def _target_of(site: Die) -> Expression:
    for name in _TARGETS:
        found = site.block(name)
        if found:
            return Expression(site, found)
    raise ValueUnavailableError("which function the caller called is not described")


def _calls_of(types: TypeSource | None) -> CallSites:
    """Return the calls of another module."""
    from polydbg.symbols.dwarf import DwarfSource

    if not isinstance(types, DwarfSource):
        raise ValueUnavailableError("nothing describes the caller")
    return types.types.variables.calls


def _key(die: Die) -> tuple[int, int]:
    # Sections live as long as the units, so that their ids stay theirs.
    return id(die.unit.section), die.offset


def _chain(die: Die) -> Iterator[tuple[int, int]]:
    """Yield what tells an entry, and those that it completes or repeats, from others."""
    current: Die | None = die
    for _ in range(_MAX_LINKS):
        if current is None:
            return
        yield _key(current)
        if c.AT_SPECIFICATION in current.attributes:
            current = current.reference(c.AT_SPECIFICATION)
        else:
            current = current.reference(c.AT_ABSTRACT_ORIGIN)


def is_same(left: Die, right: Die) -> bool:
    """Tell whether two entries are of one function or parameter: one leads to the other, both to a
    third, or they are known to the linker by one name."""
    if not set(_chain(left)).isdisjoint(_chain(right)):
        return True
    names = name_of(left), name_of(right)
    if not (is_external(left) and is_external(right)):
        return False
    first, second = (each.linkage or each.plain for each in names)
    return bool(first) and first == second
