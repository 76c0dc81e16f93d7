"""The fuzz targets of what Unix systems write: ELF and Mach-O files, their cores, DWARF."""

from __future__ import annotations

import lzma
import zlib

from probing import PROBES, ask_table, attempt, members

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.images.elf import ElfImage
from polydbg.images.macho import MachoImage
from polydbg.memory.space import BufferSpace
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import macho_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.macho import MachoSource
from polydbg.targets.dump_file import DumpFile
from polydbg.targets.elf_core import ElfCoreTarget, open_elf_core
from polydbg.targets.macho_core import open_macho_core
from polydbg.testing import elf_builder, macho_builder
from polydbg.testing.core_builder import ElfCoreBuilder, MachCoreBuilder, mach_image
from polydbg.testing.dwarf_builder import DwarfBuilder
from polydbg.testing.dwarf_sample import sample, split_sample
from polydbg.testing.elf_builder import ElfBuilder
from polydbg.testing.macho_builder import MachoBuilder

# Cores


def read_core(data: bytes) -> None:
    """Read an ELF core, or else a Mach-O core."""
    file = DumpFile("core", data)
    try:
        target = open_macho_core(file) if data[:1] == b"\xcf" else open_elf_core(file)
    except DebuggerError:
        return
    for thread in target.threads()[:50]:
        target.registers(thread)
    attempt(target.event, target.modules, target.regions, target.warnings)
    assert target.kind_line
    if isinstance(target, ElfCoreTarget):
        assert target.process_files.command_line is not None
        assert target.process_files.auxiliary_vector is not None


def core_seeds() -> list[bytes]:
    seeds = []
    for is_64, is_big, machine in ((True, False, 62), (False, False, 3), (True, True, 22)):
        core = ElfCoreBuilder(is_64, is_big, machine).thread(7, 11, *range(27))
        core.signal_info(11, 1, 0x1000, 0).auxiliary(at3=0x1040, at4=56, at5=3, at33=0x1000)
        core.files((0x1000, 0x3000, 0, "/bin/a"), (0x5000, 0x6000, 1, "/lib/b.so"))
        core.note("LINUX", 0x202, bytes(1024)).note("LINUX", 0x205, bytes(64))
        program = _elf_seed(is_64, is_big, machine)
        seeds.append(core.memory(0x1000, program).memory(0x9000, bytes(64), 0x1000).build())
    bsd = ElfCoreBuilder().note("NetBSD-CORE", 1, bytes(160)).note("NetBSD-CORE@1", 33, bytes(208))
    free = ElfCoreBuilder(os_abi=9).note("FreeBSD", 1, bytes(224)).note("FreeBSD", 17, bytes(164))
    free.note("FreeBSD", 10, bytes((0x88, 4, 0, 0)) + bytes((160, 0, 0, 0)) + bytes(156))
    mach = MachCoreBuilder(threads=[[(4, bytes(168)), (6, bytes(16))]])
    mach.segments.append((0x1000, mach_image("/a", bytes(range(16)))))
    mach.notes.append(("process metadata", b'{"threads":[{"thread_id":1}]}'))
    return [*seeds, bsd.build(), free.build(), mach.build()]


# ELF


def read_elf(data: bytes) -> None:
    attempt(lambda: _read_elf_image(ElfImage.from_buffer(data, "x")))
    attempt(lambda: _read_elf_image(ElfImage.from_memory(BufferSpace(data, 0x1000), 0x1000)))


def _read_elf_image(image: ElfImage) -> None:
    attempt(*members(image), *members(image.dynamic), image.debug_link, image.alt_link)
    for name in ("soname", "interp", "is_static", "is_pie", "eh_frame_hdr", "eh_frame"):
        attempt(lambda name=name: getattr(image, name))
    for section in image.section_headers[:20]:
        attempt(lambda section=section: image.section_data(section))
    for probe in PROBES:
        attempt(
            lambda probe=probe: image.is_code(probe),
            lambda probe=probe: image.space.read_some(probe, 64),
        )
    ask_table(ElfSource(image), ("*", "*main*", "f@V1"))


def read_macho(data: bytes) -> None:
    attempt(lambda: _read_macho_image(MachoImage.from_buffer(data, "x")))
    attempt(lambda: _read_macho_image(MachoImage.from_memory(BufferSpace(data, 0x1000), 0x1000)))


def _read_macho_image(image: MachoImage) -> None:
    attempt(*members(image), image.sections, image.constant_parts)
    symbols = MachoSource(image)
    for probe in (*PROBES, 0x400, 0x410, 0x440):
        attempt(
            lambda probe=probe: symbols.symbol_at(probe),
            lambda probe=probe: symbols.neighbours(probe),
            lambda probe=probe: image.permissions_at(probe),
            lambda probe=probe: image.space.read_some(probe, 64),
        )
    for pattern in ("*", "*main*"):
        attempt(lambda pattern=pattern: list(symbols.symbols_matching(pattern, CancelToken())))
        attempt(lambda pattern=pattern: symbols.symbol_named(pattern))
    attempt(lambda: image.symbols is not None and image.symbols.object_files(10))
    dwarf = macho_dwarf(image, table=symbols)
    if dwarf is not None:
        attempt(lambda: dwarf.symbol_at(0x1014), lambda: dwarf.line_at(0x1014))
        attempt(lambda: dwarf.inlines_at(0x1014))


def macho_seeds() -> list[bytes]:
    seeds = []
    for cpu, is_64 in ((macho_builder.AMD64, True), (macho_builder.ARM, False)):
        made = MachoBuilder(cpu=cpu, is_64=is_64, base=0x4000, starts=[0x400, 0x420], entry=0x400)
        made.section("__text", b"\x90" * 0x40, flags=macho_builder.CODE)
        made.section("__stubs", bytes(12), flags=macho_builder.STUBS, first=1, stub_size=6)
        made.section("__data", bytes(8), segment="__DATA").indirect(0, 1, 0x80000000)
        made.symbol("_main", 0x400).symbol("_puts", 0, 1, 0).symbol("__ZN1a1bEv", 0x410, 0x0E)
        made.symbol("/a.o", 0, 0x66)
        seeds.append(made.build())
    debug = MachoBuilder(type=macho_builder.DSYM, base=0)
    debug.section("__text", bytes(0x4000), flags=macho_builder.CODE)
    for name, data in sample(5).sections.items():
        debug.section("__" + name[1:], bytes(data), segment="__DWARF")
    whole = macho_builder.universal((macho_builder.AMD64, seeds[0]), (macho_builder.ARM, seeds[1]))
    return [*seeds, debug.build(), whole]


def elf_seeds() -> list[bytes]:
    return [
        _elf_seed(*layout) for layout in ((True, False, 62), (True, True, 22), (False, False, 40))
    ]


def _elf_seed(is_64: bool, is_big: bool, machine: int) -> bytes:
    """A library with everything in it that is read: symbols, versions, notes, a PLT, side files."""
    made = ElfBuilder(is_64, is_big, machine=machine, entry=0x2000)
    rows = [("main", 0x2000, 8, 2, 1, 1), ("f", 0x2008, 8, 2, 2, 1), ("puts", 0, 0, 2, 1, 0)]
    table, strings = made.symbols(rows)
    versions = made.number(2, 1, 0, 2, 1) + made.number(4, 0, 20, 0, 1, 0)
    plt = b"\xff\x25" + (0x4000 - 0x2106).to_bytes(4, "little") + b"\x68\0\0\0\0\xe9\0\0\0\0"
    plt += made.number(4, 0xE28FC600, 0xE28CCA01, 0xE5BCFEE8)
    made.section(".text", b"\xc3" * 0x40, flags=elf_builder.EXEC, address=0x2000)
    made.section(".plt", plt, flags=elf_builder.EXEC, address=0x2100)
    made.section(".dynsym", table, type=elf_builder.DYNSYM, address=0x1800, link=4)
    made.section(".dynstr", strings, type=elf_builder.STRTAB, address=0x1900)
    made.section(".hash", made.number(4, 1, 4) + bytes(20), address=0x1A00)
    made.section(".gnu.version", made.number(2, 0, 1, 2, 2), address=0x1A80)
    made.section(".gnu.version_d", versions, address=0x1AC0)
    slots = made.word(0x4000, 3 << (32 if is_64 else 8) | 7) + made.word(0)
    made.section(".rela.plt", slots, type=4, address=0x1B00)
    made.section(".note", made.note("GNU", 3, bytes(20)), type=elf_builder.NOTE, address=0x1C00)
    tags = (4, 0x1A00, 5, 0x1900, 6, 0x1800, 10, len(strings), 14, 1, 1, 1, 0x6FFFFFF0, 0x1A80)
    tags += (0x6FFFFFFC, 0x1AC0, 0x6FFFFFFD, 1, 0, 0)
    made.section(".dynamic", made.word(*tags), type=elf_builder.DYNAMIC, address=0x3000)
    made.section(".eh_frame_hdr", b"\1\x1b\3\x3b" + bytes(8), address=0x3800)
    made.section(".gnu_debuglink", b"x.debug\0" + bytes(4))
    made.section(".gnu_debugaltlink", b"x\0" + bytes(20))
    inner = ElfBuilder(is_64, is_big).symbol("inside", 0x2000).build()
    made.section(".gnu_debugdata", lzma.compress(inner))
    made.section(".zdebug_info", b"ZLIB" + (4).to_bytes(8, "big") + zlib.compress(b"info"))
    head = made.number(4, 1) + (bytes(4) if is_64 else b"") + made.word(4, 1)
    made.section(".debug_line", head + zlib.compress(b"line"), flags=elf_builder.COMPRESSED)
    made.segment(2, ".dynamic").segment(4, ".note").segment(0x6474E550, ".eh_frame_hdr")
    made.symbol("main", 0x2000, 8).symbol("$d", 0x2008, type=0, binding=0)
    made.symbol("_ZN1a1bEv.cold", 0x2010, 8, binding=0)
    return made.build()


# DWARF


def read_dwarf(data: bytes) -> None:
    """Read the debug sections of an ELF file, its split units from the same file."""
    try:
        sections = ElfImage.from_buffer(data, "x").debug_sections()
        file = DwarfFile(sections, supplementary=DwarfFile(sections))
    except DebuggerError:
        return
    split = DwarfFile(sections, suffix=".dwo")
    source = DwarfSource(file, "x", base=0x400, opener=lambda wanted: split)
    for rva in (0, 0xC00, 0xC15, 0xC40, 0x2C00):
        attempt(
            lambda rva=rva: source.symbols_at(rva),  # type: ignore[misc]
            lambda rva=rva: source.neighbours(rva),  # type: ignore[misc]
            lambda rva=rva: source.line_at(rva),  # type: ignore[misc]
            lambda rva=rva: source.inlines_at(rva),  # type: ignore[misc]
        )
    attempt(lambda: _read_dwarf_names(source), lambda: source.symbol_named("ns::run"))
    attempt(lambda: source.rvas_of_line("a.cc", 13, CancelToken()))


def _read_dwarf_names(source: DwarfSource) -> None:
    for symbol in source.symbols_matching("*", CancelToken()):
        attempt(lambda symbol=symbol: source.signature_of(symbol))  # type: ignore[misc]


def dwarf_seeds() -> list[bytes]:
    return [
        _dwarf_seed(sample(2)),
        _dwarf_seed(sample(4, big=True, address_size=4)),
        _dwarf_seed(sample(5, aranges=False)),
        _dwarf_seed(split_sample()),
    ]


def _dwarf_seed(made: DwarfBuilder) -> bytes:
    elf = ElfBuilder(made.address_size == 8, made.big, 62 if made.address_size == 8 else 8)
    for name, data in made.sections.items():
        elf.section(name, bytes(data))
    return elf.build()
