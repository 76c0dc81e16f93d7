"""C++ and MASM expressions made of tokens, evaluated over the practice dump with its symbols."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from probing import attempt

from polydbg.engine.session import Session
from polydbg.expr import evaluator as masm
from polydbg.expr.cpp.evaluator import evaluate, evaluate_number
from polydbg.symbols.store.path import SymbolPath

_WORDS = (
    "(", ")", "[", "]", "{", "}", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "=",
    "?", ":", ",", ".", "->", ".*", "->*", "::", "<<", ">>", "&&", "||", "==", "!=", "++", "--",
    "+=", "<<=", " ", "0", "1", "2", "0x10", "0n5", "1.5", "1e300", ".5f", "0.1L", "7`12345678",
    "18446744073709551615", "'a'", "L'b'", "'", '"s"', '"', "\\", "true", "nullptr", "sizeof",
    "sizeof(", "int", "(int)", "(char *)", "unsigned ", "long ", "double", "const ", "struct ",
    "static_cast<", "dynamic_cast<", "order", "(order *)", "pending", "practice!pending", "next",
    "id", "main", "practice!", "this", "x@1", "std::vector<int>", "a<b>", "@rsp", "@$t0", "@$teb",
    "@@(", "@@c++(", "@@masm(", "poi(", "#FIELD_OFFSET(", "#CONTAINING_RECORD(", "//", "é", "\x00",
)  # fmt: skip
_MAX_TOKENS = 300


@lru_cache(maxsize=1)
def _session() -> Session:
    session = Session()
    folder = str(resources.files("polydbg") / "demo")
    session.settings.offline = True
    session.settings.symbol_path = SymbolPath.parse(folder)
    session.settings.image_path = SymbolPath.parse(folder)
    session.open_dump(str(resources.files("polydbg") / "demo" / "practice.dmp"))
    return session


def read_expression(data: bytes) -> None:
    text = "".join(_WORDS[byte % len(_WORDS)] for byte in data[:_MAX_TOKENS])
    context = _session().evaluator
    attempt(
        lambda: evaluate(text, context.cpp_scope),
        lambda: evaluate_number(text, 0, context.cpp_scope),
        lambda: masm.evaluate(text, context),
    )


def expression_seeds() -> list[bytes]:
    return [
        _tokens("pending", "->", "next", "->", "id", "+", "1", "*", "2"),
        _tokens("(order *)", "@rsp", "?", "sizeof(", "int", ")", ":", "1.5", ",", "0.1L"),
        _tokens("static_cast<", "order", "*", ">", "(", "0", ")", "&&", "!", "main"),
        _tokens("#FIELD_OFFSET(", "order", ",", "next", ")", "<<", "2", "|", "@@masm(", "1", ")"),
        _tokens("pending", "=", "pending", "[", "1", "]", ".", "next", "++"),
        _tokens("std::vector<int>", "::", "id", "<", "a<b>", "(", "'a'", ")"),
        _tokens(*["("] * 100, "1", *[")"] * 100),
        _tokens(*["-", "(int)"] * 100, "1"),
    ]


def _tokens(*words: str) -> bytes:
    return bytes(_WORDS.index(word) for word in words)
