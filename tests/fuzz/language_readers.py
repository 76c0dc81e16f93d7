"""The command language's reader: lines made of its tokens, in any order, nested as they come.

A byte of the input is a token, so that a mutation is one too; only tokens that change nothing
outside the session are there. Lines that would not end are stopped after some polls, as a user
would do it: what must not happen is a fault, or work between two polls.
"""

from __future__ import annotations

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.commands.language import Interpreter
from polydbg.commands.output import joined
from polydbg.engine.session import Session

_WORDS = (
    " ", ";", "(", ")", "{", "}", '"', "'", "\\", '\\"', ",", "`", "\n", "\t", "*", "$$ ", "0", "1",
    "2", "@$t0", "@$t1", "+", "-", "<", "==", "%", "poi(", "a", "b", "x", "$u1", "${", "${a}",
    "${/f:a}", "${/d:b}", "${/n:a}", "${/v:a}", "${${a}}", "as a ", "as b ", "aS a ", "aS /x b ",
    "as /c a ", "ad a", "ad *", "ad /q b", "al", ".block {", ".if (", ".elsif (", ".else {",
    ".while (", ".do {", ".for (", ".foreach (a {", ".foreach /s (a \"",
    ".foreach /pS 1 /ps 1 (b {",
    ".break", ".continue", ".catch {", ".leave", "j ", "z(", ".echo ", ".printf \"", "%d", "%y",
    "%ma", "%", "\\n", "r $t0 = ", "r $t1 = @$t1 + 1", "r $.u1 = ", "? ", "!list -t a.b -x \"",
    "!for_each_frame ", "!for_each_thread ", "!for_each_register -c:", "!for_each_module ", "~*e ",
    "~0 ", "@@c++(", "@@masm(", "k", "é", "\x00", "0n", "0x", "${$arg1}", "!py ", "!!x", ".shell x",
)  # fmt: skip
_MAX_TOKENS = 400
_MAX_POLLS = 3000
_MAX_ITEMS = 5000


class _Polled(CancelToken):
    """Stops what polls it for long."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _MAX_POLLS

    def check(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cancelled


def line_of(data: bytes) -> str:
    return "".join(_WORDS[byte % len(_WORDS)] for byte in data[:_MAX_TOKENS])


def read_language(data: bytes) -> None:
    session = Session()
    session.settings.offline = True
    session.settings.programs = False
    interpreter = Interpreter(session, _Polled(), lambda text, done, total: None)
    try:
        for number, item in enumerate(interpreter.run(line_of(data))):
            joined([item])
            if number > _MAX_ITEMS:
                break
    except Cancelled:
        pass
    finally:
        session.close()


def language_seeds() -> list[bytes]:
    return [
        _tokens(".for (", "r $t0 = ", "0", ";", "@$t0", "<", "2", ";", "r $t0 = ", "@$t0", "+", "1",
                ")", " ", "{", ".echo ", "a", "}"),
        _tokens("as a ", ".block {", "${a}", "}", "\n", "a", ";", ".block {", "a", "}"),
        _tokens(".foreach (a {", ".echo ", "a", " ", "b", "}", ")", "{", ".foreach (a {", ".echo ",
                "${a}", "}", ")", "{", ".echo ", "${a}", "}", "}"),
        _tokens("as /c a ", ".echo ", "x", ";", ".block {", "!!x", " ", "${a}", "}"),
        _tokens("j ", "1", " ", "'", ".echo ", "a", "'", ";", "'", "al", "'"),
        _tokens("r $t1 = @$t1 + 1", ";", "z(", "@$t1", "<", "2", ")"),
        _tokens(".while (", "1", ")", "{", ".catch {", "? ", "x", "}", ".break", "}"),
        _tokens('.printf "', "%d", "%", "\\n", '"', ",", "1", ",", "@$t0"),
        _tokens('!list -t a.b -x "', ".echo ", '\\"', "a", '\\"', '"', " ", "0"),
        _tokens(*[".block {"] * 60),
    ]  # fmt: skip


def _tokens(*words: str) -> bytes:
    return bytes(_WORDS.index(word) for word in words)
