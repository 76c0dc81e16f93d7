"""The language of ``dx``: expressions made of its tokens, evaluated on the practice dump.

A byte of the input is a token. Queries that would not end are stopped after some polls, as a user
would do it: what must not happen is a fault, or work between two polls.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from polydbg.base.cancel import Cancelled, CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import joined
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

_WORDS = (
    " ", "(", ")", "[", "]", "{", "}", ",", ".", "->", "=>", "=", "==", "<", "+", "-", "*", "&",
    "!", "?", ":", "x", "y", "x => ", "(x, y) => ", "new { A = ", "new {", '"a"', '"', "'b'", "0",
    "1", "2u", "0x10", "1.5", "order", "shop", "prices", "@rsp", "@$t0", "@$v", "@$v = ",
    "@$curprocess", "@$curthread", "@$curstack", "@$curframe", "@$vars", "Debugger", ".Threads",
    ".Modules", ".Stack", ".Frames", ".LocalVariables", ".Parameters", ".Attributes",
    ".Registers", ".Environment", ".Name", ".Id", ".Length", ".State", ".Utility.Collections",
    ".Where(", ".Select(", ".SelectMany(", ".Flatten(", ".OrderBy(", ".GroupBy(", ".Join(",
    ".Union(", ".Except(", ".Concat(", ".Distinct()", ".Contains(", ".Take(", ".Skip(",
    ".TakeWhile(", ".First()", ".Last()", ".Single()", ".Count()", ".Sum()", ".Min()", ".Max()",
    ".Any(", ".All(", ".Aggregate(", ".SequenceEqual(", ".AllNonError()", ".Reverse()",
    ".ToDisplayString(", ".ToUpper()", ".Substring(", ".PadLeft(", ".Replace(", ".id", ".lines",
    "(int)", "(char *)", "(practice!order *)", "sizeof(", ",x", ",5", ",!", ",nd", ",[2]", ",su",
    "practice!", "é", "\x00", ".FromListEntry(", ".Remove(", ",-1", ",0xffffffffffffffff",
)  # fmt: skip
_FLAGS = ("", "-r2 ", "-r9 ", "-v ", "-g ", "-gc 4 ", "-c 2 ", "-n ", "-h ", "-s ")
_MAX_TOKENS = 200
_MAX_POLLS = 2000
_MAX_ITEMS = 2000


class _Polled(CancelToken):
    """Stops what polls it for long."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _MAX_POLLS

    def check(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cancelled


@cache
def _session() -> Session:
    session = Session()
    folder = resources.files("polydbg") / "demo"
    session.settings.offline = True
    session.settings.symbol_path = SymbolPath.parse(str(folder))
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(folder / "practice.dmp"))
    return session


def expression_of(data: bytes) -> str:
    return "".join(_WORDS[byte % len(_WORDS)] for byte in data[1:_MAX_TOKENS])


def read_model(data: bytes) -> None:
    session = _session()
    session.model_variables.clear()
    session.current.scope.frame = 2
    interpreter = Interpreter(session, _Polled(), lambda text, done, total: None)
    flags = _FLAGS[data[0] % len(_FLAGS)] if data else ""
    try:
        for number, item in enumerate(interpreter.run(f"dx {flags}{expression_of(data)}")):
            joined([item])
            if number > _MAX_ITEMS:
                break
    except Cancelled:
        return


_SEEDS = (
    ("@$curprocess", ".Threads", ".Select(", "x => ", "x", ".Stack", ".Frames", ".Count()", ")"),
    ("order", ",5"),
    ("*", "order", ",!"),
    ("@$curstack", ".Frames", ".Where(", "x => ", "x", ".Parameters", ".id", "==", "1", ")"),
    ("(", "(x, y) => ", "x", "+", "y", ")", "(", "1", ",", "2u", ")"),
    ("new { A = ", "1", ",", "x", "=", '"a"', "}", ".A"),
    ("@$v = ", "x => ", "@$v", "(", "x", ")"),
)


def model_seeds() -> list[bytes]:
    known = {word: index for index, word in enumerate(_WORDS)}
    return [bytes([1, *(known.get(word, 0) for word in words)]) for words in _SEEDS]
