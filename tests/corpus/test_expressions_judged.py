"""Random C++ expressions, judged by compilers: type and value, for several data models.

Hypothesis makes a batch of expressions; each compiler is run once for all of them, and its
constants are read from what it generates, so that no program of another system needs to run.
Overflow of signed numbers wraps there (``-fwrapv``) as it does here; what is undefined otherwise is
left out.
"""

from __future__ import annotations

import math
import re
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from polydbg.base.errors import ExpressionError
from polydbg.expr.cpp.arithmetic import arithmetic_types
from polydbg.expr.cpp.evaluator import evaluate
from polydbg.types.data_model import DataModel, data_model
from polydbg.types.model import Type
from polydbg.types.place import constant
from polydbg.types.scalars import number_of
from polydbg.types.value import Surroundings, Value

pytestmark = pytest.mark.corpus

BATCH = 500
TYPES = (
    *("bool", "char", "signed char", "unsigned char", "short", "unsigned short", "int"),
    *("unsigned int", "long", "unsigned long", "long long", "unsigned long long"),
    *("wchar_t", "char16_t", "char32_t", "float", "double"),
)
INTEGERS = TYPES[:-2]
VARIABLES = {f"v{index}": type_ for index, type_ in enumerate(INTEGERS)}
VALUES = (1, 97, -7, 200, -300, 65000, -5, 4_000_000_000, -123456, 7, -9, 1 << 63, 0x3B1, 65535, 2)
TARGETS = [
    ("g++", "", "amd64", "linux", 8),
    ("x86_64-w64-mingw32-g++", "", "amd64", "windows", 8),
    ("clang++-19", "x86_64-pc-windows-msvc", "amd64", "windows", 8),
    ("clang++-19", "aarch64-linux-gnu", "arm64", "linux", 8),
    ("clang++-19", "i686-linux-gnu", "x86", "linux", 4),
]
_IR = re.compile(r"@r(\d+) = .*?\[2 x i64\] \[i64 (\d+), i64 (-?\d+)\]")
_ASSEMBLY = re.compile(
    r"^_?r(\d+):\s+\.quad\s+(\d+)\s+\.(?:quad\s+(-?\d+)|zero\s+8|space\s+8)", re.MULTILINE
)

# -- expressions -------------------------------------------------------------------------------

_numbers = st.sampled_from(
    [
        *(0, 1, 2, 3, 5, 7, 10, 31, 100, 127, 128, 255, 256, 32767, 65535, 65536, 2147483647),
        *(2147483648, 4294967295, 4294967296, 9223372036854775807),
    ]
)
_suffixes = st.sampled_from(["", "", "", "u", "L", "UL", "ll", "ull"])
_floats = st.sampled_from(["0.5", "1.5f", "3.0", "1e3", "2.75", "100.25f", "1e-3", ".1", "7.f"])


def _literal(number: int, suffix: str, *, hexadecimal: bool) -> str:
    if suffix in ("", "L", "ll") and number >= 1 << 63:
        suffix = "ull"
    return f"{number:#x}{suffix}" if hexadecimal else f"{number}{suffix}"


_leaves = st.one_of(
    st.builds(_literal, _numbers, _suffixes, hexadecimal=st.booleans()),
    st.sampled_from(["'a'", "'\\n'", "'\\xff'", "L'z'", "u'z'", "true", "false", "0777"]),
    st.sampled_from(sorted(VARIABLES)),
    st.sampled_from([f"sizeof({each})" for each in TYPES]),
)
_BINARY = ("+", "-", "*", "/", "%", "&", "|", "^", "<", ">", "<=", ">=", "==", "!=", "&&", "||")
_FLOAT_BINARY = ("+", "-", "*", "/", "<", ">=", "==", "&&")


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouped = st.builds("({})".format, inner)
    either = st.one_of(inner, grouped)
    real = st.one_of(_floats, grouped)
    return st.one_of(
        st.builds("{} {} {}".format, either, st.sampled_from(_BINARY), either),
        st.builds("{} {} {}".format, either, st.sampled_from(_BINARY), either),
        st.builds("(({}) {} {})".format, inner, st.sampled_from(["<<", ">>"]), st.integers(0, 31)),
        st.builds("{}{}".format, st.sampled_from(["-", "+", "~", "!"]), grouped),
        st.builds("({})({})".format, st.sampled_from(INTEGERS), inner),
        st.builds("static_cast<{}>({})".format, st.sampled_from(TYPES[:-2]), inner),
        st.builds("({} ? {} : {})".format, grouped, either, either),
        st.builds("sizeof({})".format, grouped),
        st.builds("({}, {})".format, inner, inner),
        st.builds(
            "({})({} {} {})".format,
            st.sampled_from(INTEGERS),
            real,
            st.sampled_from(_FLOAT_BINARY),
            real,
        ),
    )


EXPRESSIONS = st.one_of(
    st.recursive(_leaves, _grown, max_leaves=12),
    st.builds(
        "({}) {} {}({})".format,
        st.recursive(_leaves, _grown, max_leaves=6),
        st.sampled_from(_FLOAT_BINARY),
        st.sampled_from(["(float)", "(double)", "-(float)", "0.25f + "]),
        st.recursive(_leaves, _grown, max_leaves=6),
    ),
)


# -- the two sides -----------------------------------------------------------------------------


class _Names:
    """A context of the variables above, and nothing else."""

    def __init__(self, model: DataModel) -> None:
        self.model = model
        self.around = Surroundings(None, model, lambda origin: None)  # type: ignore[arg-type]
        types = arithmetic_types(model)
        self._values = {}
        for (name, type_), number in zip(VARIABLES.items(), VALUES, strict=False):
            of = types.named(type_)
            data = (int(of.converted(number)) & (1 << of.bits) - 1).to_bytes(of.size, "little")
            self._values[name] = Value(of, constant(data), self.around)

    def variable(self, name: str) -> Value | None:
        return self._values.get(name)

    def type_named(self, name: str) -> Type | None:
        return None

    def is_type_name(self, name: str) -> bool:
        return False

    def register(self, name: str) -> int | None:
        return None

    def pseudo_register(self, name: str) -> Value | int | None:
        return None

    def evaluate_masm(self, text: str) -> int:
        raise AssertionError

    def write(self, value: Value, data: bytes) -> None:
        raise AssertionError


def _ours(expressions: list[str], model: DataModel) -> dict[int, tuple[str, int]]:
    """Return type and value of each expression that has no undefined behaviour."""
    context = _Names(model)
    spelled = {arithmetic_types(model).named(each).name: each for each in TYPES}
    found = {}
    for index, text in enumerate(expressions):
        try:
            value = evaluate(text, context)
        except ExpressionError as error:
            if "division" not in error.hint and "does not hold" not in error.hint:
                raise AssertionError(text) from error
            continue
        number = number_of(value)
        if isinstance(number, float):
            if not math.isfinite(number):
                continue
            (number,) = struct.unpack("<q", struct.pack("<d", number))
        assert isinstance(number, int)
        wrapped = number & (1 << 64) - 1
        found[index] = (spelled[value.type.name], wrapped - ((wrapped >> 63) << 64))
    return found


def _source(expressions: dict[int, str]) -> str:
    lines = []
    for code, type_ in enumerate(TYPES, 1):
        lines.append(f"constexpr int code({type_}) {{ return {code}; }}")
        real = type_ in ("float", "double")
        bits = "__builtin_bit_cast(long long, (double)e)" if real else "(long long)e"
        lines.append(f"constexpr long long bits({type_} e) {{ return {bits}; }}")
    lines += [
        f"constexpr {type_} {name} = ({type_}){number}{'ull' if number >= 1 << 63 else ''};"
        for (name, type_), number in zip(VARIABLES.items(), VALUES, strict=False)
    ]
    for index, text in expressions.items():
        # Some are no constants to the standard (overflow): the optimizer makes them such.
        lines.append(f'extern "C" const long long r{index}[2] = {{ code({text}), bits({text}) }};')
    return "\n".join(lines)


def _judged(
    compiler: str, target: str, expressions: dict[int, str], folder: Path
) -> dict[int, tuple[str, int]]:
    """Return type and value of each expression as a compiler has them."""
    source, output = folder / "judged.cpp", folder / "judged.s"
    source.write_text(_source(expressions))
    flags = ["-std=c++17", "-w", "-O2", "-fwrapv", "-fpermissive", "-ffp-contract=off"]
    if target:
        flags = ["-std=c++17", "-w", "-O2", "-fwrapv", f"--target={target}", "-emit-llvm"]
    command = [compiler, *flags, "-S", "-o", str(output), str(source)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[:4000]
    found = {}
    for match in (_IR if target else _ASSEMBLY).finditer(output.read_text()):
        found[int(match[1])] = (TYPES[int(match[2]) - 1], int(match[3] or 0))
    return found


def _batch(strategy: st.SearchStrategy[str], count: int) -> list[str]:
    """Return *count* examples, always the same ones."""
    made: list[str] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(text: str) -> None:
        made.append(text)

    collect()
    return made


# -- long double -------------------------------------------------------------------------------

_LONGS = st.one_of(
    st.sampled_from(["1.1L", "3.0L", "1e4000L", "0.1L", "7.L", "1e-4940L", "0.3", "2.5f"]),
    st.sampled_from(["10", "-3", "9223372036854775807", "18446744073709551615ull", "(0.1L+0.2L)"]),
)
LONG_EXPRESSIONS = st.recursive(
    _LONGS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("(-{} * 1.0L)".format, inner),
        st.builds("((long double){} / {})".format, inner, inner),
        st.builds("((double){} + 0.1L)".format, inner),
    ),
    max_leaves=8,
)
_LONG_IR = re.compile(r"@r(\d+) = .*?(?:x86_fp80 0xK|fp128 0xL)([0-9A-F]+)")


@pytest.mark.parametrize(
    ("triple", "arch"), [("x86_64-linux-gnu", "amd64"), ("aarch64-linux-gnu", "arm64")]
)
def test_long_double_is_exact(triple: str, arch: str, tmp_path: Path) -> None:
    if shutil.which("clang++-19") is None:
        pytest.skip("clang++-19 is not installed")
    expressions = [f"{text} + 0.0L" for text in _batch(LONG_EXPRESSIONS, BATCH)]
    context = _Names(data_model(arch, "linux", 8))
    ours = {}
    for index, text in enumerate(expressions):
        with suppress(ExpressionError):
            ours[index] = evaluate(text, context).bytes()
    assert len(ours) > BATCH * 2 // 3
    source, output = tmp_path / "long.cpp", tmp_path / "long.ll"
    source.write_text(
        "\n".join(f'extern "C" const long double r{at} = {expressions[at]};' for at in ours)
    )
    command = ["clang++-19", "-w", "-O2", "-fwrapv", f"--target={triple}", "-S", "-emit-llvm"]
    subprocess.run([*command, "-o", str(output), str(source)], check=True, timeout=300)
    judged = 0
    for match in _LONG_IR.finditer(output.read_text()):
        text, digits = expressions[int(match[1])], match[2]
        # Halves of binary128 are printed the low one first.
        digits = digits if arch == "amd64" else digits[16:] + digits[:16]
        theirs = int(digits, 16).to_bytes(len(digits) // 2, "little")
        mine = ours[int(match[1])][: len(theirs)]
        nothing = int.from_bytes(mine, "little") == 0 and theirs[:-1].strip(b"\0") == b""
        is_nan = bytes((mine[-2], mine[-1] & 0x7F)) == b"\xff\x7f" and "F" in digits
        assert mine == theirs or nothing or is_nan, (text, mine.hex(), theirs.hex())
        judged += 1
    assert judged > len(ours) * 2 // 3


def _target_id(target: tuple[str, str, str, str, int]) -> str:
    return f"{target[0]}-{target[1] or target[3]}"


@pytest.mark.parametrize("target", TARGETS, ids=_target_id)
def test_compilers_agree(target: tuple[str, str, str, str, int], tmp_path: Path) -> None:
    compiler, triple, arch, platform, pointer_size = target
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    expressions = _batch(EXPRESSIONS, BATCH)
    ours = _ours(expressions, data_model(arch, platform, pointer_size))
    assert len(ours) > BATCH * 2 // 3
    theirs = _judged(compiler, triple, {index: expressions[index] for index in ours}, tmp_path)
    assert len(theirs) > len(ours) * 9 // 10
    wrong = [
        (expressions[index], ours[index], judged)
        for index, judged in theirs.items()
        if ours[index] != judged
    ]
    assert not wrong, wrong[:10]
