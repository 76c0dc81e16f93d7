"""The shape of the code: sizes, docstrings, nothing left for later, no I/O among the formats."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "polydbg"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAX_LINES = 600
MAX_FUNCTION_LINES = 60
IO_BUILTINS = {"open", "print", "input", "exec", "eval"}


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        first = function.body[0]
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_modules_say_what_they_know() -> None:
    assert MODULES
    silent = [_name(path) for path in MODULES if not ast.get_docstring(_tree(path))]
    assert not silent, f"modules without a docstring: {silent}"


def test_modules_are_short() -> None:
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert not long, f"split along a seam: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{_name(path)}:{node.lineno} {node.name}: {_code_lines(node)} lines"
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _code_lines(node) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    found = [_name(path) for path in MODULES if marks.search(path.read_text("utf-8"))]
    assert not found, f"left for later in {found}"


def test_formats_do_no_io() -> None:
    """What import-linter cannot see: calls of builtins."""
    found = [
        f"{_name(path)}:{node.lineno} calls {node.func.id}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] in ("formats", "arch")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in IO_BUILTINS
    ]
    assert not found, "\n".join(found)


def test_every_layer_is_tested() -> None:
    """Some test imports from each layer that has code."""
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    layers = {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}
    empty = {layer for layer in layers if len(list((PACKAGE / layer).rglob("*.py"))) == 1}
    untested = [
        layer
        for layer in sorted(layers - empty)
        if not re.search(rf"from polydbg\.{layer}\b|import polydbg\.{layer}\b", tests)
    ]
    assert not untested, f"no test imports from {untested}"
