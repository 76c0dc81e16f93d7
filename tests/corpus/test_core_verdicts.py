"""Verdicts on ELF cores that gdb writes of programs that end in ways known before.

The crashes are those of :mod:`test_lldb_minidumps`; a core holds what lldb's minidumps lack, the
signal's own record. The endings are those of C++ and of the C library's checks, in a program with
debug information, in one without names and in a static one: what was thrown is found by memory
alone, so that the verdict is the same.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from polydbg.engine.analysis.analyze import analyze
from polydbg.engine.analysis.model import Analysis, Confidence
from polydbg.engine.session import Session

pytestmark = pytest.mark.peer

PROGRAMS = Path(__file__).parent / "programs"
CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE

CRASHES = {
    "null-read": ("NULL_POINTER_READ", CERTAIN),
    "null-call": ("NULL_POINTER_EXECUTE", CERTAIN),
    "null-thread": ("NULL_POINTER_WRITE", CERTAIN),
    "large-null": ("NULL_POINTER_READ", LIKELY),
    "below-null": ("NULL_POINTER_READ", LIKELY),
    "small": ("NULL_POINTER_READ", LIKELY),
    "text": ("INVALID_POINTER_READ", LIKELY),
    "non-canonical": ("INVALID_POINTER_WRITE", CERTAIN),
    "system": ("INVALID_POINTER_READ", CERTAIN),
    "freed": ("INVALID_POINTER_READ_FILL_PATTERN_dddddddd", LIKELY),
    "unmapped": ("INVALID_POINTER_READ", CERTAIN),
    "no-access": ("INVALID_POINTER_READ", LIKELY),  # gdb's cores let all memory be read
    "page-write": ("READ_ONLY_WRITE", CERTAIN),
    "constant-write": ("READ_ONLY_WRITE", CERTAIN),
    "past-file": ("IN_PAGE_ERROR", LIKELY),
    "push": ("STACK_OVERFLOW", LIKELY),
    "endless-thread": ("STACK_OVERFLOW", LIKELY),
    "wild-call": ("INVALID_POINTER_EXECUTE", CERTAIN),
    "text-call": ("INVALID_POINTER_EXECUTE", CERTAIN),
    "data-call": ("SOFTWARE_NX_FAULT", CERTAIN),
    "stack-call": ("SOFTWARE_NX_FAULT", CERTAIN),
    "text-return": ("INVALID_POINTER_EXECUTE", CERTAIN),
    "null-return": ("NULL_POINTER_EXECUTE", LIKELY),
    "zero": ("INTEGER_DIVIDE_BY_ZERO", CERTAIN),
    "quotient": ("INTEGER_DIVIDE_OVERFLOW", CERTAIN),
    "float": ("FLOAT_FAULT", CERTAIN),
    "trap": ("ILLEGAL_INSTRUCTION", LIKELY),
    "bad-code": ("ILLEGAL_INSTRUCTION", POSSIBLE),
    "hlt": ("PRIVILEGED_INSTRUCTION", CERTAIN),
    "int3": ("BREAKPOINT", LIKELY),
    "movaps": ("DATATYPE_MISALIGNMENT", CERTAIN),
    "alignment": ("DATATYPE_MISALIGNMENT", CERTAIN),
    "raise": ("TERMINATED", LIKELY),
    "kill": ("TERMINATED", LIKELY),
    "kill-fpe": ("TERMINATED", LIKELY),
}
ENDINGS = {
    # kind: problem class, and what the summary says with names and without
    "runtime": ("CPP_TERMINATE", 'type std::runtime_error was not caught, what() is "no cage 42"'),
    "long": ("CPP_TERMINATE", "yyy..."),
    "empty": ("CPP_TERMINATE", "type std::runtime_error was not caught"),
    "gate": ("CPP_TERMINATE", 'type park::Gate was not caught, its std::logic_error holds "gate'),
    "own": ("CPP_TERMINATE", "type park::Own was not caught"),
    "int": ("CPP_TERMINATE", "type int was not caught, its value is 42"),
    "text": ("CPP_TERMINATE", 'type char const* was not caught, its text is "words"'),
    "plain": ("CPP_TERMINATE", "type Plain was not caught"),
    "box": ("CPP_TERMINATE", "type park::Box<std::vector<int, std::allocator<int> > > was"),
    "pointer": ("CPP_TERMINATE", "type std::runtime_error* was not caught"),
    "system": ("CPP_TERMINATE", 'what() is "opening: No such file or directory"'),
    "bad-alloc": ("CPP_TERMINATE", "type std::bad_alloc was not caught"),
    "at": ("CPP_TERMINATE", 'what() is "vector::_M_range_check: __n (which is 3)'),
    "noexcept": ("CPP_TERMINATE", "std::out_of_range left a function that may not throw"),
    "function": ("CPP_TERMINATE", "type std::bad_function_call was not caught"),
    "thread": ("CPP_TERMINATE", 'what() is "in a thread"'),
    "rethrow": ("CPP_TERMINATE", 'what() is "again"'),
    "stored": ("CPP_TERMINATE", 'what() is "again"'),
    "caught": ("CPP_TERMINATE", "std::terminate"),
    "nothing": ("CPP_TERMINATE", "or there was none to throw on"),
    "terminate": ("CPP_TERMINATE", "std::terminate"),
    "handling": ("ABORT", "the program called abort"),
    "assert": ("ASSERTION", 'an assertion of the program failed: zero && "never zero"'),
    "abort": ("ABORT", "the program called abort"),
    "double": ("DOUBLE_FREE", "memory was freed that had been freed before"),
    "invalid": ("HEAP_CORRUPTION", "what was freed is no block of the heap"),
    "overrun": ("HEAP_CORRUPTION", "what was freed is no block of the heap"),
    "kill": ("ABORT", "the program sent itself the signal (kill)"),
    "raise": ("ABORT", "the program sent the signal to itself (raise)"),
    "quit": ("TERMINATED", "something that was not a fault ended the program"),
}
NAMED_ENDINGS = {
    # With debug information: also the function to blame
    "runtime": ("CPP_TERMINATE", "not caught", "exceptions"),
    "noexcept": ("CPP_TERMINATE", "may not throw", "quiet"),
    "at": ("CPP_TERMINATE", "not caught", "exceptions"),
    "function": ("CPP_TERMINATE", "not caught", "exceptions"),
    "joinable": ("CPP_TERMINATE", "a std::thread was destroyed", "handlers"),
    "caught": ("CPP_TERMINATE", "no exception led there", "handlers"),
    "terminate": ("CPP_TERMINATE", "no exception led there", "handlers"),
    "pure": ("PURE_VIRTUAL_CALL", "pure virtual", "Base::call"),
    "assert": ("ASSERTION", "assertion", "checks"),
    "abort": ("ABORT", "called abort", "checks"),
    "double": ("DOUBLE_FREE", "freed before", "checks"),
    "overrun": ("HEAP_CORRUPTION", "no block", "checks"),
    "smash": ("STACK_BUFFER_OVERRUN", "stack frame overwritten", "smash"),
    "fortify": ("STACK_BUFFER_OVERRUN", "stack frame overwritten", "fortify"),
    "handled": ("NULL_POINTER_WRITE", "null pointer was used to write", "checks"),
}
PANICS = {
    # kind: problem class, summary, function to blame
    "text": ("RUST_PANIC", '"constant words"', "panics::main"),
    "format": ("RUST_PANIC", '"number 6 and more"', "panics::main"),
    "unwrap": ("RUST_PANIC", "called `Option::unwrap()` on a `None` value", "panics::main"),
    "expect": ("RUST_PANIC", "wanted a number: ", "panics::main"),
    "index": ("RUST_PANIC", "the len is 2 but the index is 7", "panics::main"),
    "zero": ("RUST_PANIC", '"attempt to divide by zero"', "panics::main"),
    "any": ("RUST_PANIC", "Rust code panicked", "panics::main"),
    "string": ("RUST_PANIC", '"owned words"', "panics::main"),
    "thread": ("RUST_PANIC", '"in a thread"', "panics::main::{{closure}}"),
    "abort": ("ABORT", "the program called abort", "panics::main"),
    "deep": ("STACK_OVERFLOW", "recursion: panics!panics::deep", "panics::deep"),
    "alloc": ("OUT_OF_MEMORY", "got no memory", "panics::main"),
}
_VARIANTS = {
    "named": ("-g", "-O0"),
    "stripped": ("-s", "-O2", "-D_FORTIFY_SOURCE=2"),
    "static": ("-g", "-O1", "-static"),
}
_FEW = ("runtime", "gate", "int", "noexcept", "rethrow", "stored", "caught", "assert", "double")
"""What is tried in programs without names and in static ones: each core takes gdb half a second."""
_ENDED = [
    (variant, kind) for variant in _VARIANTS for kind in (ENDINGS if variant == "named" else _FEW)
]


class Program(msgspec.Struct, frozen=True):
    """A program and where its cores are, by kind."""

    path: Path
    cores: dict[str, Path]

    def analysis(self, kind: str) -> Analysis:
        session = Session()
        try:
            return analyze(session, session.open_dump(str(self.cores[kind])))
        finally:
            session.close()


def _cores(program: Path, kinds: Sequence[str], *before: str) -> Program:
    """Run *program* in all ways under one gdb, with commands before all."""
    commands = ["set debuginfod enabled off", "set startup-with-shell off", *before]
    cores = {kind: program.parent / f"{program.name}-{kind}.core" for kind in kinds}
    for kind, core in cores.items():
        commands += [f"set args {kind}", "run", f"generate-core-file {core}", "kill"]
    arguments = [word for command in commands for word in ("-ex", command)]
    subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *arguments, str(program)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    missing = [kind for kind, core in cores.items() if not core.exists()]
    assert not missing, "gdb wrote no core"
    return Program(program, cores)


def _built(folder: Path, name: str, source: str, *flags: str) -> Path:
    compiler = shutil.which("g++" if source.endswith(".cpp") else "clang-19")
    if compiler is None or shutil.which("gdb") is None:
        pytest.skip("needs GCC, clang-19 and gdb")
    program = folder / name
    common = ["-w", "-pthread", "-fPIE", "-pie" if "-static" not in flags else "-static"]
    subprocess.run(
        [compiler, *common, *flags, "-o", str(program), str(PROGRAMS / source)], check=True
    )
    return program


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("crashes")
    flags = ("-g", "-O0", "-fno-stack-protector")
    return _cores(_built(folder, "crashes", "crashes.c", *flags), list(CRASHES))


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    folder = tmp_path_factory.mktemp("endings")
    programs = {}
    for variant, flags in _VARIANTS.items():
        kinds = dict.fromkeys([*ENDINGS, *NAMED_ENDINGS] if variant == "named" else _FEW)
        built = _built(folder, variant, "endings.cpp", *flags, "-fstack-protector-strong")
        programs[variant] = _cores(built, list(kinds))
    yield programs
    for program in programs.values():
        for core in program.cores.values():
            core.unlink()


@pytest.fixture(scope="module")
def panics(tmp_path_factory: pytest.TempPathFactory) -> Program:
    if shutil.which("rustc") is None or shutil.which("gdb") is None:
        pytest.skip("needs rustc and gdb")
    program = tmp_path_factory.mktemp("panics") / "panics"
    flags = ["-g", "-C", "panic=abort", "-A", "warnings", "-o", str(program)]
    subprocess.run(["rustc", *flags, str(PROGRAMS / "panics.rs")], check=True)
    # Rust's handler of a used up stack is to have the signal.
    return _cores(program, list(PANICS), "handle SIGSEGV nostop noprint pass")


@pytest.mark.parametrize("kind", CRASHES)
def test_crashes(crashes: Program, kind: str) -> None:
    found = crashes.analysis(kind)
    assert (found.verdict.problem_class, found.verdict.confidence) == CRASHES[kind]
    assert "unknown!unknown" not in found.bucket


@pytest.mark.parametrize(("variant", "kind"), _ENDED)
def test_endings(endings: dict[str, Program], kind: str, variant: str) -> None:
    problem, words = ENDINGS[kind]
    found = endings[variant].analysis(kind)
    assert found.verdict.problem_class == problem
    assert words in found.verdict.summary
    assert found.verdict.confidence is CERTAIN
    assert found.blame is not None
    module = found.blame.frame.place.module
    assert module == variant


@pytest.mark.parametrize("kind", NAMED_ENDINGS)
def test_endings_with_names(endings: dict[str, Program], kind: str) -> None:
    problem, words, function = NAMED_ENDINGS[kind]
    found = endings["named"].analysis(kind)
    assert found.verdict.problem_class == problem
    assert words in found.verdict.summary
    assert found.bucket.endswith(f"_named!{function}")


def test_what_was_caught_before_is_not_taken_for_what_ended_the_program(
    endings: dict[str, Program],
) -> None:
    for variant in _VARIANTS:
        assert "runtime_error" not in endings[variant].analysis("caught").verdict.summary


@pytest.mark.parametrize("kind", PANICS)
def test_panics(panics: Program, kind: str) -> None:
    problem, words, function = PANICS[kind]
    found = panics.analysis(kind)
    assert found.verdict.problem_class == problem
    assert words in found.verdict.summary
    assert found.verdict.confidence is CERTAIN
    assert found.bucket.endswith(f"_panics!{function}")
