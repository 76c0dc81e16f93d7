"""Which modules belong to the system and to language run-times, and which of their functions say
why a program ended.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import msgspec

from polydbg.engine.modules import Module

_SYSTEM = r"""(?ix) ^(?:
      ntdll | wow64\w* | kernel32 | kernelbase | win32u | user32 | gdi32(?:full)? | combase |
      ole32 | rpcrt4 | sechost | advapi32 | ws2_32 | mswsock | ucrtbased? |
      msvc(?:rt|p\d+\w*|r\d+d?) |
      vcruntime\d+\w* | verifier | vrf\w+ | apphelp | shell32 | shlwapi | crypt32 | bcrypt\w* |
      msvcp_win | uxtheme | comctl32 | imm32 | oleaut32 | setupapi |
      (?:lib(?:c|pthread|dl|m|rt|stdc\+\+|gcc_s|c\+\+|c\+\+abi|unwind|util|nsl|resolv|thr|mvec)
         (?:[-.][\d.]+)?(?:\.so(?:\.\d+)*)?) | libc\.musl-\w+\.so(?:\.\d+)* |
      lib(?:clang_rt\.)?[almtu]{1,2}b?san(?:[-.]\w+)*\.so(?:\.\d+)* | libstd-[0-9a-f]+\.so |
      ld(?:-[\w.-]+)?\.so(?:\.\d+)* | ld-linux[\w.-]* |
      linux-gate\.so(?:\.\d+)? | linux-vdso\.so(?:\.\d+)? | \[vdso\] | linker(?:64)? |
      libsystem_\w+(?:\.dylib)? | libdyld\.dylib | dyld | libobjc\.a\.dylib |
      libc\+\+(?:abi)?\.(?:1\.)?dylib | libdispatch\.dylib | corefoundation | foundation | appkit |
      hitoolbox | libxpc\.dylib
    )(?:\.dll|\.exe)?$"""
_RUNTIMES: Final = {
    "coreclr": ".NET",
    "clr": ".NET Framework",
    "mscorwks": ".NET Framework 2",
    "libcoreclr.so": ".NET",
    "libcoreclr.dylib": ".NET",
    "libmonosgen-2.0.so": "Mono",
    "mono-2.0-bdwgc": "Mono",
}


TELLING: Final = 2
"""The rank from which on a reason is more than a call of a function that ends programs."""


class EndReason(msgspec.Struct, frozen=True):
    """Why a program ends itself in a function of a run-time: *problem_class* and words. Of several
    on a stack the one with the higher *rank* says more."""

    problem_class: str
    words: str
    rank: int = TELLING + 1


_ASSERT = EndReason("ASSERTION", "an assertion of the program failed")
_TERMINATE = EndReason("CPP_TERMINATE", "std::terminate ended the program", TELLING)
_UNHANDLED = EndReason("CPP_TERMINATE", "an exception was not caught: std::terminate ended it")
_STACK_SMASHED = EndReason("STACK_BUFFER_OVERRUN", "a function found its stack frame overwritten")
_BUFFER = EndReason(
    "BUFFER_OVERRUN", "a checked library function found its buffer too small", TELLING
)
_HEAP = EndReason("HEAP_CORRUPTION", "the heap found its own data overwritten")
_PURE = EndReason("PURE_VIRTUAL_CALL", "a pure virtual function was called")
_PARAMETER = EndReason("INVALID_PARAMETER", "a function of the C library got an invalid argument")
_RUST = EndReason("RUST_PANIC", "Rust code panicked")
_GO = EndReason("GO_PANIC", "the Go run-time ended the program", TELLING)
_GO_REASONS: Final = {
    "panicIndex": "a Go program panicked: an index was out of range",
    "goPanicIndex": "a Go program panicked: an index was out of range",
    "panicSlice": "a Go program panicked: the bounds of a slice were out of range",
    "goPanicSlice": "a Go program panicked: the bounds of a slice were out of range",
    "panicdivide": "a Go program panicked: an integer was divided by zero",
    "panicmem": "a Go program panicked: an invalid address or a null pointer was used",
    "panicnil": "a Go program panicked: panic was called with nil",
    "panicwrap": "a Go program panicked: a method was called through a null pointer",
    "panicdottype": "a Go program panicked: a value has not the type that was asserted",
    "checkmapnil": "a Go program panicked: an entry was put into a nil map",
    "newstack": "a Go program used up its stack",
    "checkdead": "all goroutines of a Go program sleep: a deadlock",
}
"""Functions of Go's run-time, by the start of the name behind ``runtime.``, that say more."""
_ABORT = EndReason("ABORT", "the program called abort", 1)
_NO_MEMORY = EndReason("OUT_OF_MEMORY", "a program in Rust got no memory and ended itself")
_RUST_STACK = EndReason("STACK_OVERFLOW", "the stack is used up: Rust's handler met its guard page")
_RAISE = EndReason("ABORT", "the program sent the signal to itself (raise)", 0)

_REASONS: Final = (
    (r"(?:GI_+)?assert(?:_fail|_rtn|_perror_fail|13|2)?|w?assert", _ASSERT),
    (r"stack_chk_fail(?:_local)?|report_gsfailure|report_rangecheckfailure", _STACK_SMASHED),
    (r"(?:GI_+)?(?:fortify_fail\w*|chk_fail)", _BUFFER),
    (
        r"malloc_printerr\w*|Rtlp?ReportHeapFailure|RtlpLogHeapFailure|"
        r"RtlpHeapHandleError|RtlReportFatalFailure|RtlReportCriticalFailure|"
        r"malloc_error_break|szone_error",
        _HEAP,
    ),
    (r"purecall|cxa_pure_virtual", _PURE),
    (r"invalid_parameter\w*|invoke_watson", _PARAMETER),
    (
        r"(?:rustc::)?(?:rust_panic\w*|rust_begin_unwind|begin_panic\w*)|core::panicking::\w+|"
        r"std::panicking::(?:rust_panic|begin_panic|panic_)\w*",
        _RUST,
    ),
    (
        r"alloc::alloc::handle_alloc_error|rustc::rust_alloc_error_handler|std::alloc::rust_oom",
        _NO_MEMORY,
    ),
    (r"std::sys::.*stack_overflow::imp::signal_handler", _RUST_STACK),
    (r"runtime\.(?:fatalpanic|gopanic|throw|fatalthrow|fatal)", _GO),
    *(
        (rf"runtime\.{start}\w*", EndReason("GO_PANIC", words))
        for start, words in _GO_REASONS.items()
    ),
    (
        r"(?:std::_*|cxxabiv1::_*)?terminate|std_terminate|(?:cxa|clang)_call_terminate|"
        r"gxx_personality\w+|cxa_call_unexpected|"
        r"std::_Xterminate|cxa_throw_bad_array_new_length",
        _TERMINATE,
    ),
    (r"scrt_unhandled_exception_filter", _UNHANDLED),
    (
        r"(?:GI_)?abort|abort_message|libc_message|std::(?:process::abort|sys::.*abort_internal)|"
        r"rustc::rust_abort",
        _ABORT,
    ),
    (r"(?:GI_)?raise|gsignal|pthread_kill\w*", _RAISE),
)
"""Names without their leading underscores, which C compilers and our readers add or drop."""

_HEAP_CODE: Final = (
    r"(?:GI_+)?(?:(?:int|libc)_)?(?:free|malloc|realloc|calloc|memalign)(?:_\w+)?|munmap_chunk|"
    r"malloc_consolidate|unlink_chunk\w*|sysmalloc|tcache_\w+"
)
_HELPERS: Final = (
    r"RaiseException|CxxThrowException|cxa_\w+|gxx_personality\w*|"
    r"mem(?:cpy|move|set)\w*|str\w*cpy\w*|(?:mem|str|wcs|wmem)\w+_(?:avx|sse|evex|ssse|generic)\w*|"
    r"strlen\w*|intel_\w+|operator (?:new|delete)(?:\[\])?|RtlRaiseException|RtlFailFast\w*|"
    r"RtlUserThreadStart|KiUser\w+|chkstk\w*|DbgBreakPoint|DebugBreak|debugbreak|rust_\w+|"
    r"Unwind_\w+|restore_rt|kernel_\w+|sigtramp|GI_\w+|assert_fail_base|libc_start_\w+|"
    rf"{_HEAP_CODE}|v\w*(?:print|scan)f_internal|"
    r"IO_\w+|(?:tg|tk)?kill|runtime\.\S+|"
    r"<(?:[iu](?:8|16|32|64|128|size)|f32|f64|bool|char|str|\[T\]|\[T; N\]) as "
    r"(?:std|core|alloc)::.*|"
    # What the standard libraries of C++ and Rust put into the program itself
    r"<?&?(?:std|gnu_cxx|cxxabiv1|rustc|panic_abort|panic_unwind|hashbrown)::.*|"
    r"<?&?core::(?:any|array|cell|clone|cmp|convert|fmt|hash|hint|intrinsics|iter|mem|num|ops|option|"
    r"panic|panicking|pin|ptr|result|slice|str|sync)::.*|"
    r"<?&?alloc::(?:alloc|borrow|boxed|collections|fmt|raw_vec|rc|slice|str|string|sync|vec)::.*"
)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], EndReason], ...]:
    return tuple((re.compile(f"(?:{pattern})$"), reason) for pattern, reason in _REASONS)


@cache
def _system() -> re.Pattern[str]:
    return re.compile(_SYSTEM)


@cache
def _heap_code() -> re.Pattern[str]:
    return re.compile(f"(?:{_HEAP_CODE})$")


@cache
def _helpers() -> re.Pattern[str]:
    return re.compile(f"(?:{_HELPERS})$")


def file_name(module: Module) -> str:
    """Return the file name of a module's image as a bucket shows it."""
    return module.info.file_name or module.name


def is_system(module: Module) -> bool:
    """Tell whether *module* is part of the system or a run-time library, by its file name."""
    return _system().match(file_name(module)) is not None


def managed_runtime(modules: list[Module]) -> str:
    """Return the name of the managed run-time that is loaded, ``""`` for none."""
    for module in modules:
        name = file_name(module).lower().removesuffix(".dll")
        if name in _RUNTIMES:
            return _RUNTIMES[name]
    return ""


def end_reason(function: str) -> EndReason | None:
    """Return why a program ends in *function* (a bare symbol name), ``None`` for others."""
    bare = function.split("<", 1)[0].lstrip("_").removesuffix("::")
    return next((reason for pattern, reason in _patterns() if pattern.match(bare)), None)


def is_of_heap(function: str) -> bool:
    """Tell whether *function* is one of those with which a C library keeps its heap."""
    return _heap_code().match(function.lstrip("_")) is not None


def is_helper(function: str) -> bool:
    """Tell whether *function* only carries out what its caller asked for: never to blame."""
    bare = function.lstrip("_")
    return end_reason(function) is not None or _helpers().match(bare) is not None
