"""One fuzz target per reader: a function of bytes that reads everything, and the seeds it starts
from. Only errors of ours may come out, within seconds and without eating memory.

Seeds are synthetic (our builders) or the practice files that polydbg brings along; more of them may
be given to ``run.py`` as a folder, which is read and never copied.
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import resources
from typing import NamedTuple

import frame_readers
import root_readers

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.formats.archives.archive import Budget
from polydbg.formats.archives.opening import open_archive
from polydbg.formats.breakpad.file import BreakpadFile
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.minidump.contexts import guess_architecture, parse_context
from polydbg.formats.pdb.compiler import compiler_of
from polydbg.formats.pdb.frame_data import frame_data_of_module
from polydbg.formats.pdb.inlines import sites_of
from polydbg.formats.pdb.lines import ModuleLines
from polydbg.formats.pdb.module import ModuleSymbols
from polydbg.formats.pe import arm_unwind, pdata
from polydbg.formats.pe.header import DataDirectory
from polydbg.formats.userdump import UserDump
from polydbg.images.elf import ElfImage
from polydbg.images.macho import MachoImage
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.symbols.coff import coff_source
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import macho_dwarf, pe_dwarf
from polydbg.symbols.elf import ElfSource
from polydbg.symbols.macho import MachoSource
from polydbg.symbols.pdb import PdbSource
from polydbg.symbols.source import SymbolSource
from polydbg.targets.dump_file import DumpFile
from polydbg.targets.elf_core import ElfCoreTarget, open_elf_core
from polydbg.targets.macho_core import open_macho_core
from polydbg.targets.minidump import MinidumpTarget
from polydbg.testing import elf_builder, macho_builder
from polydbg.testing.cabinet_builder import cabinet
from polydbg.testing.core_builder import ElfCoreBuilder, MachCoreBuilder, mach_image
from polydbg.testing.dwarf_builder import DwarfBuilder
from polydbg.testing.dwarf_sample import sample, split_sample
from polydbg.testing.elf_builder import ElfBuilder
from polydbg.testing.macho_builder import MachoBuilder
from polydbg.testing.minidump_builder import (
    MinidumpBuilder,
    amd64_context,
    arm64_context,
    arm_context,
    rsds,
    u32,
    x86_context,
)
from polydbg.testing.pe_builder import PeBuilder
from polydbg.testing.userdump_builder import UserDumpBuilder
from polydbg.unwind.postfix import Value, evaluate, run_program

GUID = "0123456789ABCDEF0123456789ABCDEF"
MEMORY = BufferSpace(bytes(range(256)) * 16, 0x1000)
ARCHITECTURES = ("amd64", "x86", "arm64", "arm")
PROBES = (0, 1, 0x1000, 0x1010, 0x1234, 0x2000, 0x4000, 0xFFFFFFFF)


class Target(NamedTuple):
    """*read* raises nothing but what :func:`attempt` allows."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def attempt(*actions: Callable[[], object]) -> None:
    """Do each; errors of ours are answers."""
    for action in actions:
        try:
            action()
        except DebuggerError:
            continue


def practice(name: str) -> bytes:
    return (resources.files("polydbg") / "demo" / name).read_bytes()


def members(thing: object) -> list[Callable[[], object]]:
    """Return readers of every lazy part of *thing*."""
    names = [n for n, m in vars(type(thing)).items() if isinstance(m, cached_property)]
    return [lambda name=name: getattr(thing, name) for name in names]  # type: ignore[misc]


# Dumps


def read_minidump(data: bytes) -> None:
    try:
        target = MinidumpTarget(data)
    except DebuggerError:
        return
    attempt(*members(target.dump), target.event, target.exception_registers, target.system)
    attempt(target.modules, target.unloaded_modules, target.regions, target.handles)
    for thread in target.threads()[:50]:
        attempt(lambda thread=thread: target.registers(thread))
    for handle in target.dump.handles[:50]:
        attempt(lambda handle=handle: target.dump.object_information(handle))
    for module in target.dump.modules[:50]:
        attempt(lambda module=module: target.dump.misc_record(module))
    memory = target.memory
    memory.read_some(memory.next_readable(0) or 0, 4096)
    for extent in memory.ranges():
        assert extent.file_offset + extent.size <= len(data)


def minidump_seeds() -> list[bytes]:
    rich = (
        MinidumpBuilder()
        .system(service_pack="SP")
        .misc(process_id=1, create_time=2, build_string="b", time_zone=(1, 60, 0, 0))
    )
    rich.thread(1, amd64_context(rip=0x1000), teb=0x3000, stack=(0x2000, bytes(64)))
    rich.thread_name(1, "n").thread_info(1, start=0x1000).region(0x1000, 0x1000)
    rich.module(0x1000, 0x1000, "a.exe", codeview=rsds(GUID, 1, "a.pdb"), version=(1, 2, 3, 4))
    rich.unloaded(0x9000, 0x1000, "u.dll").handle(4, "Event", "x").memory(0x1000, bytes(64))
    rich.exception(1, 0xC0000005, 0x1000, (0, 1), context=amd64_context(rip=0x1000))
    linux = MinidumpBuilder(arch="x86").system(platform=0x8201)
    linux.thread(1, x86_context(eip=0x1000))
    linux.stream(0x47670009, b"1000-2000 r-xp 00000000 00:00 0 /bin/a\n")
    linux.stream(0x47670004, b"Name:\ta\nPid:\t1\n").stream(0x47670007, b"A=1\0B=2\0")
    linux.stream(0x43500001, u32(1) + bytes(60)).stream(0x4767000A, bytes(0x38))
    full = MinidumpBuilder(flags=2, padded_counts=True).system().memory64(0x1000, bytes(64))
    rest = MinidumpBuilder(arch="arm64").system().thread(1, arm64_context(pc=0x1000))
    rest.stream(22, bytes(0x98)).stream(21, bytes(0x20C)).stream(13, u32(24, 32, 8, 12, 1, 0))
    return [builder.build() for builder in (rich, linux, full, rest)]


def read_context(data: bytes) -> None:
    guess_architecture(data)
    for arch in ARCHITECTURES:
        attempt(lambda arch=arch: parse_context(data, arch))


def context_seeds() -> list[bytes]:
    return [amd64_context(rip=1), x86_context(eip=1), arm64_context(pc=1), arm_context(pc=1)]


def read_userdump(data: bytes) -> None:
    try:
        dump = UserDump(data)
    except DebuggerError:
        return
    attempt(*members(dump))
    for thread in dump.threads[:50]:
        attempt(lambda thread=thread: dump.registers(thread, dump.arch))


def userdump_seeds() -> list[bytes]:
    seeds = []
    for arch, context in (("amd64", amd64_context(rip=1)), ("x86", x86_context(eip=1))):
        builder = UserDumpBuilder(arch=arch, threads=[(1, 2, context)], event=(1, 1, 3, 4))
        builder.modules, builder.memory = [(0x1000, 0x100, "a.exe")], [(0x1000, bytes(64))]
        seeds.append(builder.build())
    return seeds


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


# Images


def read_pe(data: bytes) -> None:
    try:
        image = PeImage.from_buffer(data, "x")
    except DebuggerError:
        return
    attempt(image.debug_entries, image.codeview, image.export_table, image.export_addresses)
    attempt(image.exports, image.version, image.sections, lambda: image.debug_id)
    for rva in (*PROBES, image.entry_point):
        attempt(lambda rva=rva: image.read_as_loaded(rva, 64, 0x10000))
        attempt(lambda rva=rva: _unwind(image, rva))


def _unwind(image: PeImage, rva: int) -> None:
    function = image.function_at(rva)
    if function is not None:
        image.unwind_chain(function)


def pe_seeds() -> list[bytes]:
    return [PeBuilder().build(), practice("practice.exe")]


def read_coff(data: bytes) -> None:
    try:
        image = PeImage.from_buffer(data, "x")
        source = coff_source(image)
    except DebuggerError:
        return
    attempt(image.debug_link, image.sections, lambda: pe_dwarf(image, table=source))
    if source is not None:
        _ask_table(source, ("*", "*total*", "_main@4"))


def coff_seeds() -> list[bytes]:
    made = [PeBuilder("x86", image_base=0x400000), PeBuilder()]
    for each in made:
        each.symbol(".text", 0, kind=0, storage_class=3, auxiliaries=bytes(18))
        each.symbol("_main@4", 0x10)
        each.symbol("_ZN4shop5totalEi.cold", 0x80, storage_class=3)
        each.symbol("shared_total", 8, 2, kind=0)
        each.sections += [(".gnu_debuglink", b"x.debug" + bytes(5)), (".debug_info", bytes(9))]
    return [each.build() for each in made]


def read_pdata(data: bytes) -> None:
    """The bytes are an image whose first 48 are its table."""
    space, table = BufferSpace(data), DataDirectory(0, 48)
    for rva in PROBES:
        try:
            function = pdata.find_function(space, table, rva)
            if function is not None:
                pdata.chain_of(space, function)
                pdata.primary_of(space, function)
        except DebuggerError:
            continue


def pdata_seeds() -> list[bytes]:
    rows = u32(0, 0x1100, 48, 0x1100, 0x1200, 61, 0x1200, 0x3000, 48, 0x4000, 0x5000, 70)
    return [
        rows + bytes([1, 8, 3, 0, 8, 0x32, 4, 0x30, 2, 0x50, 0, 0]) + bytes([0x21, 0, 0, 0]) + rows,
        rows + bytes([2, 8, 4, 5, 0x10, 6, 0x20, 6, 8, 0x52, 4, 0x30]) + bytes(32),
    ]


def read_arm(data: bytes) -> None:
    """The bytes are an image whose first 32 are its table."""
    space, table = BufferSpace(data), DataDirectory(0, 32)
    for machine in ("arm64", "arm"):
        for rva in PROBES:
            attempt(lambda machine=machine, rva=rva: _arm(space, table, machine, rva))
        for at in range(0, min(len(data) - 3, 64), 4):
            word = int.from_bytes(data[at : at + 4], "little")
            attempt(lambda m=machine, w=word: arm_unwind.read_info(space, m, 0x1000, w).codes())


def _arm(space: BufferSpace, table: DataDirectory, machine: str, rva: int) -> None:
    info = arm_unwind.find_info(space, table, machine, rva)
    if info is not None:
        info.codes()
        for epilog in info.epilogs:
            info.codes(epilog.index)


def arm_seeds() -> list[bytes]:
    rows = u32(0x1000, 0x00E00109, 0x1010, 32, 0x1234, 48, 0x4000, 0x0011_2235)
    records = u32(0x10400010, 0xE3E4C884, 0xE3E3E3E3, 0, 0x08800010, 0x00C00004, 0xFFEFB0D4, 0xE4)
    return [rows + records, rows + records[::-1]]


# Symbols


def read_pdb(data: bytes) -> None:
    try:
        source = PdbSource(data, "x.pdb")
    except DebuggerError:
        return
    cancel = CancelToken()
    for rva in PROBES:
        attempt(lambda rva=rva: _symbol(source, rva), lambda rva=rva: source.neighbours(rva))
        attempt(lambda rva=rva: source.line_at(rva), lambda rva=rva: source.inlines_at(rva))
        attempt(lambda rva=rva: source.symbols_at(rva), lambda rva=rva: source.win_frame_at(rva))
    attempt(
        lambda: list(source.symbols_matching("*a*", cancel)),
        lambda: list(source.inlined_matching("*a*", cancel)),
        lambda: source.symbol_named("main"),
        lambda: source.rvas_of_line("orders.c", 20, CancelToken()),
    )


def _symbol(source: PdbSource, rva: int) -> None:
    symbol = source.symbol_at(rva)
    if symbol is not None:
        source.signature_of(symbol)
        source.data_type_name(symbol)


def pdb_seeds() -> list[bytes]:
    return [practice("practice.pdb")]


def read_pdb_module(data: bytes) -> None:
    """The streams of one object file: symbols, lines, inlined calls."""
    attempt(lambda: _module_symbols(data), lambda: _module_lines(data))
    attempt(lambda: sites_of(data, 0x100), lambda: compiler_of(data))
    attempt(lambda: [table.at(0x1000) for table in frame_data_of_module(data)])


def _module_symbols(data: bytes) -> None:
    symbols = ModuleSymbols(data)
    for position in range(0, min(len(data), 256), 4):
        attempt(lambda p=position: symbols.symbol(p), lambda p=position: symbols.function_around(p))
    for key in (0, 0x1_0000_0010, 0x1_0000_1000):
        for ask in (symbols.code_at, symbols.below, symbols.above, symbols.separated_at):
            attempt(lambda ask=ask, key=key: ask(key))


def _module_lines(data: bytes) -> None:
    lines = ModuleLines(data)
    attempt(lambda: list(lines.files()), lambda: lines.inlinee(0x1000))
    attempt(lambda: lines.keys_of_line(frozenset((0, 0x18)), 10))
    for key in (0, 0x1_0000_0010, 0x1_0000_1000):
        attempt(lambda key=key: lines.row_at(key))


def pdb_module_seeds() -> list[bytes]:
    file = PdbSource(practice("practice.pdb"), "x").file
    seeds = []
    for index in range(8):
        module = file.module(index)
        if module is not None and module.stream.size:
            size = min(module.info.symbol_size, module.stream.size)
            seeds += [module.stream.read(0, size)[:4096], module.c13()[:4096]]
    return [seed for seed in seeds if seed]


def read_breakpad(data: bytes) -> None:
    try:
        file = BreakpadFile(data)
    except DebuggerError:
        return
    attempt(*members(file), lambda: file.warnings, lambda: file.functions, lambda: file.publics)
    attempt(lambda: file.file_name(0), lambda: file.origin(0), lambda: file.has_linker_names)
    for address in PROBES:
        attempt(lambda a=address: _body(file, a), lambda a=address: file.call_frame_rules(a))
        attempt(lambda a=address: file.win_frame(a))


def _body(file: BreakpadFile, address: int) -> None:
    offset = file.functions.containing(address)
    if offset is not None:
        file.name_at(offset)
        file.body(offset)


def breakpad_seeds() -> list[bytes]:
    head = b"MODULE Linux x86_64 5A5F32914295A4FA22B591670A49FBEF0 a.so\nINFO CODE_ID 00AA\n"
    return [
        head + b"FILE 0 /a.c\nFILE 1 /b.c\nINLINE_ORIGIN 0 f\nFUNC m 1000 100 8 main\n"
        b"INLINE 0 5 0 0 1010 8\n1000 10 4 0\n1010 f0 5 1\nPUBLIC 1200 0 p\n"
        b"STACK CFI INIT 1000 100 .cfa: $rsp 8 + .ra: .cfa -8 + ^\n"
        b"STACK CFI 1001 .cfa: $rsp 16 + $rbp: .cfa -16 + ^\n",
        b"MODULE windows x86 09F9D7ECF31F60E34C4C44205044422E1 a.pdb\n"
        b"FUNC 1000 100 8 f\nSTACK WIN 4 1000 100 5 0 8 4 10 0 1 $T0 .raSearch = $eip $T0 ^ =\n"
        b"STACK WIN 0 1200 10 1 0 0 0 0 0 0 1\n",
    ]


def read_postfix(data: bytes) -> None:
    program = data.decode("latin-1")
    for size in (4, 8):
        variables: dict[str, Value] = {"$esp": 0x1100, "$ebp": 0x1200, "$eip": 1, ".cfa": 0x1100}
        variables[".undef"] = MemoryReadError(0)
        attempt(
            lambda v=dict(variables), size=size: run_program(program, v, MEMORY, size),
            lambda v=variables, size=size: evaluate(program, v, MEMORY, size),
        )


def postfix_seeds() -> list[bytes]:
    return [
        b"$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + = $L $T0 .cbSavedRegs - =",
        b"$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + = $esp 16 @ 3 / 2 % -1 * +",
        b".cfa -8 + ^",
    ]


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
    _ask_table(ElfSource(image), ("*", "*main*", "f@V1"))


def _ask_table(source: SymbolSource, patterns: tuple[str, ...]) -> None:
    for probe in PROBES:
        attempt(
            lambda probe=probe: source.symbol_at(probe),
            lambda probe=probe: source.neighbours(probe),
        )
    for pattern in patterns:
        attempt(lambda pattern=pattern: list(source.symbols_matching(pattern, CancelToken())))
        attempt(lambda pattern=pattern: source.symbol_named(pattern))


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


# Archives


def read_archive(data: bytes) -> None:
    budget = Budget(len(data), 1 << 22)
    try:
        archive = open_archive(io.BytesIO(data), len(data), "x")
    except DebuggerError:
        return
    for member in archive.members[:20] if archive is not None else ():
        attempt(lambda member=member: _drain(archive.expand(member, budget)))


def _drain(blocks: Iterator[bytes]) -> None:
    for _ in blocks:
        pass


def archive_seeds() -> list[bytes]:
    body = MinidumpBuilder().system().build()
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dmp", body)
        archive.writestr(zipfile.ZipInfo("b.txt"), b"stored")
    with tarfile.open(fileobj=tarred, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("long/" * 30 + "a.dmp")
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    files = {"a.dmp": body, "b": b"x"}
    return [
        zipped.getvalue(),
        tarred.getvalue(),
        cabinet(files),
        cabinet(files, method=0),
        gzip.compress(body, mtime=0),
        lzma.compress(body),
    ]


TARGETS: dict[str, Target] = {
    "minidump": Target(read_minidump, minidump_seeds),
    "context": Target(read_context, context_seeds),
    "userdump": Target(read_userdump, userdump_seeds),
    "core": Target(read_core, core_seeds),
    "pe": Target(read_pe, pe_seeds),
    "coff": Target(read_coff, coff_seeds),
    "pdata": Target(read_pdata, pdata_seeds),
    "arm_unwind": Target(read_arm, arm_seeds),
    "pdb": Target(read_pdb, pdb_seeds),
    "pdb_module": Target(read_pdb_module, pdb_module_seeds),
    "breakpad": Target(read_breakpad, breakpad_seeds),
    "postfix": Target(read_postfix, postfix_seeds),
    "elf": Target(read_elf, elf_seeds),
    "macho": Target(read_macho, macho_seeds),
    "dwarf": Target(read_dwarf, dwarf_seeds),
    "cfi": Target(frame_readers.read_cfi, frame_readers.cfi_seeds),
    "expression": Target(frame_readers.read_expression, frame_readers.expression_seeds),
    "archive": Target(read_archive, archive_seeds),
    "sysroot": Target(root_readers.read_sysroot, root_readers.sysroot_seeds),
}
