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
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

import dt_readers
import expression_readers
import frame_readers
import language_readers
import model_readers
import pdb_readers
import root_readers
import type_readers
import unix_readers
import variable_readers
import view_readers
from probing import PROBES, ask_table, attempt, members

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.formats.archives.archive import Budget
from polydbg.formats.archives.opening import open_archive
from polydbg.formats.breakpad.file import BreakpadFile
from polydbg.formats.minidump.contexts import guess_architecture, parse_context
from polydbg.formats.pdb.compiler import compiler_of
from polydbg.formats.pdb.frame_data import frame_data_of_module
from polydbg.formats.pdb.inlines import sites_of
from polydbg.formats.pdb.lines import ModuleLines
from polydbg.formats.pdb.module import ModuleSymbols
from polydbg.formats.pdb.source_link import SourceLinks
from polydbg.formats.pdb.source_server import SourceServer
from polydbg.formats.pe import arm_unwind, pdata
from polydbg.formats.pe.header import DataDirectory
from polydbg.formats.userdump import UserDump
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.symbols.coff import coff_source
from polydbg.symbols.dwarf_files import pe_dwarf
from polydbg.symbols.pdb import PdbSource
from polydbg.targets.minidump import MinidumpTarget
from polydbg.testing.cabinet_builder import cabinet
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


class Target(NamedTuple):
    """*read* raises nothing but what :func:`attempt` allows."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def practice(name: str) -> bytes:
    return (resources.files("polydbg") / "demo" / name).read_bytes()


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
        ask_table(source, ("*", "*total*", "_main@4"))


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
        source.type_of_index(symbol.type_index)


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


def read_source_links(data: bytes) -> None:
    attempt(lambda: SourceLinks.parse(data).url("C:\\src\\lib\\a b.c"))


def source_links_seeds() -> list[bytes]:
    return [b'{"documents": {"C:\\\\src\\\\*": "https://h/*?x", "/a.c": "http://h/a"}}']


def read_source_server(data: bytes) -> None:
    attempt(lambda: SourceServer.parse(data).find("C:\\a.c"))


def source_server_seeds() -> list[bytes]:
    head = b"SRCSRV: ini ---\r\nVERSION=2\r\nSRCSRV: variables ---\r\nH=http://h\r\n"
    body = b"SRCSRVCMD=get %var1%\r\n"
    body += b"SRCSRVTRG=%h%/%fnvar%(%var3%)/%fnbksl%(%var2%)/%fnfile%(%var1%)\r\n"
    tail = b"SRCSRV: source files ---\r\nC:\\a.c*lib/a.c*H\r\nSRCSRV: end ---\r\n"
    return [head + body + tail, (head + body + tail).replace(b"http", b"file")]


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
    "natvis": Target(view_readers.read_views, view_readers.view_seeds),
    "dt": Target(dt_readers.read_dt, dt_readers.dt_seeds),
    "cpp": Target(expression_readers.read_expression, expression_readers.expression_seeds),
    "dx": Target(model_readers.read_model, model_readers.model_seeds),
    "language": Target(language_readers.read_language, language_readers.language_seeds),
    "minidump": Target(read_minidump, minidump_seeds),
    "context": Target(read_context, context_seeds),
    "userdump": Target(read_userdump, userdump_seeds),
    "core": Target(unix_readers.read_core, unix_readers.core_seeds),
    "pe": Target(read_pe, pe_seeds),
    "coff": Target(read_coff, coff_seeds),
    "pdata": Target(read_pdata, pdata_seeds),
    "arm_unwind": Target(read_arm, arm_seeds),
    "pdb": Target(read_pdb, pdb_seeds),
    "pdb_module": Target(read_pdb_module, pdb_module_seeds),
    "pdb_types": Target(pdb_readers.read_pdb_types, pdb_readers.pdb_types_seeds),
    "pdb_variables": Target(pdb_readers.read_pdb_variables, pdb_readers.pdb_variables_seeds),
    "source_links": Target(read_source_links, source_links_seeds),
    "source_server": Target(read_source_server, source_server_seeds),
    "breakpad": Target(read_breakpad, breakpad_seeds),
    "postfix": Target(read_postfix, postfix_seeds),
    "elf": Target(unix_readers.read_elf, unix_readers.elf_seeds),
    "macho": Target(unix_readers.read_macho, unix_readers.macho_seeds),
    "dwarf": Target(unix_readers.read_dwarf, unix_readers.dwarf_seeds),
    "dwarf-types": Target(type_readers.read_types, type_readers.type_seeds),
    "dwarf-variables": Target(variable_readers.read_variables, variable_readers.variable_seeds),
    "cfi": Target(frame_readers.read_cfi, frame_readers.cfi_seeds),
    "exidx": Target(frame_readers.read_exidx, frame_readers.exidx_seeds),
    "expression": Target(frame_readers.read_expression, frame_readers.expression_seeds),
    "archive": Target(read_archive, archive_seeds),
    "sysroot": Target(root_readers.read_sysroot, root_readers.sysroot_seeds),
}
