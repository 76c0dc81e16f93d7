"""Every ``?`` and ``.formats`` of the reference transcripts that needs no target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polydbg.base.errors import ExpressionError, MemoryReadError
from polydbg.expr.evaluator import evaluate
from polydbg.expr.formats import formats_lines, value_line

_PROMPT = re.compile(r"^\S*\d:\d{3}(?::\w+)?> ?(.*)$")
_NEEDS_TARGET = re.compile(r"@|`|\b(?:order|price_order|g_order_count|sizeof|nt)\b")


class NoTarget:
    """A context without registers, symbols and memory."""

    radix = 16
    pointer_size = 8

    def register(self, name: str) -> int | None:
        return None

    def pseudo_register(self, name: str) -> int | None:
        return None

    def symbol(self, name: str) -> int | None:
        return None

    def source_line(self, text: str) -> int | None:
        return None

    def read_memory(self, address: int, size: int) -> bytes:
        raise MemoryReadError(address)

    def module_entry(self, base: int) -> int | None:
        return None


def today(line: str) -> str:
    """Rewrite what the engine of 2017 printed for floats in today's shape."""
    line = re.sub(r"(e[+-])0(\d\d)\b", r"\1\2", line)
    return line.replace("-1.#IND", "-nan(ind)").replace("1.#INF", "inf")


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """Return each command of a transcript with the lines printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        prompt = _PROMPT.match(line)
        if prompt:
            found.append((prompt[1], []))
        elif found and not line.startswith("[oracle: "):
            found[-1][1].append(line)
    return found


def answer(command: str, context: NoTarget) -> list[str] | None:
    """Return our output for *command*, ``None`` when it is not one for this test."""
    name, _, text = command.partition(" ")
    if name == "n":
        if text:
            context.radix = int(text)
        return None
    if name not in ("?", ".formats") or _NEEDS_TARGET.search(text):
        return None
    try:
        if name == "?":
            return [value_line(evaluate(text, context), context.pointer_size)]
        return ["Evaluate expression:", *formats_lines(evaluate(text, context), 8)]
    except ExpressionError as error:
        return [error.message]


@pytest.mark.corpus
def test_expressions_print_what_windbg_prints(data_dir: Path) -> None:
    compared = 0
    for path in sorted((data_dir / "windbg-transcripts").rglob("*.txt")):
        context = NoTarget()
        for command, lines in commands(path):
            ours = answer(command, context)
            if ours is not None:
                assert ours == [today(line) for line in lines], f"{path.name}: {command}"
                compared += 1
    assert compared >= 25
