"""Variables of functions from a PDB: which are in scope at an address, and where they are there.

Records of old kinds hold for the whole function but its prologue and epilogue, in which the frame
they count from is not there; those with ranges hold where these say. Optimised code has both, and
then the old ones tell of places that may never be written; so do records of a parameter's home, for
one that comes in a register.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb import variables as records
from polydbg.formats.pdb.dbi import key_of
from polydbg.formats.pdb.inlines import Site
from polydbg.formats.pdb.module import (
    S_BLOCK32,
    S_INLINESITE,
    S_INLINESITE2,
    CodeViewSymbol,
    debug_range,
    is_optimised,
    records_within,
)
from polydbg.formats.pdb.reading import qualified, u16, u32
from polydbg.formats.pdb.registers import EDX_EAX, VFRAME, Register, frame_register, registers_of
from polydbg.formats.pdb.variables import FrameRecord, LocalRecord, Slot, SlotKind
from polydbg.symbols.pdb_file import Module, PdbFile
from polydbg.symbols.pdb_places import static_place, thread_place
from polydbg.symbols.pdb_type_builder import PdbTypeBuilder
from polydbg.types.model import FunctionType, PointerType, Type
from polydbg.types.place import (
    OPTIMIZED_OUT,
    Place,
    PlacePiece,
    ValueUnavailableError,
    in_memory,
    in_pieces,
    in_register,
    nowhere,
)
from polydbg.types.source import FrameView, Scope, Variable, VariableKind

_STATICS = frozenset((records.S_LDATA32, records.S_GDATA32))
_THREADS = frozenset((records.S_LTHREAD32, records.S_GTHREAD32))
_OLD = frozenset((records.S_REGREL32, records.S_BPREL32, records.S_REGISTER))
_MAX_VARIABLES = 1 << 14
_X87_SIZE = 10
_FRAME_POINTER = 2  # as S_FRAMEPROC encodes it
_NOT_HERE = nowhere("the compiler keeps it nowhere at this instruction")
_HOME = nowhere("the register that it came in holds another by now")
_NO_FRAME = nowhere("the function has no frame at this instruction: it makes or leaves it")


class _Code(msgspec.Struct, frozen=True):
    """Where in which function an address is: *offset* counts from its start, *key* is packed."""

    module: Module
    function: CodeViewSymbol
    scope: bytes
    key: int
    offset: int
    frame: FrameRecord | None
    has_frame: bool
    is_optimised: bool


class _Level(msgspec.Struct):
    """What is collected of a function or inlined call: (depth of the block, its record)."""

    name: str
    function_id: int
    found: list[tuple[int, LocalRecord]] = msgspec.field(default_factory=list)


class _Container(msgspec.Struct):
    """A scope that is open: the records in it are one deeper than *depth*. *level* is whose
    variables they are, ``None`` where the address is outside; *sites* are the calls inlined in
    it that are still to come."""

    depth: int
    level: _Level | None
    sites: Iterator[Site]
    chosen: list[Site]  # of the calls at this level the one that covers the address


class PdbVariables:
    """Answers about variables from *file*, with types that *builder* makes."""

    def __init__(self, file: PdbFile, builder: PdbTypeBuilder) -> None:
        self._file = file
        self._builder = builder

    # -- scopes ----------------------------------------------------------------------------

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        """Return the function at *rva* and the calls inlined there, the outermost first.

        :raises FormatError: the records are damaged.
        """
        code = self._code_at(rva)
        if code is None:
            return ()
        outer = _Level(qualified(code.function.name), code.function.type_index)
        levels = [outer, *self._collect(code, outer)]
        return tuple(
            Scope(
                level.name,
                tuple(self._ordered(level, code)),
                partial(self._function_type, level.function_id, depth > 0 or _has_id(code)),
                partial(self._owner, level.function_id, depth > 0 or _has_id(code)),
            )
            for depth, level in enumerate(levels)
        )

    def _code_at(self, rva: int) -> _Code | None:
        file = self._file
        key = file.key_of_rva(rva)
        module = file.module_at(key) if key is not None else None
        if key is None or module is None:
            return None
        function = module.symbols.code_at(key)
        if function is None:
            moved = module.symbols.separated_at(key)
            function = module.symbols.code_at(moved.parent) if moved is not None else None
        if function is None or not function.is_procedure:
            return None
        scope = module.scope(function)
        offset = key - function.key
        first, last = debug_range(scope)
        # Compilers that write ranges leave both 0.
        inside = not last or not 0 <= offset < function.size or first <= offset <= last
        frame = _frame_of(scope)
        return _Code(module, function, scope, key, offset, frame, inside, is_optimised(scope))

    def _collect(self, code: _Code, outer: _Level) -> list[_Level]:
        """Fill *outer* with the function's own variables and return the inlined calls' levels."""
        scope, levels = code.scope, list[_Level]()
        sites = iter(code.module.sites(code.function))
        opened = [_Container(0, outer, sites, [])]
        last: tuple[_Level, int] | None = None  # whom a range record belongs to
        for count, (position, kind, size, depth) in enumerate(records_within(scope, 0, len(scope))):
            if count > _MAX_VARIABLES * 4:
                raise FormatError("a function of the PDB has too many records")
            while opened[-1].depth >= depth:
                opened.pop()
            around = opened[-1]
            if kind == S_BLOCK32:
                level = around.level if _block_covers(scope, position, code.key) else None
                opened.append(_Container(depth, level, around.sites, around.chosen))
            elif kind in (S_INLINESITE, S_INLINESITE2):
                opened.append(self._site(code, around, depth, levels))
            elif kind in records.RANGES:
                if last is not None and (slot := records.read_slot(scope, position, size)):
                    _add_slot(*last, slot)
            elif around.level is not None:
                found = records.read_variable(scope, position, size)
                last = None
                if found is not None and found.name and len(around.level.found) < _MAX_VARIABLES:
                    around.level.found.append((depth, found))
                    last = around.level, len(around.level.found) - 1
            else:
                last = None
        return levels

    def _site(
        self, code: _Code, around: _Container, depth: int, levels: list[_Level]
    ) -> _Container:
        """Return the scope of an inlined call; one that covers the address is a level."""
        site = next(around.sites, None)
        if site is None:
            return _Container(depth, None, iter(()), [])
        level: _Level | None = None
        if around.level is not None and not around.chosen and _covers(site, code.offset):
            around.chosen.append(site)
            level = _Level(
                self._file.function_of_id(code.module, site.function_id), site.function_id
            )
            levels.append(level)
        return _Container(depth, level, iter(site.children), [])

    def _ordered(self, level: _Level, code: _Code) -> Iterator[Variable]:
        """Yield the variables of a level: innermost block first, statics last."""
        found = sorted(level.found, key=lambda each: (_is_static(each[1]), -each[0]))
        with_ranges = {record.name for _, record in found if record.kind == records.S_LOCAL}
        for _, record in found:
            if record.kind not in _OLD or record.name not in with_ranges:
                yield self._variable(record, code)

    def _function_type(self, index: int, is_id: bool) -> FunctionType | None:
        if is_id and index >> 31:
            return None  # an id of another module: its type is not told
        if is_id:
            index = self._file.types.function_type_of_id(index)
        found = self._builder.type_of(index) if index else None
        return found if isinstance(found, FunctionType) else None

    def _owner(self, index: int, is_id: bool) -> Type | None:
        found = self._function_type(index, is_id)
        return found.owner if found is not None else None

    # -- variables -------------------------------------------------------------------------

    def _variable(self, record: LocalRecord, code: _Code) -> Variable:
        type_ = partial(self._builder.type_of, record.type_index)
        artificial = bool(record.flags & records.FLAG_ARTIFICIAL)
        if record.kind == records.S_CONSTANT:
            # LLVM writes this for variables that it turned into constants, of whatever range: what
            # stands here may be another value's.
            place = nowhere("the file has a constant for it, but not where it holds")
            return Variable(record.name, VariableKind.LOCAL, type_, lambda frame: place)
        if record.kind in _THREADS:
            locate = partial(thread_place, record.key & 0xFFFFFFFF)
            return Variable(record.name, VariableKind.THREAD, type_, locate)
        if record.kind in _STATICS:
            return self._static(record.name, record.type_index, record.key)
        if record.kind == records.S_FILESTATIC and not record.slots:
            for each in code.module.symbols.data_named(record.name.encode()):
                return self._static(record.name, record.type_index, each.key)
        if record.name == "this" and (adjustment := self._this_adjustment(code)):
            type_ = partial(self._adjusted, record.type_index, adjustment)
        return Variable(
            record.name,
            _kind_of(record, code),
            type_,
            partial(self._place, record, code),
            partial(_words, record, code),
            is_artificial=artificial,
        )

    def _this_adjustment(self, code: _Code) -> int:
        """Return how far behind the object ``this`` points, as the function's type says."""
        index = code.function.type_index
        if code.function.has_id_type:
            index = self._file.types.function_type_of_id(index)
        return self._file.types.this_adjustment(index)

    def _adjusted(self, index: int, adjustment: int) -> Type:
        found = self._builder.type_of(index)
        bare = found.bare
        if not isinstance(bare, PointerType):
            return found
        return PointerType(lambda: bare.target, bare.size, adjustment=adjustment)

    def _static(self, name: str, type_index: int, key: int) -> Variable:
        rva = self._file.rva_of_key(key)
        type_ = partial(self._builder.type_of, type_index)
        if rva is None:
            return Variable(name, VariableKind.STATIC, type_, lambda frame: _NOT_HERE)
        place = partial(static_place, rva)
        return Variable(name, VariableKind.STATIC, type_, place, rva=rva)

    def static_near(self, rva: int, name: str) -> Variable | None:
        """Return the static or global variable *name* of the object file whose code is at *rva*."""
        key = self._file.key_of_rva(rva)
        module = self._file.module_at(key) if key is not None else None
        if module is None:
            return None
        for each in module.symbols.data_named(name.encode()):
            return self._static(name, each.type_index, each.key)
        return None

    def _place(self, record: LocalRecord, code: _Code, frame: FrameView | None) -> Place:
        slots = _slots_at(record, code)
        if frame is None or not slots:
            gone = record.flags & records.FLAG_OPTIMIZED_OUT or record.kind in _OLD
            return OPTIMIZED_OUT if gone else _NOT_HERE
        try:
            if slots[0].parent < 0:
                if _needs_frame(slots[0]) and not code.has_frame:
                    return _NO_FRAME
                if frame.machine == "amd64" and _is_home(slots[0], record, code):
                    return _HOME
                size = self._builder.type_of(record.type_index).size or 0
                return _slot_place(slots[0], record, code, frame, size)
            return self._pieces(slots, record, code, frame)
        except ValueUnavailableError as error:
            return nowhere(error.message)

    def _pieces(
        self, slots: list[Slot], record: LocalRecord, code: _Code, frame: FrameView
    ) -> Place:
        """Return the place of a variable whose parts are apart; what has none is missing."""
        size = self._builder.type_of(record.type_index).size or 0
        pieces: list[PlacePiece] = []
        at = 0
        for slot, following in zip(slots, [*slots[1:], None], strict=True):
            start = min(slot.parent, size)
            end = min(following.parent, size) if following is not None else size
            if start > at:
                pieces.append(PlacePiece(_NOT_HERE, 8 * (start - at)))
            try:
                place = _slot_place(slot, record, code, frame, end - start)
            except ValueUnavailableError as error:
                place = nowhere(error.message)
            width = len(place.data) if place.data else end - start
            taken = min(end - start, width)
            pieces.append(PlacePiece(place, 8 * taken))
            at = start + taken
        if at < size:
            pieces.append(PlacePiece(_NOT_HERE, 8 * (size - at)))
        return in_pieces(tuple(pieces))


def _has_id(code: _Code) -> bool:
    return code.function.has_id_type


def _frame_of(scope: bytes) -> FrameRecord | None:
    for position, kind, _, depth in records_within(scope, 0, len(scope)):
        if kind == records.S_FRAMEPROC and depth == 1:
            return records.read_frame(scope, position)
    return None


def _block_covers(scope: bytes, position: int, key: int) -> bool:
    """Tell whether the S_BLOCK32 record at *position* covers a packed address."""
    size, offset = u32(scope, position + 12), u32(scope, position + 16)
    start = key_of(u16(scope, position + 20), offset)
    return start <= key < start + size


def _covers(site: Site, offset: int) -> bool:
    return site.range_at(offset) is not None or any(
        _covers(child, offset) for child in site.children
    )


def _add_slot(level: _Level, index: int, slot: Slot) -> None:
    depth, record = level.found[index]
    slots = (*record.slots, slot)
    level.found[index] = depth, msgspec.structs.replace(record, slots=slots)


def _is_static(record: LocalRecord) -> bool:
    kind = record.kind
    return kind in _STATICS or kind in _THREADS or kind == records.S_FILESTATIC


def _kind_of(record: LocalRecord, code: _Code) -> VariableKind:
    if record.kind == records.S_FILESTATIC:
        return VariableKind.STATIC
    is_parameter = record.is_parameter or _is_above_frame(record, code)
    return VariableKind.PARAMETER if is_parameter else VariableKind.LOCAL


def _is_above_frame(record: LocalRecord, code: _Code) -> bool:
    """Tell a parameter by where it is: old records do not say what is one."""
    if record.kind in _OLD and record.name == "this":
        return True
    if record.kind == records.S_BPREL32:
        return record.slots[0].offset > 0
    if record.kind != records.S_REGREL32:
        return False
    slot = record.slots[0]
    if slot.register in (VFRAME, 22):
        return slot.offset > 0
    return code.frame is not None and slot.offset >= code.frame.size + 8


def _slots_at(record: LocalRecord, code: _Code) -> list[Slot]:
    """Return where the variable is at the address: the first place of it all, or its parts."""
    if record.kind in _OLD and code.is_optimised:
        return []
    found = [slot for slot in record.slots if slot.covers(code.key)]
    whole = [slot for slot in found if slot.parent < 0]
    if whole:
        # One of the whole function does not help: what is there may be older than the register's.
        sure = [slot for slot in whole if slot.size and not slot.is_uncertain]
        return (sure or whole)[:1]
    parts = {slot.parent: slot for slot in reversed(found)}
    return [parts[parent] for parent in sorted(parts)]


def _is_home(slot: Slot, record: LocalRecord, code: _Code) -> bool:
    """Tell whether a slot is where the caller left room for a parameter that comes in a register:
    whether it was ever stored there, nobody tells."""
    return (
        slot.kind is SlotKind.FRAME
        and not slot.size
        and record.is_parameter
        and any(
            each.kind is SlotKind.REGISTER and each.size and each.key == code.function.key
            for each in record.slots
        )
    )


def _needs_frame(slot: Slot) -> bool:
    return slot.kind is not SlotKind.REGISTER and not slot.size


def _base_of(slot: Slot, record: LocalRecord, code: _Code, machine: str) -> str:
    """Return the register that a slot counts from, ``""`` for the virtual frame.

    :raises ValueUnavailableError: the file does not tell it, or it is not known.
    """
    number = slot.register
    if slot.kind is SlotKind.FRAME:
        frame = code.frame or FrameRecord(0, 0, 0)
        base = frame.parameters_base if record.is_parameter else frame.locals_base
        found = frame_register(machine, base)
        if found is None:
            raise ValueUnavailableError("the function's record does not tell its frame's base")
        number = found
    elif record.kind == records.S_BPREL32:  # of the processor's own frame pointer
        number = frame_register(machine, _FRAME_POINTER) or number
    return "" if number == VFRAME else _register(machine, number).name


def _register(machine: str, number: int) -> Register:
    known = registers_of(machine).get(number)
    if known is None:
        raise ValueUnavailableError(f"register {number} of CodeView is not known")
    return known


def _slot_place(slot: Slot, record: LocalRecord, code: _Code, frame: FrameView, size: int) -> Place:
    """Return the place of a slot that holds *size* bytes.

    :raises ValueUnavailableError: a register was not kept.
    """
    if slot.is_uncertain:
        raise ValueUnavailableError("on some way to this instruction the register holds another")
    if slot.kind is SlotKind.REGISTER:
        return _register_place(slot.register, size, frame)
    name = _base_of(slot, record, code, frame.machine)
    base = frame.register(name) if name else frame.virtual_frame()
    width = 4 if frame.machine in ("x86", "arm") else 8
    mask = (1 << 8 * width) - 1
    address = base + slot.offset & mask
    if slot.kind is SlotKind.INDIRECT:
        pointer = int.from_bytes(frame.memory.read(address, width), "little")
        address = pointer + slot.within & mask
    return in_memory(address)


def _register_place(number: int, size: int, frame: FrameView) -> Place:
    if number == EDX_EAX:
        halves = [
            in_register(name, frame.register(name).to_bytes(4, "little")) for name in ("eax", "edx")
        ]
        return in_pieces(tuple(PlacePiece(half, 32) for half in halves))
    register = _register(frame.machine, number)
    if register.size == _X87_SIZE and size != _X87_SIZE:
        raise ValueUnavailableError(f"the value is in {register.name}, in another format")
    value = frame.register(register.name) >> 8 * register.offset & (1 << 8 * register.size) - 1
    return in_register(register.name, value.to_bytes(register.size, "little"))


def _words(record: LocalRecord, code: _Code, frame: FrameView | None) -> str:
    """Return where a variable is as ``dv /V`` says it: ``@rsp+0x0070``, ``@r10``."""
    slots = _slots_at(record, code)
    if frame is None or not slots:
        return ""
    if slots[0].parent >= 0:
        return ", ".join(filter(None, (_slot_words(slot, record, code, frame) for slot in slots)))
    return _slot_words(slots[0], record, code, frame)


def _slot_words(slot: Slot, record: LocalRecord, code: _Code, frame: FrameView) -> str:
    if slot.kind is SlotKind.REGISTER:
        if slot.register == EDX_EAX:
            return "@edx:eax"
        known = registers_of(frame.machine).get(slot.register)
        return f"@{known.name}" if known is not None else ""
    try:
        name = _base_of(slot, record, code, frame.machine) or "vframe"
    except ValueUnavailableError:
        return ""
    sign = "-" if slot.offset < 0 else "+"
    return f"@{name}{sign}0x{abs(slot.offset):04x}"
