"""The streams of a minidump, read back from files of the builder."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.header import STREAM_NAMES
from polydbg.formats.minidump.streams import Minidump
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, rsds, u16, u32, u64

GUID = "00112233-4455-6677-8899-aabbccddeeff"


def read(builder: MinidumpBuilder) -> Minidump:
    return Minidump(builder.build())


def identifiers(dump: Minidump) -> list[str]:
    return [warning.identifier for warning in dump.warnings]


def test_header_and_flags() -> None:
    dump = read(MinidumpBuilder(flags=0x1006, timestamp=1234))
    assert (dump.header.version, dump.header.writer_version) == (0xA793, 0xA0D7)
    assert dump.header.timestamp == 1234
    assert dump.header.flag_names == (
        "MiniDumpWithFullMemory",
        "MiniDumpWithHandleData",
        "MiniDumpWithThreadInfo",
    )


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        (b"", "dump.unknown-format"),
        (b"MZ" + bytes(64), "dump.unknown-format"),
        (b"MDMP\x93\xa7", "dump.truncated"),
        (b"MDMP" + u32(0xA792) + bytes(24), "dump.bad-version"),
        (b"MDMP" + u32(0xA793, 65537) + bytes(20), "dump.truncated"),
    ],
)
def test_refused_headers(data: bytes, identifier: str) -> None:
    with pytest.raises(FormatError) as caught:
        Minidump(data)
    assert caught.value.identifier == identifier


def test_directory_past_the_end_is_clamped() -> None:
    data = bytearray(MinidumpBuilder().build())
    data[8:12] = u32(5)
    dump = Minidump(bytes(data))
    assert len(dump.directory) == 1
    assert identifiers(dump) == ["dump.truncated"]


def test_unknown_and_custom_streams_are_bytes() -> None:
    dump = read(MinidumpBuilder().stream(0xFFF0, b"wine").stream(0x12345, b"mine"))
    assert dump.raw(0xFFF0) == b"wine"
    assert dump.raw(0x12345) == b"mine"
    assert dump.raw(0x777) is None
    assert [w.message for w in dump.warnings] == ["Minidump contains unknown stream type 0xfff0"]
    assert [entry.name for entry in dump.directory][:2] == ["UnknownStream"] * 2
    assert STREAM_NAMES[24] == "ThreadNamesStream"


def test_first_of_two_streams_wins() -> None:
    dump = read(MinidumpBuilder().comment("one").comment("two").comment("old", wide=False))
    assert dump.comments == ("one", "old")


@pytest.mark.parametrize("padded", [False, True])
def test_threads_and_modules(padded: bool) -> None:
    builder = MinidumpBuilder(padded_counts=padded)
    builder.thread(7, amd64_context(rip=0x10), teb=0x20, stack=(0x3000, b"stack"), suspend=2)
    builder.thread(8).thread_name(8, "worker").thread_name(8, "late")
    builder.thread_info(7, times=(1, 2, 3, 4), start=5, affinity=6, extra=bytes(8))
    builder.thread_info(8, flags=4, extra=bytes(8))
    builder.module(
        0x140000000,
        0x5000,
        "C:\\app\\a.exe",
        timestamp=9,
        checksum=10,
        codeview=rsds(GUID, 3, "a.pdb"),
        version=(1, 2, 3, 4),
    )
    builder.module(0x150000000, 0x6000, "b.dll")
    dump = read(builder)
    first, second = dump.threads
    assert (first.id, first.suspend_count, first.teb, first.priority_class) == (7, 2, 0x20, 0x20)
    assert (first.stack.start, first.stack.size) == (0x3000, 5)
    assert dump.registers(first.context)["rip"] == 0x10
    assert dump.registers(second.context) == {}
    assert dump.thread_names == {8: "worker"}
    details = dump.thread_details[7]
    assert (details.create_time, details.exit_time) == (1, 2)
    assert (details.kernel_time, details.user_time) == (3, 4)
    assert (details.start_address, details.affinity) == (5, 6)
    assert dump.thread_details[8].dump_flags == 4
    exe, dll = dump.modules
    assert (exe.base, exe.size, exe.timestamp, exe.checksum) == (0x140000000, 0x5000, 9, 10)
    assert exe.name == "C:\\app\\a.exe"
    assert exe.version is not None
    assert exe.version.file_version == (1, 2, 3, 4)
    codeview = dump.codeview(exe)
    assert codeview is not None
    assert codeview.debug_id is not None
    assert codeview.debug_id.key == "00112233445566778899AABBCCDDEEFF3"
    assert codeview.path == "a.pdb"
    assert (dll.version, dump.codeview(dll)) == (None, None)
    assert dump.warnings == []


def test_other_codeview_records() -> None:
    builder = MinidumpBuilder()
    builder.module(1, 1, "old", codeview=b"NB10" + u32(0, 0xABCDEF, 2) + b"old.pdb\0")
    builder.module(2, 1, "elf", codeview=u32(0x4270454C) + bytes(range(20)))
    builder.module(3, 1, "odd", codeview=b"NB09....")
    builder.module(4, 1, "cut", codeview=b"RSDS1234")
    dump = read(builder)
    old, elf, odd, cut = (dump.codeview(module) for module in dump.modules)
    assert old is not None
    assert elf is not None
    assert odd is not None
    assert cut is not None
    assert old.debug_id is not None
    assert (old.debug_id.key, old.path) == ("00ABCDEF2", "old.pdb")
    assert elf.debug_id is not None
    assert elf.debug_id.key == "030201000504070608090A0B0C0D0E0F0"
    assert (elf.signature, elf.build_id) == ("BpEL", bytes(range(20)))
    assert (odd.signature, odd.debug_id) == ("NB09", None)
    assert (cut.signature, cut.debug_id) == ("RSDS", None)


def test_dbg_name_in_the_misc_record() -> None:
    builder = MinidumpBuilder()
    rva = builder.blob(u32(1, 12 + 6, 0) + b"a.dbg\0")
    builder.module(1, 1, "a")
    dump = read(builder)
    module = dump.modules[0]
    place = type(module.misc)(18, rva)
    assert dump.misc_record(type(module)(1, 1, 0, 0, "a", None, place, place)) == "a.dbg"
    assert dump.misc_record(module) is None


def test_exception() -> None:
    builder = MinidumpBuilder().exception(
        7, 0xC0000005, 0x1234, (1, 0x10), context=amd64_context(rip=0x1234), flags=1
    )
    found = read(builder).exception
    assert found is not None
    assert (found.thread_id, found.code, found.flags, found.address) == (7, 0xC0000005, 1, 0x1234)
    assert found.parameters == (1, 0x10)
    assert read(builder).registers(found.context)["rip"] == 0x1234


def test_parameter_count_is_clamped() -> None:
    dump = read(MinidumpBuilder().exception(7, 1, 2, (3,), count=999))
    assert dump.exception is not None
    assert len(dump.exception.parameters) == 15
    assert identifiers(dump) == ["dump.count-clamped"]


def test_memory_lists_and_stacks_are_one_space() -> None:
    builder = MinidumpBuilder()
    builder.thread(1, stack=(0x1000, b"stack!"))
    builder.memory(0x1004, b"LIST").memory64(0x1008, b"64").memory64(0x2000, b"far")
    dump = read(builder)
    assert dump.memory.read(0x1000, 10) == b"stacLIST64"
    assert dump.memory.read(0x2000, 3) == b"far"
    assert dump.memory.next_readable(0x100A) == 0x2000
    assert dump.memory64_list is not None
    assert len(dump.memory64_list) == 2


def test_memory_past_the_end_is_lost_and_counted() -> None:
    builder = MinidumpBuilder()
    at = builder.blob(b"data")
    builder.stream(5, u32(2) + u64(0x1000) + u32(0x1000, at) + u64(0x9000) + u32(8, 0xFFFFFFFF))
    dump = read(builder)
    assert dump.memory.read(0x1000, 4) == b"data"
    assert dump.memory.next_readable(0x9000) is None
    assert [w.message for w in dump.warnings if "MemoryList" in w.message]


def test_sizes_of_memory64_that_pass_two_to_the_64th() -> None:
    pairs = u64(0x1000, 8, 0x3000, (1 << 64) - 1, 0x5000, (1 << 64) - 1)
    dump = read(MinidumpBuilder().stream(9, u64(3, 0) + pairs))
    assert dump.memory.read(0x1000, 4) == b"MDMP"
    assert dump.memory.next_readable(0x5000) is None
    assert identifiers(dump) == ["dump.truncated", "dump.truncated"]


def test_memory64_count_is_clamped() -> None:
    dump = read(MinidumpBuilder().stream(9, u64(1 << 62, 0) + u64(0x1000, 4)))
    assert dump.memory.read(0x1000, 4) == b"MDMP"
    assert identifiers(dump) == ["dump.count-clamped"]


def test_regions_and_unloaded_modules() -> None:
    builder = MinidumpBuilder().region(0x1000, 0x2000, protect=0x20)
    builder.unloaded(0x5000, 0x100, "gone.dll", timestamp=3, checksum=4)
    dump = read(builder)
    (region,) = dump.regions
    assert (region.base, region.size, region.state, region.protect) == (0x1000, 0x2000, 0x1000, 32)
    (gone,) = dump.unloaded_modules
    assert (gone.base, gone.size, gone.name) == (0x5000, 0x100, "gone.dll")
    assert (gone.timestamp, gone.checksum) == (3, 4)


def test_handles_and_their_objects() -> None:
    builder = MinidumpBuilder()
    second = builder.blob(u32(0, 6, 3) + b"two")
    first = builder.blob(u32(second, 2, 3) + b"one")
    loop = len(builder._file) + len(builder._file) % 4
    builder.blob(u32(loop, 1, 0))
    builder.handle(4, "Mutant", "\\m", info=first).handle(8, "", info=loop)
    dump = read(builder)
    named, bare = dump.handles
    assert (named.handle, named.type_name, named.object_name) == (4, "Mutant", "\\m")
    assert (named.granted_access, named.handle_count, named.pointer_count) == (0x1F0003, 2, 32769)
    assert [(o.info_type, o.data) for o in dump.object_information(named)] == [
        (2, b"one"),
        (6, b"two"),
    ]
    assert bare.type_name == ""
    assert len(dump.object_information(bare)) == 1


def test_handle_operations_and_tokens_and_tables() -> None:
    builder = MinidumpBuilder()
    operation = u64(4) + u32(10, 11, 2, 0, 2, 9) + u64(0x100, 0x200) + bytes(30 * 8)
    builder.stream(18, builder.extended([operation], header=16))
    token = u32(16 + 4, 5) + u64(6) + b"data"
    builder.stream(19, u32(16 + 20, 1, 16, 16) + token)
    table = u64(0x1000, 0x2000, 0x1000) + u32(2, 4) + b"native.." + bytes(range(24)) + bytes(4)
    builder.stream(13, u32(24, 32, 8, 12, 2, 0) + table + table)
    dump = read(builder)
    (found,) = dump.handle_operations
    assert (found.handle, found.process_id, found.thread_id, found.operation) == (4, 10, 11, 2)
    assert found.backtrace == (0x100, 0x200)
    assert [(t.token_id, t.handle, t.data) for t in dump.tokens] == [(5, 6, b"data")]
    assert len(dump.function_tables) == 2
    second = dump.function_tables[1]
    assert (second.minimum_address, second.maximum_address) == (0x1000, 0x2000)
    assert (second.entries, second.entry_size) == (bytes(range(24)), 12)
    assert dump.warnings == []


def test_system_info() -> None:
    dump = read(MinidumpBuilder().system(major=6, minor=1, build=7601, service_pack="SP 1"))
    system = dump.system_info
    assert system is not None
    assert (system.arch, system.platform) == ("amd64", "windows")
    assert (system.major, system.minor, system.build, system.csd_version) == (6, 1, 7601, "SP 1")
    assert (system.processor_count, system.product_type, system.suite_mask) == (4, 1, 0x100)
    assert system.cpu_vendor == "GenuineIntel"
    assert system.cpuid == (0x906EA, 0xBFEBFBFF, 0)


def test_misc_info_by_version() -> None:
    misc = read(MinidumpBuilder().misc(process_id=5)).misc_info
    assert misc is not None
    assert (misc.size, misc.process_id, misc.create_time, misc.time_zone) == (24, 5, None, None)
    builder = MinidumpBuilder().misc(
        create_time=100,
        user_time=2,
        kernel_time=3,
        build_string="19041.1.amd64fre",
        time_zone=(2, -60, 0, -60),
        xstate={2: (576, 256)},
    )
    misc = read(builder).misc_info
    assert misc is not None
    assert (misc.size, misc.process_id) == (1364, None)
    assert (misc.create_time, misc.user_time, misc.kernel_time) == (100, 2, 3)
    assert misc.build_string == "19041.1.amd64fre"
    assert misc.time_zone is not None
    assert misc.time_zone.current_bias == -120
    assert misc.xstate is not None
    assert (misc.xstate.enabled, misc.xstate.features[2]) == (7, (576, 256))


def test_misc_info_that_is_too_small() -> None:
    dump = read(MinidumpBuilder().stream(15, b""))
    assert dump.misc_info is None
    assert identifiers(dump) == ["format.damaged"]


def test_counters_and_system_memory() -> None:
    builder = MinidumpBuilder()
    builder.stream(22, u16(2, 0x17) + u32(77) + u64(*range(1, 19)))
    basic = u32(1, 4096, 3, 4, 5, 65536) + u64(6, 7, 8) + u32(9)
    builder.stream(21, (u16(1, 2) + basic + bytes(60) + u64(10, 11, 12, 13)).ljust(0x1EC, b"\0"))
    dump = read(builder)
    counters = dump.vm_counters
    assert counters is not None
    assert counters.page_fault_count == 77
    assert counters.counters["peak_working_set_size"] == 1
    assert counters.counters["private_usage"] == 11
    assert "private_working_set_size" not in counters.counters  # its flag is not set
    assert counters.counters["job_total_commit_limit"] == 18
    system = dump.system_memory
    assert system is not None
    assert (system.basic["page_size"], system.basic["number_of_processors"]) == (4096, 9)
    assert system.basic_performance["peak_commitment"] == 13


def test_first_revision_of_counters() -> None:
    builder = MinidumpBuilder().stream(22, u16(1, 0) + u32(7) + u64(*range(9)))
    counters = read(builder).vm_counters
    assert counters is not None
    assert counters.counters["private_usage"] == 8


def test_breakpad_streams() -> None:
    builder = MinidumpBuilder().stream(0x47670001, u32(2, 10, 11))
    texts = ["x > 0", "run", "a.c"]
    data = b"".join(text.encode("utf-16-le").ljust(256, b"\0") for text in texts)
    builder.stream(0x47670002, data + u32(12, 1)).stream(0x47670009, b"maps\0more")
    dump = read(builder)
    assert dump.breakpad_info is not None
    assert dump.breakpad_info.dump_thread_id is None
    assert dump.breakpad_info.requesting_thread_id == 11
    assert dump.assertion is not None
    assert (dump.assertion.expression, dump.assertion.file) == ("x > 0", "a.c")
    assert (dump.assertion.line, dump.assertion.kind) == (12, 1)
    assert dump.text(0x47670009) == "maps\0more"


def test_crashpad_stream() -> None:
    builder = MinidumpBuilder()
    pair = u32(1, builder.utf8("key"), builder.utf8("value"))
    simple = builder.blob(pair)
    texts = builder.blob(u32(1, builder.utf8("note")))
    value = builder.blob(u32(3) + b"abc")
    objects = builder.blob(u32(1, builder.utf8("object")) + u16(1, 0) + u32(value))
    module = builder.blob(u32(1, 8, texts, 12, simple, 16, objects))
    modules = builder.blob(u32(1, 5, 28, module))
    head = u32(1) + bytes(range(16)) + bytes(16)
    builder.stream(0x43500001, head + u32(12, simple, 16, modules, 0) + u64(0xFFFF))
    found = read(builder).crashpad_info
    assert found is not None
    assert found.annotations == {"key": "value"}
    assert str(found.report_id) == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert found.address_mask == 0xFFFF
    (annotated,) = found.modules
    assert (annotated.index, annotated.list_annotations) == (5, ("note",))
    assert annotated.simple_annotations == {"key": "value"}
    (item,) = annotated.objects
    assert (item.name, item.kind, item.value) == ("object", 1, b"abc")


def test_list_of_shared_objects_padded_and_not() -> None:
    for padded in (False, True):
        builder = MinidumpBuilder()
        pad = u32(0) if padded else b""
        name = builder.string("libc.so")
        entry = u64(0x7000) + u32(name) + pad + u64(0x8000)
        at = builder.blob(entry + entry)
        builder.stream(0x4767000A, u32(1, at, 2) + pad + u64(1, 2, 3) + bytes(32))
        found = read(builder).dso_debug
        assert found is not None
        assert [(m.address, m.name, m.dynamic) for m in found.link_map] == [
            (0x7000, "libc.so", 0x8000)
        ] * 2
        assert (found.brk, found.loader_base, found.dynamic) == (1, 2, 3)
        assert len(found.dynamic_section) == 32


def test_mozilla_streams() -> None:
    builder = MinidumpBuilder()
    record = builder.blob(u64(1, 5, 7, 8, 9) + b"path\0message\0\0trace\0two\0")
    places = u32(40 + 23, record) + bytes(19 * 8)
    builder.stream(0x4D7A0001, u32(0x4D7A0001, 1, 40) + places)
    builder.stream(0x4D7A0002, u32(0x4D7A0002) + u64(builder.string("-v")))
    dump = read(builder)
    (found,) = dump.macos_crash_info
    assert (found.version, found.thread, found.dialog_mode, found.abort_cause) == (5, 7, 8, 9)
    assert (found.module_path, found.message, found.backtrace) == ("path", "message", "trace")
    assert found.message2 == "two"
    assert dump.boot_arguments == "-v"


def test_counts_never_pass_the_stream() -> None:
    builder = MinidumpBuilder()
    for kind in (3, 4, 5, 24):
        builder.stream(kind, u32(0xFFFFFFFF) + bytes(100))
    builder.stream(17, u32(12, 64, 0xFFFFFFFF) + bytes(64))
    builder.stream(16, u32(16, 48) + u64(1 << 63) + bytes(48))
    dump = read(builder)
    assert (len(dump.threads), len(dump.modules), len(dump.memory_list)) == (2, 0, 6)
    assert (len(dump.thread_details), len(dump.regions)) == (1, 1)
    assert dump.thread_names == {0: ""}
    assert set(identifiers(dump)) == {"dump.count-clamped"}


def test_ex_list_with_impossible_sizes() -> None:
    builder = MinidumpBuilder().stream(17, u32(12, 0, 9) + bytes(90)).stream(14, u32(0, 24, 1))
    dump = read(builder)
    assert dump.thread_details == {}
    assert dump.unloaded_modules == ()
    assert identifiers(dump) == ["format.damaged", "format.damaged"]


def test_strings_with_bad_lengths() -> None:
    builder = MinidumpBuilder()
    odd = builder.blob(u32(5) + "ab".encode("utf-16-le") + b"cd")
    entry = u64(1) + u32(2, 3, 4)
    rest = bytes(0x6C - 24)
    names = (odd, 0xFFFFFFF0, 0)
    builder.stream(4, u32(3) + b"".join(entry + u32(rva) + rest for rva in names))
    dump = read(builder)
    assert [module.name for module in dump.modules] == ["ab", "", ""]
    assert identifiers(dump) == ["dump.bad-string"]


def test_thread_ex_list_stands_in() -> None:
    entry = u32(3, 0, 0, 0) + u64(0, 0x1000) + u32(0, 0, 0, 0) + u64(0x2000) + u32(4, 0)
    (thread,) = read(MinidumpBuilder().stream(8, u32(1) + entry)).threads
    assert thread.id == 3
    assert thread.backing_store is not None
    assert thread.backing_store.start == 0x2000


def test_architecture_from_contexts() -> None:
    builder = MinidumpBuilder(with_system_info=False).thread(1, amd64_context(rip=1))
    dump = read(builder)
    assert (dump.system_info, dump.arch, dump.pointer_size) == (None, "amd64", 8)
    assert read(MinidumpBuilder(with_system_info=False).thread(1)).arch == "unknown"


def test_strings_that_share_bytes_do_not_multiply() -> None:
    """A file of a megabyte whose modules all point into one long string."""
    builder = MinidumpBuilder()
    at = builder.blob(u32(0xFFFF) * 0x8000)
    entries = [
        u64(index) + u32(1, 0, 0, at + 4 * (index % 64)) + bytes(52) + u32(0xFFFF, at) + bytes(24)
        for index in range(5000)
    ]
    builder.stream(4, builder.counted(entries))
    dump = read(builder)
    assert len(dump.modules) == 5000
    for module in dump.modules:
        dump.codeview(module)
    assert sum(len(module.name) for module in dump.modules) < 64 * 1024 * 1024
    assert "too many strings" in [warning.message for warning in dump.warnings]


def test_nested_annotations_do_not_multiply() -> None:
    builder = MinidumpBuilder()
    objects = builder.blob(u32(0xFFFFFFFF) + bytes(12 * 9000))
    module = builder.blob(u32(1, 0, 0, 0, 0, 16, objects))
    modules = builder.blob(u32(5000) + u32(0, 28, module) * 5000)
    builder.stream(0x43500001, bytes(0x24) + u32(0, 0, 16, modules, 0))
    found = read(builder).crashpad_info
    assert found is not None
    assert sum(len(item.objects) for item in found.modules) <= 20_000
