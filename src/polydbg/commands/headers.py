"""``!lmi``, ``!dh``, ``.imgscan``, ``!error``: headers of images, and what error numbers mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from polydbg.base.error_codes import meaning_of, ntstatus_meaning
from polydbg.base.error_codes_errno import errno_meaning
from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands import elf_headers
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.headers_text import (
    MACHINES,
    debug_directory_lines,
    header_lines,
    section_lines,
)
from polydbg.commands.modules import identity_fields, is_reproducible
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.times import stamp_text
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.session import System
from polydbg.formats.pdb.compiler import Compiler, compiler_of
from polydbg.formats.pdb.dbi import NO_STREAM
from polydbg.formats.pe.debug import DEBUG_TYPE_CODEVIEW, DebugEntry
from polydbg.formats.pe.header import DIRECTORY_DEBUG
from polydbg.images.elf import ElfImage
from polydbg.images.pe import PeImage
from polydbg.symbols.breakpad import BreakpadSource
from polydbg.symbols.pdb import PdbSource

_PAGE = 0x1000
_MAX_IMAGES = 0x10000
_ELF_MAGIC = b"\x7fELF"
_MAX_COMPILERS = 64
_FIRST_SYMBOLS = 0x2000


class ModuleHeaders(ShownItem, frozen=True):
    """What ``!lmi`` says: labels and values in order."""

    module: str
    base: Hex
    fields: tuple[tuple[str, str], ...]


class HeaderBlock(ShownItem, frozen=True):
    """A part of ``!dh``: *part* is ``headers``, ``section`` or ``debug``, of ELF images also
    ``dynamic`` and ``notes``."""

    base: Hex
    part: str
    name: str


class FoundImage(ShownItem, frozen=True):
    """An image header that ``.imgscan`` found.

    *size* is in bytes; *protect* and *memory_type* are 0 where the target has no map of its memory.
    """

    base: Hex
    protect: int
    memory_type: int
    size: int
    name: str


class ErrorCode(ShownItem, frozen=True):
    """What a number means: *kind* is ``Win32``, ``NTSTATUS``, ``HRESULT`` or ``errno``."""

    code: Hex
    kind: str
    name: str
    meaning: str


# -- !error ------------------------------------------------------------------------------------


@command(
    "!error",
    summary="Say what a Win32 error, NTSTATUS or HRESULT means; beside a dump of Linux an errno.",
    syntax="!error value [1]",
    example="!error c0000374    or !error 2; !error 5 1 takes 5 as an NTSTATUS",
    family="headers",
)
def error_code(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'", hint="!error value [1]")
    code = ctx.expression(cursor) & 0xFFFFFFFF
    as_status = not cursor.at_end and ctx.expression(cursor) == 1
    info = ctx.system.target.system() if ctx.session.has_target and not as_status else None
    if info is not None and info.platform in ("linux", "android"):
        name, text = errno_meaning(code, info.arch)
        if name:
            shown = f"Error code: (errno) {code:#x} ({code}) {name} - {text}"
            yield ErrorCode(code=code, kind="errno", name=name, meaning=text, shown=shown)
            return
    found = ntstatus_meaning(code) if as_status else meaning_of(code)
    yield ErrorCode(
        code=code,
        kind=found.kind,
        name=found.name,
        meaning=found.text,
        shown=f"Error code: ({found.kind}) {code:#x} ({code}) - {found.text}",
    )


# -- !lmi --------------------------------------------------------------------------------------


@command(
    "!lmi",
    summary="Sum up a module: its header, debug records, symbols and compiler.",
    syntax="!lmi module | address",
    example="!lmi ntdll    which PDB the image wants, and what was loaded",
    family="headers",
)
def module_information(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end:
        raise CommandError("a module is missing", hint="!lmi module; lm lists the modules")
    module = _read_module(ctx, cursor)
    fields = list(_lmi_fields(ctx.system, module))
    lines = [f"Loaded Module Info: [{module.name}] "]
    for label, value in fields:
        first, *more = value.split("\n")
        lines.append(f"{label:>15}: {first}" if label else f"{'':17}{first}")
        lines += more
    yield ModuleHeaders(
        module=module.name,
        base=module.base,
        fields=tuple((label, value) for label, value in fields),
        shown="\n".join(lines),
    )


def _read_module(ctx: CommandContext, cursor: Cursor) -> Module:
    """Read a module's name or an address in one. :raises CommandError: no such module."""
    start = cursor.position
    word = cursor.word()
    modules = ctx.system.modules
    module = modules.named(word)
    if module is None:
        cursor.position = start
        module = modules.at(ctx.expression(cursor))
    if module is None:
        raise CommandError(
            f"no module is or contains '{word}'",
            identifier="module.unknown",
            hint="lm lists the modules",
        )
    return module


def _lmi_fields(system: System, module: Module) -> Iterator[tuple[str, str]]:
    info = module.info
    image = system.modules.pe_image(module)
    width = 16 if system.pointer_size == 8 else 8
    yield "Module", module.name
    yield "Base Address", f"{module.base:0{width}x}"
    yield "Image Name", sanitise_line(info.file_name)
    if image is not None:
        machine = image.header.machine
        yield "Machine Type", f"{machine} ({MACHINES.get(machine, 'unknown')})"
    if info.is_pe:
        yield "Time Stamp", _stamp(image, info.timestamp)
    yield "Size", f"{info.size:x}"
    if info.is_pe:
        yield "CheckSum", f"{info.checksum:x}"
    yield from identity_fields(info)
    if (elf_image := system.modules.elf_image(module)) is not None:
        machine = elf_image.header.machine
        yield "Machine Type", f"{machine} ({elf_image.machine})"
        yield from elf_headers.module_fields(elf_image)
        if rows := elf_headers.debug_sections(elf_image):
            yield "Debug Sections", "\n".join(["Size  Pointer", *rows])
    if image is not None:
        yield "Characteristics", f"{image.characteristics:x}  "
        if rows := _debug_rows(image):
            yield "Debug Data Dirs", "\n".join(["Type  Size     VA  Pointer", *rows])
    yield "Image Type", _image_type(module, image)
    if module.image_file is not None:
        yield "", sanitise_line(str(module.image_file))
    yield "Symbol Type", _symbol_type(module)
    path = sanitise_line(module.symbols.path) if module.symbols is not None else ""
    if path:
        yield "", path
    if debug_file := elf_headers.debug_file_words(module):
        yield "Debug File", debug_file
    if compiler := _compiler(module):
        yield "Compiler", compiler
    yield "Load Report", _load_report(module)
    if path:
        yield "", path


def _stamp(image: PeImage | None, stamp: int) -> str:
    """Return the stamp with its date; a reproducible build's hash is never shown as a date."""
    if not stamp:
        return "0 unavailable"
    if is_reproducible(image):
        return f"{stamp:x} (This is a reproducible build file hash, not a timestamp)"
    return f"{stamp:x} {stamp_text(stamp)}"


def _debug_rows(image: PeImage) -> list[str]:
    """Return the rows of the debug directory; those that cannot be read are left out."""
    try:
        entries = image.debug_entries()
    except DebuggerError:
        return []
    rows = []
    for entry in entries:
        row = f"{entry.type_name:>21} {entry.size:5x}, {entry.rva:5x}, {entry.file_offset:7x}"
        rows.append(f"{row} {_debug_words(image, entry)}".rstrip())
    return rows


def _debug_words(image: PeImage, entry: DebugEntry) -> str:
    try:
        image.debug_data(entry)
        record = image.codeview() if entry.type == DEBUG_TYPE_CODEVIEW else None
    except DebuggerError:
        return "[Debug data not mapped]"
    if record is None:
        return ""
    identity = f"{record.signature} - GUID: {record.debug_id.braced}"
    return f"{identity}\n{'':15}Age: {record.debug_id.age:x}, Pdb: {sanitise_line(record.path)}"


def _image_type(module: Module, image: PeImage | None) -> str:
    if module.image_file is not None:
        return "FILE     - Image read successfully from debugger."
    if image is not None:
        return "MEMORY   - Image read successfully from loaded memory."
    return "NONE     - Image not found; its headers are not in the dump."


def _symbol_type(module: Module) -> str:
    if module.state is SymbolState.DEFERRED:
        return "DEFERRED - No error - symbol load deferred"
    if isinstance(module.symbols, PdbSource):
        beside = module.image_file is not None and (
            module.image_file.parent == Path(module.symbols.path).parent
        )
        where = "image path" if beside else "symbol search path"
        return f"PDB      - Symbols loaded successfully from {where}."
    if isinstance(module.symbols, BreakpadSource):
        return "BREAKPAD - Symbols loaded successfully from symbol search path."
    if module.symbols is not None:
        status = module.symbols.status
        if status.startswith("export"):
            return "EXPORT   - PDB not found"
        kind = "DWARF" if "dwarf" in status else "TABLE"
        return f"{kind:<8} - Symbols loaded successfully from symbol search path."
    return f"NONE     - {'PDB' if module.info.is_pe else 'symbol file'} not found"


def _load_report(module: Module) -> str:
    if module.symbols is None:
        return "no symbols loaded"
    if not isinstance(module.symbols, PdbSource):
        status = module.symbols.status
        if status.startswith("export"):
            return "export symbols"
        return "private symbols & lines" if status.startswith("private") else "public symbols "
    words = "private symbols & lines" if module.symbols.status.startswith("private") else ""
    indexed = "srcsrv" in module.symbols.file.info.named_streams
    words = words or "public symbols "
    return f"{words}, {'source indexed' if indexed else 'not source indexed'} "


def _compiler(module: Module) -> str:
    """Return the words for the first real compiler among the modules of the PDB."""
    if not isinstance(module.symbols, PdbSource):
        return ""
    try:
        found = _first_compiler(module.symbols)
    except DebuggerError:
        return ""
    if found is None:
        return ""

    def half(version: tuple[int, int, int]) -> str:
        return f"[{version[0]}.{version[1]} bld {version[2]}]"

    return (
        f"{found.language_name} - front end {half(found.front_end)} - "
        f"back end {half(found.back_end)}"
    )


def _first_compiler(source: PdbSource) -> Compiler | None:
    file = source.file
    modules = file.dbi.modules
    looked_at = 0
    for number in range(len(modules)):
        info = modules[number]
        if info.stream == NO_STREAM or info.symbol_size <= 4:
            continue
        stream = file.msf.stream(info.stream)
        data = stream.read(0, min(info.symbol_size, stream.size, _FIRST_SYMBOLS))
        found = compiler_of(data)
        if found is not None and not found.is_tool:
            return found
        looked_at += 1
        if looked_at == _MAX_COMPILERS:
            return None
    return None


# -- !dh ---------------------------------------------------------------------------------------


@command(
    "!dh",
    summary="Show the headers of an image: file and optional header, directories, sections; of ELF "
    "images file and program headers, sections, dynamic entries and notes.",
    syntax="!dh [-f] [-s] [-a] base | module",
    example="!dh -f practice    file and optional header alone; -s sections alone",
    family="headers",
)
def display_headers(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options: set[str] = set()
    cursor.skip_blanks()
    while option := cursor.match(r"[-/]([a-zA-Z])(?=\s|$)"):
        if option.group(1).lower() not in "fsae":
            raise cursor.error("Syntax error", hint="!dh has -f, -s and -a")
        options.add(option.group(1).lower())
        cursor.skip_blanks()
    if cursor.at_end:
        raise CommandError("an address is missing", hint="!dh base; lm lists the bases of modules")
    system = ctx.system
    base = _read_base(ctx, cursor)
    if (elf_image := elf_headers.elf_image_at(system, base)) is not None:
        for part, name, lines in elf_headers.header_blocks(elf_image, "".join(options)):
            yield HeaderBlock(base=base, part=part, name=name, shown="\n".join(lines))
        return
    module = system.modules.at(base)
    if module is not None and module.info.image_format == "macho":
        raise CommandError(
            f"{module.name} is a Mach-O image: its headers are not shown by this version",
            identifier="image.unsupported-format",
            hint=f"!lmi {module.name} shows its UUID and files",
        )
    try:
        image = PeImage.from_memory(system.memory, base)
    except DebuggerError as error:
        raise CommandError(
            f"No file header at {address_text(base, system.pointer_size)}: {error.message}",
            identifier="image.no-header",
            hint="give the base of an image; its file is looked for on .exepath",
        ) from None
    everything = not options & {"f", "s"} or "a" in options
    if everything or "f" in options:
        lines = ["", *header_lines(image.header), ""]
        yield HeaderBlock(base=base, part="headers", name="", shown="\n".join(lines))
    if everything or "s" in options:
        yield from _sections(image, base)


def _read_base(ctx: CommandContext, cursor: Cursor) -> int:
    start = cursor.position
    module = ctx.system.modules.named(cursor.word())
    if module is not None:
        return module.base
    cursor.position = start
    return ctx.expression(cursor)


def _sections(image: PeImage, base: int) -> Iterator[Item]:
    debug = image.directories[DIRECTORY_DEBUG]
    for number, section in enumerate(image.section_headers, 1):
        lines = ["", *section_lines(number, section)]
        yield HeaderBlock(
            base=base, part="section", name=sanitise_line(section.name), shown="\n".join(lines)
        )
        if debug and 0 <= debug.rva - section.rva < section.memory_size:
            try:
                lines = ["", "", *debug_directory_lines(image)]
            except DebuggerError as error:
                lines = ["", f"Debug Directories: {error.message}"]
            yield HeaderBlock(base=base, part="debug", name="", shown="\n".join(lines))


# -- .imgscan ----------------------------------------------------------------------------------


@command(
    ".imgscan",
    summary="Find image headers in the memory of the target.",
    syntax=".imgscan [/v] [/r range]",
    example=".imgscan    also finds images that no module list has",
    family="headers",
)
def scan_for_images(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    start, end = 0, 1 << (8 * ctx.system.pointer_size)
    verbose = False
    cursor.skip_blanks()
    while option := cursor.match(r"/([a-zA-Z])"):
        letter = option.group(1).lower()
        if letter == "r":
            found = ctx.range(cursor, element_size=1, default_count=_PAGE, limit=1 << 64)
            start, end = found.start, found.start + found.size
        elif letter == "v":
            verbose = True
        elif letter == "l":
            raise CommandError(
                "modules cannot be added from images found in memory",
                identifier="target.unsupported",
                hint=".reload name=address adds a module",
            )
        else:
            raise cursor.error("Syntax error", hint=".imgscan has /r range and /v")
        cursor.skip_blanks()
    for count, address in enumerate(_marked_pages(ctx, start, end)):
        if count >= _MAX_IMAGES:
            yield Text(value=f"stopped after {_MAX_IMAGES} candidates")
            return
        image = _image_at(ctx.system, address)
        if image is not None:
            yield image
        elif verbose:
            at = address_text(address, ctx.system.pointer_size)
            is_elf = ctx.system.target.memory.read_some(address, 4) == _ELF_MAGIC
            mark, kind = ("ELF", "ELF") if is_elf else ("MZ", "PE")
            yield Text(value=f"{mark} at {at}, but no {kind} header")


def _marked_pages(ctx: CommandContext, start: int, end: int) -> Iterator[int]:
    """Yield the page addresses from *start* to *end* that begin as images of Windows or ELF do."""
    memory = ctx.system.target.memory
    address: int | None = (start + _PAGE - 1) // _PAGE * _PAGE
    pages = 0
    while address is not None and address < end:
        pages += 1
        if pages % 1024 == 0:
            ctx.cancel.check()
            ctx.progress("searching pages for images", pages, 0)
        if memory.read_some(address, 4).startswith((b"MZ", _ELF_MAGIC)):
            yield address
        following = memory.next_readable(address + _PAGE)
        if following is None:
            return
        address = (following + _PAGE - 1) // _PAGE * _PAGE


def _own_name(image: PeImage | ElfImage) -> str:
    """Return the name that an image of Windows exports itself under, or a library's soname."""
    try:
        if isinstance(image, ElfImage):
            return sanitise_line(image.soname or "")
        table = image.export_table()
    except DebuggerError:
        return ""
    return sanitise_line(table.dll_name) if table else ""


def _image_at(system: System, address: int) -> FoundImage | None:
    memory = system.target.memory
    image: PeImage | ElfImage
    try:
        if memory.read_some(address, 4) == _ELF_MAGIC:
            image, mark = ElfImage.from_memory(memory, address), "ELF"
        else:
            image, mark = PeImage.from_memory(memory, address), "MZ"
    except DebuggerError:
        return None
    module = system.modules.at(address)
    name = sanitise_line(module.info.file_name) if module and module.base == address else ""
    name = name or _own_name(image)
    region = next((r for r in system.target.regions() if r.base <= address < r.end), None)
    protect = region.protect if region else 0
    kind = region.type if region else 0
    lines = [
        f"{mark} at {address_text(address, system.pointer_size)}, "
        f"prot {protect:08x}, type {kind:08x} - size {image.size_of_image:x}"
    ]
    if name:
        lines.append(f"  Name: {name}")
    return FoundImage(
        base=address,
        protect=protect,
        memory_type=kind,
        size=image.size_of_image,
        name=name,
        shown="\n".join(lines),
    )
