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
      (?:lib(?:c|pthread|dl|m|rt|stdc\+\+|gcc_s|c\+\+|c\+\+abi|unwind|util|nsl|resolv)
         (?:[-.][\d.]+)?(?:\.so(?:\.\d+)*)?) | ld(?:-[\w.-]+)?\.so(?:\.\d+)* | ld-linux[\w.-]* |
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


class EndReason(msgspec.Struct, frozen=True):
    """Why a program ends itself in a function of a run-time: *problem_class* and words."""

    problem_class: str
    words: str


_ASSERT = EndReason("ASSERTION", "an assertion of the program failed")
_TERMINATE = EndReason("CPP_TERMINATE", "an exception was not caught: std::terminate ended it")
_STACK_SMASHED = EndReason("STACK_BUFFER_OVERRUN", "a function found its stack frame overwritten")
_BUFFER = EndReason("BUFFER_OVERRUN", "a checked library function found its buffer too small")
_HEAP = EndReason("HEAP_CORRUPTION", "the heap found its own data overwritten")
_PURE = EndReason("PURE_VIRTUAL_CALL", "a pure virtual function was called")
_PARAMETER = EndReason("INVALID_PARAMETER", "a function of the C library got an invalid argument")
_RUST = EndReason("RUST_PANIC", "Rust code panicked")
_GO = EndReason("GO_PANIC", "the Go run-time ended the program")
_ABORT = EndReason("ABORT", "the program called abort")

_REASONS: Final = (
    (r"assert(?:_fail|_rtn|_perror_fail|13|2)?|w?assert", _ASSERT),
    (r"stack_chk_fail(?:_local)?|report_gsfailure|report_rangecheckfailure", _STACK_SMASHED),
    (r"fortify_fail\w*|chk_fail", _BUFFER),
    (
        r"malloc_printerr\w*|libc_message|Rtlp?ReportHeapFailure|RtlpLogHeapFailure|"
        r"RtlpHeapHandleError|RtlReportFatalFailure|RtlReportCriticalFailure|"
        r"malloc_error_break|szone_error",
        _HEAP,
    ),
    (r"purecall|cxa_pure_virtual", _PURE),
    (r"invalid_parameter\w*|invoke_watson", _PARAMETER),
    (r"rust_panic\w*|rust_begin_unwind|core::panicking::\w+|std::panicking::\w+", _RUST),
    (r"runtime\.(?:fatalpanic|gopanic|throw|fatalthrow)", _GO),
    (
        r"(?:std::|cxxabiv1::_*)?terminate|std_terminate|scrt_unhandled_exception_filter|"
        r"std::_Xterminate|cxa_throw_bad_array_new_length",
        _TERMINATE,
    ),
    (r"(?:GI_)?(?:abort|raise)|gsignal|pthread_kill\w*|abort_message", _ABORT),
)
"""Names without their leading underscores, which C compilers and our readers add or drop."""

_HELPERS: Final = (
    r"RaiseException|CxxThrowException|cxa_(?:re)?throw|mem(?:cpy|move|set)\w*|str\w*cpy\w*|"
    r"strlen\w*|intel_\w+|operator (?:new|delete)(?:\[\])?|RtlRaiseException|RtlFailFast\w*|"
    r"RtlUserThreadStart|KiUser\w+|chkstk\w*|DbgBreakPoint|DebugBreak|debugbreak|rust_\w+|"
    r"Unwind_\w+|restore_rt|kernel_\w+|sigtramp|GI_\w+|std::rethrow_exception|"
    r"core::(?:panicking|option|result)::\w+|std::panicking::[\w:]+"
)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], EndReason], ...]:
    return tuple((re.compile(f"(?:{pattern})$"), reason) for pattern, reason in _REASONS)


@cache
def _system() -> re.Pattern[str]:
    return re.compile(_SYSTEM)


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
    bare = function.split("<", 1)[0].lstrip("_")
    return next((reason for pattern, reason in _patterns() if pattern.match(bare)), None)


def is_helper(function: str) -> bool:
    """Tell whether *function* only carries out what its caller asked for: never to blame."""
    bare = function.lstrip("_")
    return end_reason(function) is not None or _helpers().match(bare) is not None
