"""The ``srcsrv`` stream of a PDB: where a source server has the files it was built from.

A text of three parts, ``ini`` and ``variables`` (``NAME=VALUE``) and ``source files`` (a line per
file: ``VAR1*VAR2*...``, of which VAR1 is the recorded path). ``SRCSRVTRG`` says where the file is,
``SRCSRVCMD`` which program fetches it there. Nothing is ever run. Source:
https://learn.microsoft.com/windows-hardware/drivers/debugger/language-specification-1 and
.../language-specification-2
"""

from __future__ import annotations

import re

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.source_link import MAX_URL, is_web_address

MAX_BYTES = 16 << 20
_MAX_VARIABLES = 1024
_MAX_FILES = 262_144
_MAX_FIELDS = 10
_MAX_DEPTH = 16
_MAX_STEPS = 512
_SECTION = re.compile(r"SRCSRV:\s*(ini|variables|source files|end)\b", re.IGNORECASE)
_FUNCTION = re.compile(r"%(fnvar|fnbksl|fnfile)%\(", re.IGNORECASE)
_NAME = re.compile(r"%([^%\s()]{1,64})%")
_MAX_TEXT = MAX_URL


class ServedSource(msgspec.Struct, frozen=True):
    """Where a source server has a file: *url*, or empty where *command* would have to be run, which
    is for people to read (it may be empty too)."""

    url: str
    command: str


class SourceServer:
    """The files that the stream lists."""

    def __init__(self, variables: dict[str, str], files: dict[str, str]) -> None:
        """*variables* by name in lower case, *files*: lines by recorded path, folded."""
        self._variables = variables
        self._files = files

    @classmethod
    def parse(cls, data: bytes) -> SourceServer:
        """Read a stream.

        :raises FormatError: it is no such text, or larger than any real one.
        """
        if len(data) > MAX_BYTES:
            raise FormatError("the source server stream of the PDB is too large")
        section = ""
        variables: dict[str, str] = {}
        files: dict[str, str] = {}
        for line in data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
            start = _SECTION.match(line)
            if start is not None:
                section = start[1].lower()
            elif section == "source files":
                path = line.partition("*")[0]
                if path:
                    files.setdefault(_folded(path), line)
            elif section in ("ini", "variables"):
                name, equals, value = line.partition("=")
                if equals and len(value) <= _MAX_TEXT:
                    variables[name.strip().lower()] = value.strip()
        if not section:
            raise FormatError("the source server stream of the PDB has no sections")
        if len(variables) > _MAX_VARIABLES or len(files) > _MAX_FILES:
            raise FormatError("the source server stream of the PDB has too many entries")
        return cls(variables, files)

    def find(self, path: str) -> ServedSource | None:
        """Return where the file recorded as *path* is, ``None`` where the stream does not list it.

        :raises FormatError: its variables refer to themselves, or grow beyond any real text.
        """
        line = self._files.get(_folded(path))
        if line is None:
            return None
        fields = line.split("*", _MAX_FIELDS)[:_MAX_FIELDS]
        own = {f"var{number}": value for number, value in enumerate(fields, 1)}
        target = _Expansion(self._variables, own).text("%srcsrvtrg%")
        if is_web_address(target):
            return ServedSource(target, "")
        return ServedSource("", _Expansion(self._variables, own).text("%srcsrvcmd%"))


class _Expansion:
    """Fills in variables, in a bounded number of steps. What a line of a file says is not read for
    variables again."""

    def __init__(self, variables: dict[str, str], own: dict[str, str]) -> None:
        self._variables = variables
        self._own = own
        self._steps = _MAX_STEPS

    def text(self, text: str, depth: int = 0) -> str:
        """Return *text* with its variables and functions worked out; unknown names stay."""
        pieces: list[str] = []
        position = length = 0
        while position < len(text):
            percent = text.find("%", position)
            if percent < 0:
                percent = len(text)
            piece, after = text[position:percent], percent
            if percent == position:
                piece, after = self._at(text, position, depth)
            pieces.append(piece)
            length += len(piece)
            if length > _MAX_TEXT:
                raise FormatError("a variable of the PDB's source server is too long")
            position = after
        return "".join(pieces)

    def _at(self, text: str, position: int, depth: int) -> tuple[str, int]:
        """Return what the ``%`` at *position* and what it begins stand for, and where it ends."""
        self._steps -= 1
        if depth > _MAX_DEPTH or self._steps < 0:
            raise FormatError("the variables of the PDB's source server do not come to an end")
        function = _FUNCTION.match(text, position)
        if function is not None:
            end = _closing(text, function.end())
            if end is not None:
                argument = self.text(text[function.end() : end], depth + 1)
                return self._call(function[1].lower(), argument, depth), end + 1
        name = _NAME.match(text, position)
        if name is None:
            return "%", position + 1
        value = self._value(name[1], depth)
        return (name[0] if value is None else value), name.end()

    def _call(self, function: str, argument: str, depth: int) -> str:
        if function == "fnbksl":
            return argument.replace("/", "\\")
        if function == "fnfile":
            return re.split(r"[\\/]", argument)[-1]
        return self._value(argument.strip(), depth) or ""

    def _value(self, name: str, depth: int) -> str | None:
        name = name.lower()
        if name in self._own:
            return self._own[name]
        value = self._variables.get(name)
        return None if value is None else self.text(value, depth + 1)


def _closing(text: str, position: int) -> int | None:
    """Return where the parenthesis that was opened before *position* closes."""
    level = 1
    for found in re.finditer(r"[()]", text[position:]):
        level += 1 if found[0] == "(" else -1
        if level == 0:
            return position + found.start()
    return None


def _folded(path: str) -> str:
    return path.replace("\\", "/").lower()
