"""Callers on x64 by the unwind tables of PE images."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from polydbg.base.errors import FormatError, MemoryReadError, UnwindError
from polydbg.formats.pe import pdata
from polydbg.images.pe import PeImage
from polydbg.unwind.amd64_epilogs import MAX_BYTES, EpilogSite, epilog_rule
from polydbg.unwind.amd64_rules import LEAF_RULE, Place, Rule, execute, rule_from_info
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, NotUnwoundError, UnwindContext

_CACHE_LIMIT = 20_000


class PeAmd64:
    """Finds the rule of an address and executes it. Rules are kept as long as their image."""

    def __init__(self) -> None:
        self._rules: WeakKeyDictionary[PeImage, dict[tuple[int, bool], Rule]] = WeakKeyDictionary()

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        found = context.image_at(callee.lookup_pc)
        if found is None:
            return None
        base, image = found
        if not isinstance(image, PeImage):
            return None
        if image.machine == "x86":
            # Its stack has words of 4 bytes: what the other methods would find is nonsense.
            raise NotUnwoundError(
                "this is 32-bit code (WOW64); 64-bit frames cannot be found from it"
            )
        if image.machine != "amd64" or not image.has_unwind_table:
            return None
        try:
            rule = self.find_rule(image, callee.pc - base, callee.is_return_address)
        except MemoryReadError:
            return None  # an image in memory without its tables: as if there was none
        except FormatError as error:
            raise UnwindError(f"unwind information of {image.name}: {error.message}") from error
        registers = execute(rule, callee.registers, context.memory)
        if rule is not LEAF_RULE:
            return Caller(registers, FrameTrust.UNWIND_INFO, rule.has_machine_frame)
        # A leaf does not call. A caller without an entry is assembler code or no code at all;
        # on top of its stack may be anything.
        if callee.is_return_address and registers["rip"] and not context.is_code(registers["rip"]):
            return None
        return Caller(registers, FrameTrust.LEAF)

    def find_rule(self, image: PeImage, rva: int, is_return_address: bool = False) -> Rule:
        """Return the unwind rule at *rva*.

        :raises FormatError: the image's tables are damaged.
        :raises MemoryReadError: the tables are not in memory.
        """
        rules = self._rules.get(image)
        if rules is None:
            rules = self._rules[image] = {}
        key = (rva, is_return_address)
        rule = rules.get(key)
        if rule is None:
            if len(rules) >= _CACHE_LIMIT:
                rules.clear()
            rule = rules[key] = find_rule(image, rva, is_return_address)
        return rule


def find_rule(image: PeImage, rva: int, is_return_address: bool = False) -> Rule:
    """Return the unwind rule at *rva* of an x64 image that has ``.pdata``.

    With *is_return_address* the row is looked up one byte before, and it is no epilog: a call is
    never part of one.

    :raises FormatError: the image's tables are damaged.
    :raises MemoryReadError: the tables are not in memory.
    """
    function = image.function_at(rva - 1 if is_return_address else rva)
    if function is None:
        return LEAF_RULE
    chain = image.unwind_chain(function)
    position = rva - pdata.resolve_indirect(image.space, function).begin
    rule = rule_from_info(chain, position)
    if rule.place is Place.PROLOG or is_return_address or rule.has_machine_frame:
        return rule
    if chain[0].version == 2 and not _in_declared_epilog(chain[0], function, rva):
        return rule
    code = image.space.read_some(rva, min(MAX_BYTES, function.end - rva + 8))
    site = EpilogSite(
        code, rva, chain[0].frame_register, lambda target: _leaves(image, function, target)
    )
    return epilog_rule(site) or rule


def _in_declared_epilog(info: pdata.UnwindInfo, function: pdata.RuntimeFunction, rva: int) -> bool:
    return any(0 <= rva - (function.end - start) < info.epilog_size for start in info.epilogs)


def _leaves(image: PeImage, function: pdata.RuntimeFunction, target: int) -> bool:
    """Return whether a jump from *function* to *target* is a tail call.

    It is not when it goes to another fragment of the same function. Windows knows those by their
    chained entries; GCC's cold parts are not chained, but a jump into the middle of a function is
    no call, and neither is one to a fragment, which has codes but no prolog of its own.
    """
    if function.begin <= target < function.end:
        # To its own start: recursion, unless this is a fragment.
        return target == function.begin and image.unwind_chain(function)[0].chained is None
    other = image.function_at(target) if target >= 0 else None
    if other is None:
        return True
    if target != other.begin:
        return False
    info = image.unwind_chain(other)[0]
    if info.chained is not None:
        own = pdata.primary_of(image.space, function)
        return pdata.primary_of(image.space, other).begin != own.begin
    return bool(info.prolog_size) or not info.codes
