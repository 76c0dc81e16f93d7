"""A place in a command line: commands read their own arguments, since each ends differently."""

from __future__ import annotations

import re

import msgspec

from polydbg.base.errors import CommandError

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class Cursor(msgspec.Struct, eq=False):
    """*text* is the whole line, *position* the next character to read. *is_after_block* says that a
    block in braces was read last, behind which the next command needs no ``;``."""

    text: str
    position: int = 0
    is_after_block: bool = False

    def peek(self) -> str:
        """Return the next character, ``""`` at the end."""
        return self.text[self.position : self.position + 1]

    @property
    def at_end(self) -> bool:
        """Whether the command's arguments are over: the end of the line or a ``;``."""
        self.skip_blanks()
        return self.peek() in ("", ";")

    def skip_blanks(self) -> None:
        """Move past blanks and tabs."""
        while self.position < len(self.text) and self.text[self.position] in " \t":
            self.position += 1

    def match(self, pattern: str) -> re.Match[str] | None:
        """Read what *pattern* matches at the cursor, and return the match."""
        found = re.compile(pattern).match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def take(self, literal: str) -> bool:
        """Read *literal* if it stands at the cursor."""
        if self.text.startswith(literal, self.position):
            self.position += len(literal)
            return True
        return False

    def word(self) -> str:
        """Skip blanks, then read up to a blank, ``;`` or the end. ``""`` if nothing is left."""
        self.skip_blanks()
        found = self.match(r"[^\s;]*")
        return found.group() if found else ""

    def string_or_word(self) -> str:
        """Read a ``"quoted string"`` (without its quotes) or a word."""
        self.skip_blanks()
        if found := self.match(r'"([^"]*)"'):
            return found.group(1)
        return self.word()

    def command_string(self) -> str | None:
        """Read ``"commands"`` without the quotes if one stands at the cursor; in it ``\\"`` is a
        quote and ``\\\\`` a backslash, whatever else a backslash begins is the commands' own."""
        found = self.match(r'"((?:[^"\\]|\\.)*)"')
        return re.sub(r'\\(["\\])', r"\1", found[1]) if found else None

    def rest(self) -> str:
        """Skip blanks, then read up to a ``;`` outside quotes; trimmed at the end."""
        self.skip_blanks()
        found = self.match(r'(?:"[^"]*"|[^;"]|")*?(?=;|$)')
        return found.group().rstrip() if found else ""

    def rest_of_line(self) -> str:
        """Read everything up to the end of the line."""
        text = self.text[self.position :]
        self.position = len(self.text)
        return text

    def enclosed(self, opening: str, closing: str, *, hint: str = "") -> str:
        """Read what stands between *opening* and the *closing* that belongs to it; those in quotes
        do not count.

        :raises CommandError: there is none.
        """
        start = self.position
        if not self.take(opening):
            self.position = min(len(self.text), self.position + 1)
            raise self.error("Syntax error", hint=hint)
        depth, at = 1, self.position
        tokens = re.compile(rf'["{re.escape(opening + closing)}]')
        is_quoting = True
        while found := tokens.search(self.text, at):
            at = found.end()
            token = found.group()
            if token == '"':
                text = _QUOTED.match(self.text, found.start()) if is_quoting else None
                # What follows a quote without its end has none either: it is looked for once.
                is_quoting = text is not None
                at = text.end() if text else at
                continue
            depth += (token == opening) - (token == closing)
            if not depth:
                self.position = at
                return self.text[start + 1 : found.start()]
        self.position = len(self.text)
        raise self.error("Syntax error", hint=hint or f"a {closing} is missing")

    def error(self, message: str, *, hint: str = "") -> CommandError:
        """Return an error that points at the last character read."""
        return CommandError(message, caret=max(0, self.position - 1), hint=hint)

    def expect_end(self) -> None:
        """:raises CommandError: something is left before the next ``;``."""
        if self.is_after_block:
            self.is_after_block = False
            return
        if not self.at_end:
            self.position += 1
            raise self.error("Extra character error")
