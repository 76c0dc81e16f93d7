"""What ``!dh``, ``!lmi`` and ``lmv`` show of ELF modules: headers, ids, where symbols come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands import elf_headers_text as text
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.formats.elf import constants as elf
from polydbg.images.elf import ElfImage

_MAX_SEGMENTS = 16
_PACKAGE_FIELDS = ("name", "version", "architecture", "type", "osCpe")


def elf_image_at(system: System, base: int) -> ElfImage | None:
    """Return the ELF image at *base*: the module's, whose file has the sections, else what memory
    has; ``None`` where neither is an ELF image."""
    module = system.modules.at(base)
    if module is not None and module.base == base:
        image = system.modules.elf_image(module)
        if image is not None:
            return image
    try:
        return ElfImage.from_memory(system.memory, base)
    except DebuggerError:
        return None


def header_blocks(image: ElfImage, letters: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the parts of ``!dh`` that *letters* ask for: kind (``headers``, ``section``,
    ``dynamic``, ``notes``), name, lines."""
    everything = "a" in letters or not set(letters) & {"f", "s"}
    if everything or "f" in letters:
        yield "headers", "", ["", *text.header_lines(image), ""]
    if everything or "s" in letters:
        yield from _sections(image)
    if everything:
        for part, lines in (
            ("dynamic", list(text.dynamic_lines(image))),
            ("notes", list(text.note_lines(image))),
        ):
            if lines:
                yield part, "", ["", *lines]


def _sections(image: ElfImage) -> Iterator[tuple[str, str, list[str]]]:
    try:
        sections = image.section_headers
    except DebuggerError as error:
        yield "section", "", ["", f"Sections: {error.message}"]
        return
    if not sections:
        yield "section", "", ["", "Sections: their headers are not loaded, only files have them"]
    for section in sections[1:]:
        yield "section", sanitise_line(section.name), ["", *text.section_lines(section)]


def module_fields(image: ElfImage) -> list[tuple[str, str]]:
    """Return what an image says of itself beside its build id, for ``lmv`` and ``!lmi``; damaged
    parts are left out."""
    fields = [("File type", text.file_type(image).lower())]
    for label, read in _FIELDS:
        try:
            found = read(image)
        except DebuggerError:
            continue
        if found:
            fields.append((label, sanitise_line(found)))
    return fields


def _debug_link(image: ElfImage) -> str | None:
    link = image.debug_link()
    return None if link is None else f"{link.name} (CRC {link.crc:08x})"


def _alt_link(image: ElfImage) -> str | None:
    link = image.alt_link()
    return None if link is None else f"{link.path} (build id {link.build_id})"


def _package(image: ElfImage) -> str | None:
    package = image.package
    if not package:
        return None
    known = [package[name] for name in _PACKAGE_FIELDS if package.get(name)]
    others = [f"{name}={value}" for name, value in package.items() if name not in _PACKAGE_FIELDS]
    return " ".join(known + others)


def _segments(image: ElfImage) -> str:
    """Return the loaded parts: permissions, RVA and size of each."""
    loaded = [each for each in image.segments if each.type == elf.PT_LOAD]
    shown = [
        f"{_letters(each.flags)} {each.vaddr - image.image_base:x}+{each.memory_size:x}"
        for each in loaded[:_MAX_SEGMENTS]
    ]
    return ", ".join(shown) + (", ..." if len(loaded) > _MAX_SEGMENTS else "")


def _letters(flags: int) -> str:
    bits = ((elf.PF_R, "r"), (elf.PF_W, "w"), (elf.PF_X, "x"))
    return "".join(letter if flags & bit else "-" for bit, letter in bits)


_FIELDS: tuple[tuple[str, Callable[[ElfImage], str | None]], ...] = (
    ("Soname", lambda image: image.soname),
    ("Interpreter", lambda image: image.interp),
    ("ABI", lambda image: image.abi),
    ("Debug link", _debug_link),
    ("Supplement", _alt_link),
    ("Package", _package),
    ("Segments", _segments),
)


def debug_sections(image: ElfImage) -> list[str]:
    """Return the rows of ``!lmi`` for sections with debug information: name, size, file offset."""
    try:
        sections = image.section_headers
    except DebuggerError:
        return []
    names = (".debug_", ".zdebug_", ".symtab", ".gnu_debug", ".eh_frame", ".gdb_index")
    return [
        f"{sanitise_line(each.name):>21} {each.size:8x} {each.offset:8x}"
        for each in sections
        if each.name.startswith(names)
    ]


def debug_file_words(module: Module) -> str:
    """Return the separate debug file that was loaded, ``""`` without one."""
    file = module.debug_file
    return sanitise_line(file.path or file.name) if file is not None else ""
