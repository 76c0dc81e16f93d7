"""``lm``: the modules of the current system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from polydbg.base.errors import DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.base.wildcards import compile_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.commands.times import stamp_text
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.session import System
from polydbg.images.pe import PeImage
from polydbg.targets.target import ModuleInfo, UnloadedModuleInfo, VersionRecord

_CLUSTER = re.compile(r"(?:1m|sm|[Dolvukeifnptc])*")
_OS_NAMES = {
    0: "Unknown Base",
    0x4: "Unknown Win32",
    0x10001: "DOS Win16",
    0x10004: "DOS Win32",
    0x40000: "NT Base",
    0x40004: "NT Win32",
}
# VS_FF_* as the engine words them; its words for the other three are not known.
_FLAG_NAMES = {1: "Debug", 8: "Private", 0x20: "Special"}
_VERSION_STRINGS = (
    "CompanyName",
    "ProductName",
    "InternalName",
    "OriginalFilename",
    "ProductVersion",
    "FileVersion",
    "PrivateBuild",
    "SpecialBuild",
    "FileDescription",
    "LegalCopyright",
    "LegalTrademarks",
    "Comments",
)
_TYPE_NAMES = {0: "Unknown", 1: "App", 2: "Dll", 3: "Driver", 4: "Font", 5: "VxD", 7: "Static Lib"}


class ModuleRow(ShownItem, frozen=True):
    """A row of ``lm``. *status* is the phrase in parentheses, *symbol_file* what answers.
    *is_unverified*: the file that was found may be of another build, the dump does not tell."""

    name: str
    start: Hex
    end: Hex
    status: str
    flag: str
    symbol_file: str
    image: str
    timestamp: Hex
    checksum: Hex
    is_unverified: bool


class ModuleDetails(ShownItem, frozen=True):
    """The block of ``lmv`` below a row: labels and values in order."""

    name: str
    fields: tuple[tuple[str, str], ...]


class UnloadedRow(ShownItem, frozen=True):
    """A row below ``Unloaded modules:``."""

    name: str
    start: Hex
    end: Hex
    timestamp: Hex
    checksum: Hex


@command(
    "lm",
    summary="List modules: where they lie, what symbols they have, their files and versions.",
    syntax="lm[D][o][l][v][e][i|f|n][p][t][c][1m][sm] [a address] [m pattern | M pattern]",
    example="lmvm app*    details of matching modules; lm a @rip; lm1m names alone",
    family="modules",
)
def list_modules(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    letters, modules, unloaded = _select(ctx, cursor)
    if "1m" in letters:
        for module in modules:
            yield _module_row(module, module.name)
        return
    if "D" in letters:
        yield Heading(value="Browse full module list")
    size = ctx.system.pointer_size
    start, end = ("start", "end") if size == 4 else ("start            ", "end                ")
    head = "start    end        module name" if size == 4 else f"{start} {end} module name"
    yield Heading(value=head.rstrip())
    for module in modules:
        yield _module_row(module, _row(ctx.system, module, letters))
        if "v" in letters:
            yield _details(ctx.system, module, "D" in letters)
    if unloaded and not {"o", "l", "e"} & letters:
        yield Heading(value="\nUnloaded modules:")
        for gone in unloaded:
            yield _unloaded_row(gone, size, letters)


def _select(
    ctx: CommandContext, cursor: Cursor
) -> tuple[set[str], list[Module], list[UnloadedModuleInfo]]:
    """Read flags, address and pattern; return the flags and what they leave of the lists."""
    letters: set[str] = set()
    system = ctx.system
    modules = list(system.modules.modules)
    unloaded = list(system.modules.unloaded)
    while True:
        cursor.skip_blanks()
        cluster = cursor.match(_CLUSTER.pattern)
        letters |= set(re.findall(r"1m|sm|.", cluster.group())) if cluster else set()
        if cursor.take("a"):
            address = ctx.expression(cursor)
            modules = [m for m in modules if m.base <= address < m.end]
            unloaded = [u for u in unloaded if u.base <= address < u.end]
        elif cursor.peek() in ("m", "M"):
            by_path = cursor.peek() == "M"
            cursor.position += 1
            pattern = cursor.string_or_word()
            if not pattern:
                raise cursor.error("Non-empty string required")
            modules, unloaded = _matching(modules, unloaded, pattern, by_path)
        elif cursor.at_end:
            break
        elif cluster is None or not cluster.group():
            cursor.position += 1
            raise cursor.error("Syntax error")
    if "l" in letters:
        modules = [m for m in modules if m.state is not SymbolState.DEFERRED]
    if "e" in letters:
        modules = [m for m in modules if m.state is SymbolState.NONE or m.flag.strip()]
    if "sm" in letters:
        modules.sort(key=lambda m: m.name.lower())
    return letters, modules, unloaded


def _matching(
    modules: Sequence[Module],
    unloaded: Sequence[UnloadedModuleInfo],
    pattern: str,
    by_path: bool,
) -> tuple[list[Module], list[UnloadedModuleInfo]]:
    regex = compile_wildcard(pattern)

    def fits(module: Module) -> bool:
        if by_path:
            return regex.fullmatch(module.info.image_path) is not None
        return any(regex.fullmatch(n) for n in (module.name, module.info.file_name))

    def fits_unloaded(gone: UnloadedModuleInfo) -> bool:
        stem = gone.name.rsplit(".", 1)[0]
        return any(regex.fullmatch(n) for n in (gone.name, stem))

    return [m for m in modules if fits(m)], [u for u in unloaded if fits_unloaded(u)]


def symbol_file(module: Module) -> str:
    if module.state is not SymbolState.LOADED or module.symbols is None:
        return ""
    return sanitise_line(module.symbols.path)


def _module_row(module: Module, shown: str) -> ModuleRow:
    return ModuleRow(
        name=module.name,
        start=module.base,
        end=module.end,
        status=module.status,
        flag=module.flag.strip(),
        symbol_file=symbol_file(module),
        image=sanitise_line(module.info.image_path),
        timestamp=module.info.timestamp,
        checksum=module.info.checksum,
        is_unverified=module.is_unverified,
        shown=shown,
    )


def _row(system: System, module: Module, letters: set[str]) -> str:
    size = system.pointer_size
    head = f"{address_text(module.base, size)} {address_text(module.end, size)}   "
    name = f"{module.name:8}"
    image = sanitise_line(module.info.file_name)
    if "f" in letters:
        return f"{head}{name} {sanitise_line(module.info.image_path)}"
    if "t" in letters or "n" in letters:
        shown = f"{image:12} " if "n" in letters else ""
        stamp = stamp_words(system, module) if "t" in letters else ""
        return f"{head}{name} {shown or ' '}{stamp}".rstrip()
    if "p" in letters:
        return f"{head}{name} <none>      "
    if "i" in letters:
        return f"{head}{name} {image}"
    if "c" in letters:
        words = f"{module.info.checksum:08x}" if module.info.is_pe else "unavailable"
        return f"{head}{name} {words}"
    unverified = " (unverified)" if module.is_unverified else ""
    status = f"({module.status}){unverified}  "
    return f"{head}{name} {module.flag} {status:23}{symbol_file(module)}"


def identity_fields(info: ModuleInfo) -> list[tuple[str, str]]:
    """Return what ties an ELF or Mach-O module to its files: the build id or the UUID as the image
    has it, and the id that Breakpad makes of it and names folders of symbol stores by."""
    if info.is_pe:
        return []
    fields = [("Build ID", info.build_id.hex())] if info.build_id else []
    if info.image_format == "macho" and info.debug_id is not None:
        fields.append(("UUID", info.debug_id.braced.strip("{}")))
    return fields + ([("Debug ID", info.debug_id.key)] if info.debug_id is not None else [])


def stamp_words(system: System, module: Module) -> str:
    """Return date and hex of a module's timestamp; a reproducible build's hash is never a date. Of
    ELF modules the build id, which stands for it."""
    stamp = module.info.timestamp
    if not module.info.is_pe and module.info.build_id:
        return f"build id {module.info.build_id.hex()}"
    if stamp == 0:
        return "unavailable (00000000)"
    if is_reproducible(system.modules.pe_image(module)):
        return f"{stamp:08X} (This is a reproducible build file hash, not a timestamp)"
    if stamp >= 1 << 31:
        return f"***** Invalid ({stamp:08X})"
    return f"{stamp_text(stamp)} ({stamp:08X})"


def is_reproducible(image: PeImage | None) -> bool:
    """Return whether the image's timestamp is a hash; unknown and damaged images count as not."""
    try:
        return image is not None and image.is_reproducible
    except DebuggerError:
        return False


def _details(system: System, module: Module, browse: bool) -> ModuleDetails:
    info = module.info
    image = system.modules.file_image(module)
    fields: list[tuple[str, str]] = []
    if module.state is not SymbolState.DEFERRED:
        fields.append(("Loaded symbol image file:", sanitise_line(info.file_name)))
    loaded = _loaded_image(system, module)
    # A file stands in only for what the dump does not hold.
    if loaded is None and image is not None and module.image_file is not None:
        fields.append(("Mapped memory image file:", sanitise_line(str(module.image_file))))
    fields.append(("Image path:", sanitise_line(info.image_path)))
    fields.append(("Image name:", sanitise_line(info.file_name)))
    wide = [("ImageSize:", f"{info.size:08X}")]
    if info.is_pe:
        stamp = ("Timestamp:", stamp_words(system, module))
        wide = [stamp, ("CheckSum:", f"{info.checksum:08X}"), *wide]
    wide += [(f"{label}:", value) for label, value in identity_fields(info)]
    if (elf_image := system.modules.elf_image(module)) is not None:
        from polydbg.commands.elf_headers import debug_file_words, module_fields

        wide += [(f"{label}:", value) for label, value in module_fields(elf_image)]
        if debug_file := debug_file_words(module):
            wide.append(("Debug file:", debug_file))
    if info.version is not None and any(info.version.file_version):
        # What follows the first row speaks of Windows' resources alone.
        wide += _version_fields(info.version)[: None if info.is_pe else 1]
    wide += _version_strings(loaded)
    lines = [f"    {label} {value}" for label, value in fields]
    if browse:
        lines.append("    Browse all global symbols  functions  data")
    lines += [f"    {label:17} {value}" for label, value in wide]
    return ModuleDetails(name=module.name, fields=tuple(fields + wide), shown="\n".join(lines))


def _loaded_image(system: System, module: Module) -> PeImage | None:
    """Return the image in the dump's own memory, ``None`` if its headers are not there."""
    try:
        return PeImage.from_memory(system.target.memory, module.base)
    except DebuggerError:
        return None


def _version_strings(image: PeImage | None) -> list[tuple[str, str]]:
    """Return the string table of the version resource, as far as the dump holds it.

    Without one the engine prints the languages that it asked for as ``Translations``, which are
    none of the module's: nothing is printed here.
    """
    try:
        version = image.version() if image is not None else None
    except DebuggerError:
        version = None
    if version is None or not version.tables:
        return []
    shown = " ".join(f"{language:04x}.{page:04x}" for language, page in version.translations)
    fields = [("Translations:", shown)]
    for name in _VERSION_STRINGS:
        if (text := version.string(name)) is not None:
            fields.append((f"{name}:", sanitise_line(text)))
    return fields


def _version_fields(version: VersionRecord) -> list[tuple[str, str]]:
    def dotted(parts: Sequence[int]) -> str:
        return ".".join(str(p) for p in parts)

    flags = "".join(f" {name}" for bit, name in _FLAG_NAMES.items() if version.flags & bit)
    os_name = _OS_NAMES.get(version.os, "Unknown")
    type_name = _TYPE_NAMES.get(version.file_type, "Unknown")
    return [
        ("File version:", dotted(version.file_version)),
        ("Product version:", dotted(version.product_version)),
        ("File flags:", f"{version.flags:X} (Mask {version.flags_mask:X}){flags}"),
        ("File OS:", f"{version.os:X} {os_name}"),
        ("File type:", f"{version.file_type:X}.{version.subtype:X} {type_name}"),
        ("File date:", f"{version.date >> 32:08X}.{version.date & 0xFFFFFFFF:08X}"),
    ]


def _unloaded_row(gone: UnloadedModuleInfo, size: int, letters: set[str]) -> UnloadedRow:
    name = sanitise_line(gone.name)
    lines = [f"{address_text(gone.base, size)} {address_text(gone.end, size)}   {name}"]
    if "v" in letters:
        stamp = f"{stamp_text(gone.timestamp)} ({gone.timestamp:08X})"
        if gone.timestamp == 0 or gone.timestamp >= 1 << 31:
            stamp = f"unavailable ({gone.timestamp:08X})"
        lines += [
            f"    Timestamp: {stamp}",
            f"    Checksum:  {gone.checksum:08X}",
            f"    ImageSize:  {gone.size:08X}",
        ]
    return UnloadedRow(
        name=name,
        start=gone.base,
        end=gone.end,
        timestamp=gone.timestamp,
        checksum=gone.checksum,
        shown="\n".join(lines),
    )
