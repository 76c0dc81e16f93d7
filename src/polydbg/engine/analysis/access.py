"""Why a memory access failed: from the address, the operands, the map and the modules."""

from __future__ import annotations

import msgspec

from polydbg.arch.registers import stack_pointer
from polydbg.engine.analysis.location import Located, Scene
from polydbg.engine.analysis.model import AccessKind, Confidence, Verdict
from polydbg.engine.analysis.pointers import (
    below_null,
    fill_pattern,
    is_canonical,
    is_null,
    is_of_system,
    text_in,
)
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.targets.target import ThreadInfo

_VERBS = {
    AccessKind.READ: "read",
    AccessKind.WRITE: "write",
    AccessKind.EXECUTE: "execute",
    AccessKind.UNKNOWN: "access",
}
_REASONS = {
    "SEGV_MAPERR": ("where nothing is mapped", "so says the system; the dump's map does not tell"),
    "SEGV_ACCERR": (
        "which the memory there does not permit",
        "so says the system; the dump's map does not tell what is permitted",
    ),
}
_PAGE = 0x1000
_LARGE = 0x1000000
"""How large an object behind a null pointer is thought to be, in bytes."""
_STACK_REACH = 0x10000
"""How far from the stack pointer one instruction or a probe of a prolog reaches, in bytes."""


def judge_access(scene: Scene, located: Located, reason: str = "") -> Verdict:
    """Return why the access failed; the most telling explanation that holds. *reason* is the
    system's word for it (``SEGV_ACCERR``), ``""`` where it has none."""
    if located.access.kind is AccessKind.EXECUTE:
        return _judge_execute(scene, located)
    address = located.address
    verb, suffix = _VERBS[located.access.kind], _suffix(located.access.kind)
    if address is None:
        return Verdict(
            f"INVALID_POINTER{suffix}",
            f"an invalid pointer was used to {verb} memory; its value is not known",
            Confidence.POSSIBLE,
            located.notes,
        )
    for explain in (_null, _filled, _past_stack, _not_canonical, _of_system, _as_text, _by_map):
        verdict = explain(scene, located, address)
        if verdict is not None:
            return msgspec.structs.replace(verdict, evidence=(*located.notes, *verdict.evidence))
    allowed = scene.map.can_read(address)
    if reason in _REASONS:
        where, words = _REASONS[reason]
        return Verdict(
            f"INVALID_POINTER{suffix}",
            f"an invalid pointer was used to {verb} {scene.address_text(address)}, {where}",
            Confidence.CERTAIN if located.is_sure and not allowed else Confidence.LIKELY,
            (*located.notes, words),
        )
    words = "the dump does not say what was mapped there"
    if allowed:
        words = "by the dump's memory map the access is allowed: mapped since, or not the cause"
    return Verdict(
        f"INVALID_POINTER{suffix}",
        f"an invalid pointer was used to {verb} {scene.address_text(address)}",
        Confidence.LIKELY if located.is_sure and not allowed else Confidence.POSSIBLE,
        (*located.notes, words),
    )


def _suffix(kind: AccessKind) -> str:
    return "" if kind is AccessKind.UNKNOWN else f"_{kind.name}"


def _null(scene: Scene, located: Located, address: int) -> Verdict | None:
    verb, kind = _VERBS[located.access.kind], located.access.kind
    operand = located.operand
    size = scene.system.pointer_size
    wrapped = below_null(address, size)
    if wrapped == 1 or (wrapped and operand and operand.base_value == (1 << 8 * size) - 1):
        return Verdict(
            f"INVALID_POINTER{_suffix(kind)}",
            f"the value -1, an error or an invalid handle, was used as a pointer to {verb} memory",
            Confidence.LIKELY,
        )
    if not is_null(address) and wrapped is None:
        return _far_from_null(scene, located, address)
    if wrapped is not None:
        summary = f"a null pointer minus {wrapped:#x} was used to {verb} memory"
        sure = Confidence.CERTAIN if operand and operand.base_value == 0 else Confidence.LIKELY
    elif address == 0:
        summary = f"a null pointer was used to {verb} memory"
        sure = Confidence.CERTAIN
    else:
        summary = (
            f"a null pointer was used to {verb} memory, {address:#x} bytes into what it "
            "should point to"
        )
        sure = Confidence.CERTAIN if operand and operand.base_value == 0 else Confidence.LIKELY
    notes: tuple[str, ...] = ()
    if operand is not None and operand.base and operand.base_value:
        summary = (
            f"a pointer that holds the small number {operand.base_value:#x} was used to "
            f"{verb} address {address:#x}"
        )
        notes = (
            f"{operand.base} is not null itself: a null pointer plus an offset, or a number "
            "taken for a pointer",
        )
        sure = Confidence.LIKELY
        if wrapped is not None or not is_null(operand.base_value):
            summary = f"address {scene.address_text(address)}, close to null, was used to {verb}"
    contradicted = scene.operands and operand is None
    if contradicted or (not located.access.is_reported and not located.is_sure):
        sure = Confidence.LIKELY
    return Verdict(f"NULL_POINTER{_suffix(kind)}", summary, sure, notes)


def _far_from_null(scene: Scene, located: Located, address: int) -> Verdict | None:
    """Recognise a null pointer to what is large."""
    operand = located.operand
    if operand is None or not operand.base or operand.base_value or address >= _LARGE:
        return None
    if scene.map.is_mapped(address) is not False:
        return None
    return Verdict(
        f"NULL_POINTER{_suffix(located.access.kind)}",
        f"a null pointer was used to {_VERBS[located.access.kind]} memory, {address:#x} bytes into "
        "what it should point to",
        Confidence.LIKELY,
        (f"{operand.base} is null, and nothing is mapped at {scene.address_text(address)}",),
    )


def _filled(scene: Scene, located: Located, address: int) -> Verdict | None:
    size, operand = scene.system.pointer_size, located.operand
    verb = _VERBS[located.access.kind]
    values = [(operand.base, operand.base_value)] if operand and operand.base else []
    for register, value in [*values, ("", address)]:
        pattern = fill_pattern(value, size)
        if pattern is None:
            continue
        holder = f"{register} holds" if register else "the address is"
        what = pattern.state.value
        return Verdict(
            f"INVALID_POINTER{_suffix(located.access.kind)}_FILL_PATTERN_{pattern.word:08x}",
            f"a pointer read from {what} memory was used to {verb}",
            Confidence.LIKELY,
            (f"{holder} {scene.address_text(value)}: {pattern.meaning}",),
        )
    return None


def _past_stack(scene: Scene, located: Located, address: int) -> Verdict | None:
    """Recognise a stack that is used up where the system has no code of its own for it."""
    sp = stack_pointer(scene.registers)
    if sp is None or not -_STACK_REACH <= address - sp < _STACK_REACH:
        return None
    low = _end_of_guard(scene, address) or _stack_start(scene, sp)
    if not scene.map.is_past_stack(address) and (low is None or not address < low):
        return None
    if low is not None and sp - low >= _STACK_REACH:
        return None  # there is room: something else reached below the stack
    return Verdict(
        "STACK_OVERFLOW",
        "the stack is used up",
        Confidence.LIKELY,
        (
            f"the access at {scene.address_text(address)} lies next to the stack pointer "
            f"{scene.address_text(sp)}, below the end of the stack's memory",
        ),
    )


def _end_of_guard(scene: Scene, address: int) -> int | None:
    """Return where the pages end that nobody may touch and above which data begins: the guard of a
    stack that the system does not know as one. ``None`` where *address* is in no such pages.

    In the cores that gdb writes all pages can be read."""
    if scene.map.can_write(address) is not False:
        return None
    region = scene.map.at(address)
    if region is None or region.is_free or not scene.map.can_write(region.end):
        return None
    is_file = region.file is not None and region.file.path.startswith("/")
    return None if is_file else region.end


def _stack_start(scene: Scene, sp: int) -> int | None:
    """Return the lowest address of the stack's memory, ``None`` where nothing tells it."""
    from polydbg.engine.address_map import Source

    thread = scene.system.event_thread
    if thread is not None and thread.stack_base is not None:
        # A dump that holds only the used part of a stack begins near the stack pointer anyway:
        # only what the map says of the pages below makes that an end.
        region = scene.map.at(thread.stack_base)
        if region is not None and region.source is Source.SYSTEM:
            return region.base
        if scene.map.is_whole or sp < thread.stack_base + _PAGE:
            return thread.stack_base
        return None
    region = scene.map.at(sp)
    if region is None:
        return None
    if not region.is_free:
        return region.base
    # The stack pointer is already below the stack: a prolog moved it, the first access failed.
    is_near = region.end - sp < _STACK_REACH
    return region.end if is_near and scene.map.can_write(region.end) else None


def _not_canonical(scene: Scene, located: Located, address: int) -> Verdict | None:
    if is_canonical(address, scene.system.machine):
        return None
    verb = _VERBS[located.access.kind]
    text = _spelled(scene, located, address)
    evidence = [
        f"{scene.address_text(address)} is not a canonical address: no x64 process can map it"
    ]
    if text:
        evidence.append(text)
    return Verdict(
        f"INVALID_POINTER{_suffix(located.access.kind)}",
        f"a pointer overwritten with text was used to {verb} memory"
        if text
        else f"a wild pointer, no address at all, was used to {verb} memory",
        # The processor does not report such addresses: one that is in the record came otherwise.
        Confidence.CERTAIN
        if located.is_sure and not text and not located.access.is_reported
        else Confidence.LIKELY,
        tuple(evidence),
    )


def _of_system(scene: Scene, located: Located, address: int) -> Verdict | None:
    platform = scene.system.target.system().platform
    if not is_of_system(address, scene.system.machine, platform):
        return None
    region = scene.map.at(address)
    if scene.system.pointer_size == 4 and region is not None and not region.is_free:
        return None  # a program that may have 4 GB, on a 64-bit system
    verb = _VERBS[located.access.kind]
    return Verdict(
        f"INVALID_POINTER{_suffix(located.access.kind)}",
        f"an address of the system was used to {verb} memory: a number that is no pointer",
        Confidence.CERTAIN
        if located.is_sure and scene.system.pointer_size == 8
        else Confidence.LIKELY,
        (f"{scene.address_text(address)} lies in the part of memory that programs never have",),
    )


def _as_text(scene: Scene, located: Located, address: int) -> Verdict | None:
    text = _spelled(scene, located, address)
    if not text:
        return None
    verb = _VERBS[located.access.kind]
    return Verdict(
        f"INVALID_POINTER{_suffix(located.access.kind)}",
        f"a pointer that text has overwritten was used to {verb} {scene.address_text(address)}",
        Confidence.POSSIBLE if scene.system.pointer_size == 4 else Confidence.LIKELY,
        (text,),
    )


def _spelled(scene: Scene, located: Located, address: int) -> str:
    """Return evidence that the pointer's bytes are text, ``""`` when they are not."""
    size, operand = scene.system.pointer_size, located.operand
    value = operand.base_value if operand and operand.base else address
    text = text_in(value, size)
    return f'the bytes of {scene.address_text(value)} spell "{text}"' if text else ""


def _by_map(scene: Scene, located: Located, address: int) -> Verdict | None:
    """Explain by what lies at the address."""
    system, memory_map = scene.system, scene.map
    verb, suffix = _VERBS[located.access.kind], _suffix(located.access.kind)
    at = scene.address_text(address)
    if gone := system.modules.unloaded_at(address):
        reused = _reused(scene, address)
        return Verdict(
            f"UNLOADED_MODULE{suffix}",
            f"memory of {gone.name} was used to {verb} after the module was unloaded",
            Confidence.CERTAIN if located.is_sure and not reused else Confidence.LIKELY,
            (f"{at} lies in the unloaded {gone.name}+{address - gone.base:#x}", *reused),
        )
    if located.access.kind is not AccessKind.READ and memory_map.can_write(address) is False:
        found = _read_only(scene, located, address)
        if found is not None:
            return found
    if memory_map.is_past_stack(address):
        owner = memory_map.stack_of(address)
        name = f"thread {owner.ordinal}" if owner else "a thread"
        return Verdict(
            f"INVALID_POINTER{suffix}",
            f"a pointer into the guard pages below the stack of {name} was used to {verb} {at}",
            Confidence.LIKELY,
        )
    if memory_map.is_mapped(address) is False:
        return Verdict(
            f"INVALID_POINTER{suffix}",
            f"an invalid pointer was used to {verb} {at}, where nothing is mapped",
            Confidence.CERTAIN if located.is_sure else Confidence.LIKELY,
            ("the memory map of the dump has no memory there: freed, or never an address",),
        )
    if memory_map.is_mapped(address) and memory_map.can_read(address) is False:
        return Verdict(
            f"INVALID_POINTER{suffix}",
            f"memory without access was used to {verb} {at}",
            Confidence.CERTAIN if located.is_sure else Confidence.LIKELY,
            ("the memory map says that nobody may read there",),
        )
    return None


def _reused(scene: Scene, address: int) -> tuple[str, ...]:
    """Return evidence that something else lies where a module was unloaded."""
    module = scene.system.modules.at(address)
    if module is None and not (scene.map.is_whole and scene.map.is_mapped(address)):
        return ()
    what = module.name if module is not None else "other memory"
    return (f"{what} lies there now: the address may be of that",)


def _read_only(scene: Scene, located: Located, address: int) -> Verdict | None:
    """Explain a write to what only can be read."""
    if not scene.map.can_read(address):
        return None
    at = scene.address_text(address)
    module = scene.system.modules.at(address)
    place = scene.system.modules.place(address)
    where = f"read-only memory of {module.name}" if module else "read-only memory"
    evidence = [f"{at} is {place.text}"] if module else []
    evidence.append("the map allows reading there, not writing")
    return Verdict(
        "READ_ONLY_WRITE",
        f"{where} was written",
        Confidence.CERTAIN if located.is_sure else Confidence.LIKELY,
        tuple(evidence),
    )


def _judge_execute(scene: Scene, located: Located) -> Verdict:
    address = located.address if located.address is not None else scene.pc
    at = scene.address_text(address)
    system = scene.system
    notes = located.notes
    if scene.called_from:
        notes = (*notes, scene.called_from)
    if is_null(address):
        sure = scene.was_called and address == 0
        return Verdict(
            "NULL_POINTER_EXECUTE",
            "a null function pointer was called"
            if sure
            else f"control went to {address:#x}: a null function pointer was called, or a return "
            "address was overwritten",
            Confidence.CERTAIN if sure else Confidence.LIKELY,
            notes,
        )
    if gone := system.modules.unloaded_at(address):
        reused = _reused(scene, address)
        return Verdict(
            "UNLOADED_MODULE_EXECUTE",
            f"code of {gone.name} was called after the module was unloaded",
            Confidence.LIKELY if reused else Confidence.CERTAIN,
            (*notes, f"{at} lies in the unloaded {gone.name}+{address - gone.base:#x}", *reused),
        )
    if pattern := fill_pattern(address, system.pointer_size):
        return Verdict(
            f"INVALID_POINTER_EXECUTE_FILL_PATTERN_{pattern.word:08x}",
            "a function pointer from memory that holds a fill pattern was called",
            Confidence.LIKELY,
            (*notes, f"the address is {at}: {pattern.meaning}"),
        )
    module = system.modules.at(address)
    if module is not None and scene.map.can_execute(address) is not True:
        return _in_module(scene, module, address, notes)
    owner = scene.map.stack_of(address) or _stack_holder(system, address)
    if owner is not None:
        return Verdict(
            "SOFTWARE_NX_FAULT",
            f"the stack of thread {owner.ordinal} was executed",
            Confidence.CERTAIN
            if located.is_sure and not _is_shared(scene, address)
            else Confidence.LIKELY,
            (*notes, f"{at} lies in a stack: an overwritten return address or function pointer"),
        )
    if text := text_in(address, system.pointer_size):
        notes = (*notes, f'the bytes of {at} spell "{text}"')
    if scene.map.is_mapped(address):
        return Verdict("SOFTWARE_NX_FAULT", f"data at {at} was executed", Confidence.LIKELY, notes)
    if not is_canonical(address, system.machine):
        notes = (*notes, f"{at} is not a canonical address")
    return Verdict(
        "INVALID_POINTER_EXECUTE",
        f"control went to {at}, where no code is",
        Confidence.CERTAIN if located.is_sure else Confidence.LIKELY,
        notes,
    )


def _is_shared(scene: Scene, address: int) -> bool:
    """Tell whether what lies beside a stack may be in the same region: Linux joins mappings."""
    region = scene.map.at(address)
    return region is not None and region.file is not None and region.file.path != "[stack]"


def _in_module(scene: Scene, module: Module, address: int, notes: tuple[str, ...]) -> Verdict:
    place = scene.system.modules.place(address)
    known = scene.map.can_execute(address) is False
    return Verdict(
        "SOFTWARE_NX_FAULT",
        f"data of {module.name} was executed",
        Confidence.CERTAIN if known else Confidence.LIKELY,
        (*notes, f"{scene.address_text(address)} is {place.text}, which is not executable"),
    )


def _stack_holder(system: System, address: int) -> ThreadInfo | None:
    for thread in system.threads:
        if thread.stack_base and 0 <= address - thread.stack_base < (thread.stack_size or 0):
            return thread
    return None
