"""Reads a command line: finds each command, runs it, goes on after ``;``.

A command reads its own arguments, since each ends differently; this module only finds which
command stands at the cursor (longest spelling wins, no blank needed before arguments), turns
errors into items, and lets notices (symbols that failed to load) appear where they arose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import CommandError, DebuggerError, ExpressionError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.flow import Flow, ProgramFailed
from polydbg.commands.output import CommandEnd, Failure, Item, Notice
from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, REGISTRY, Command
from polydbg.engine.automatic_aliases import expand_automatic
from polydbg.engine.session import Session

MAX_LINE = 64 * 1024
MAX_NESTING = 32
_MAX_NAME = 64

_META = re.compile(r"\.[A-Za-z_]+[+-]?")
_EXTENSIONS = "ext|exts|uext|ntsdexts|kdexts|dbghelp|wow64exts"
_EXTENSION = re.compile(rf"!(?:(?:{_EXTENSIONS})\.)?([A-Za-z_]\w*)", re.I)
_SAY_IT_THEMSELVES = ("!sym", ".reload")  # what to do about files that were not found
_LISTING = re.compile(r"(d[a-zA-Z]{0,2}|u[bufr]?|ls)(?:[\s/@].*)?$")
_ABOUT_ALIASES = re.compile(r"\s*(?:as|aS|ad|al)(?:\s|$)")
_FIXED_ALIAS = re.compile(r"\$u([0-9])(?![0-9])", re.I)


class Interpreter:
    """Runs command lines in one session."""

    def __init__(
        self, session: Session, cancel: CancelToken, progress: Callable[[str, int, int], None]
    ) -> None:
        self._session = session
        self._cancel = cancel
        self._progress = progress
        self._notices: list[Notice] = []
        self._nesting = 0
        self._flow = Flow()
        self._last_line = ""
        session.files.notices.notify = lambda identifier, message: self._notices.append(
            Notice(identifier=identifier, value=message)
        )
        session.files.cancel = session.files.downloads.cancel = cancel
        session.files.sysroots.progress = session.files.downloads.progress = progress

    def run(self, line: str) -> Iterator[Item]:
        """Run a line of commands and yield what they say. Errors are yielded as failures; one
        ends the rest of its line, as in the engine.

        :raises Cancelled: the user asked to stop.
        """
        if self._nesting >= MAX_NESTING:
            yield Failure(identifier="command.too-deep", message="commands are nested too deeply")
            return
        if self._nesting == 0 and line.strip():
            listing = _LISTING.match(line.strip())
            self._last_line = listing.group(1) if listing else line
        self._nesting += 1
        flow = msgspec.structs.replace(self._flow)
        try:
            yield from self._run(self._expanded(line))
        except ProgramFailed:
            return  # the command that failed has said so
        finally:
            self._nesting -= 1
            self._restore(flow)

    def block(self, text: str) -> Iterator[Item]:
        """Run the commands of a block, whose aliases are replaced anew.

        :raises ProgramFailed: one failed, and its failure was yielded.
        """
        if self._nesting >= MAX_NESTING:
            yield Failure(identifier="command.too-deep", message="blocks are nested too deeply")
            raise ProgramFailed
        self._nesting += 1
        foreign = self._flow.foreign
        try:
            yield from self._run(self._expanded(text), in_block=True)
        finally:
            self._nesting -= 1
            self._flow.foreign = foreign

    def _restore(self, flow: Flow) -> None:
        for field in flow.__struct_fields__:
            setattr(self._flow, field, getattr(flow, field))

    def context(self) -> CommandContext:
        """Return what commands get."""
        return CommandContext(
            self._session, self._cancel, self.run, self._progress, self.block, self._flow
        )

    def _expanded(self, line: str) -> str:
        """Replace the aliases of a line; in one that defines or deletes some, only ``${}``."""
        aliases = self._session.aliases
        uses = aliases.foreign_uses
        line = expand_automatic(self._session, self._expand_fixed_aliases(line))
        is_about_aliases = _ABOUT_ALIASES.match(line) is not None
        line = aliases.expand(line, words=not is_about_aliases)
        self._flow.foreign += aliases.foreign_uses > uses
        return line

    def repeat(self) -> Iterator[Item]:
        """Run the last line again; a memory or code listing goes on where it ended."""
        return self.run(self._last_line)

    def _expand_fixed_aliases(self, line: str) -> str:
        texts, aliases = self._session.fixed_aliases, self._session.aliases

        def text(found: re.Match[str]) -> str:
            number = int(found.group(1))
            aliases.foreign_uses += number in aliases.foreign_fixed
            return texts[number]

        return _FIXED_ALIAS.sub(text, line) if "$u" in line else line

    def _run(self, line: str, *, in_block: bool = False) -> Iterator[Item]:
        if len(line) > MAX_LINE:
            yield Failure(identifier="command.too-long", message=f"line over {MAX_LINE} characters")
            raise ProgramFailed
        cursor = Cursor(line)
        while True:
            while cursor.peek() and cursor.peek() in " \t;":
                cursor.position += 1
            if not cursor.peek():
                return
            self._cancel.check()
            if self._nesting == 1:  # the command that runs this one may hold modules
                yield from self.take_arrivals()
                self._session.files.downloads.begin_command()
            start = cursor.position
            try:
                found = self._find(cursor)
                yield from self._with_notices(self._call(found, cursor))
                if not found.rest_of_line:
                    cursor.expect_end()
            except DebuggerError as error:
                yield from self._drain()
                yield self._failure(error, cursor, start)
                if in_block:
                    raise ProgramFailed from error
                end = cursor.text.find(";", cursor.position)
                yield from self._end(cursor.text[start : None if end < 0 else end], ok=False)
                return
            except ProgramFailed:
                if not in_block:
                    yield from self._end(cursor.text[start:], ok=False)
                raise
            yield from self._end(cursor.text[start : cursor.position], ok=True)

    def _end(self, command: str, *, ok: bool) -> Iterator[Item]:
        """Mark the end of a command that the user gave; not of one that a command runs.

        What to do about files that were not found comes before it, once for all modules.
        """
        if self._nesting == 1:
            yield from self._say_begun()
            missing = self._session.files.notices.take_missing()
            if missing and not command.lstrip().lower().startswith(_SAY_IT_THEMSELVES):
                yield Notice(
                    identifier="symbols.next-step",
                    value=f"    !sym why {missing} says where its files were sought and what to do",
                )
            yield CommandEnd(command=command.strip(), ok=ok)

    def _say_begun(self) -> Iterator[Item]:
        """Say which files are on their way; in a batch run, that nobody waits for them any more."""
        begun = self._session.files.downloads.take_begun()
        if not begun:
            return
        from polydbg.engine.downloads import files_words

        words = files_words(begun)
        if self._session.files.downloads.is_batch:
            text = f"*** WARNING: not waited any longer for {words} (--symbol-wait SECONDS)"
            yield Notice(identifier="symbols.not-waited", value=text)
        else:
            text = f"    fetching {words}; used as soon as it arrives (!sym status)"
            yield Notice(identifier="symbols.fetching", value=text)

    def _find(self, cursor: Cursor) -> Command:
        """Return the command at the cursor, which is moved past its name.

        :raises CommandError: no such command.
        """
        text = cursor.text
        for pattern, missing in ((_META, None), (_EXTENSION, "No export {0} found")):
            match = pattern.match(text, cursor.position)
            if not match:
                continue
            name = match.group() if missing is None else "!" + match.group(1)
            found = REGISTRY.exact(name)
            if found is None and name[-1] in "+-" and (found := REGISTRY.exact(name[:-1])):
                cursor.position = match.end() - 1
                return found
            if found is None and missing is not None:
                found = self._of_scripts(name)
            if found is None:
                cursor.position = len(text)
                if missing is None:
                    raise cursor.error("Syntax error", hint=suggestion(name))
                raise CommandError(
                    missing.format(match.group(1)),
                    identifier="command.unknown-extension",
                    hint=suggestion(name),
                )
            cursor.position = match.end()
            return found
        prefix = REGISTRY.longest_prefix(text[cursor.position : cursor.position + 32])
        if prefix is None:
            cursor.position += 1
            raise cursor.error("Syntax error", hint=suggestion(cursor.text[cursor.position - 1 :]))
        cursor.position += prefix[1]
        return prefix[0]

    def _of_scripts(self, name: str) -> Command | None:
        """Return the command of a script or package; say once which packages are broken."""
        from polydbg.commands.scripting import command_of_script

        scripts = self._session.scripts
        is_first = not scripts.has_asked_packages
        found = command_of_script(self._session, name)
        if is_first and scripts.has_asked_packages:
            self._notices += [
                Notice(
                    identifier="script.broken-package",
                    value=f"    the commands of {each.name} could not be imported: {each.problem}",
                )
                for each in scripts.packages()
                if each.problem
            ]
        return found

    def _call(self, found: Command, cursor: Cursor) -> Iterator[Item]:
        return found.function(self.context(), cursor)

    def _with_notices(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield *items*, each after the notices that arose while it was made."""
        for item in items:
            self._cancel.check()
            yield from self._drain()
            yield item
        yield from self._drain()

    def discard_notices(self) -> None:
        """Forget what arose so far and was not shown."""
        self._notices.clear()
        self._session.files.notices.take_missing()

    def take_notices(self, identifiers: Sequence[str]) -> list[Notice]:
        """Return and forget the notices so far whose identifier begins with one of these."""
        chosen = tuple(identifiers)
        taken = [each for each in self._notices if each.identifier.startswith(chosen)]
        self._notices = [each for each in self._notices if each not in taken]
        return taken

    def take_arrivals(self) -> list[Notice]:
        """Give the modules what came from servers, and return what to say of it. A batch run waits
        for files, so only what went wrong is said there."""
        downloads = self._session.files.downloads
        if not downloads.has_finished():
            return []
        from polydbg.engine.arrivals import ARRIVED, take_arrivals

        said = take_arrivals(self._session)
        if downloads.is_batch:
            said = [each for each in said if each.identifier != ARRIVED]
        notices, self._notices = self._notices, []
        return [Notice(identifier=each.identifier, value=each.message) for each in said] + notices

    def _drain(self) -> Iterator[Item]:
        notices, self._notices = self._notices, []
        yield from notices

    def _failure(self, error: DebuggerError, cursor: Cursor, start: int) -> Failure:
        if isinstance(error, CommandError) and error.caret is not None:
            end = cursor.text.find(";", error.caret)
            command = cursor.text[start : None if end < 0 else end]
            if error.quote_end is not None:
                command = cursor.text[start : error.quote_end]
            return Failure(
                identifier=error.identifier,
                message=error.message,
                hint=_foreign_hint(command) or error.hint,
                command=command,
                caret=error.caret - start,
                prompt_width=len(self._session.prompt) + start,
            )
        # The text of a block is not what the user has before his eyes.
        place = _place_of(error, cursor.text, start) if self._nesting == 1 else None
        if place is None:
            return Failure.of(error)
        end = cursor.text.find(";", place)
        return Failure(
            identifier=error.identifier,
            message=error.message,
            hint=error.hint,
            command=cursor.text[start : None if end < 0 else end],
            prompt_width=len(self._session.prompt) + start,
            column=place - start,
        )


_QUOTED_REST = re.compile(r" '(.*)'\Z", re.DOTALL)


def _place_of(error: DebuggerError, line: str, start: int) -> int | None:
    """Return where in *line* what an expression's error complains of stands, ``None`` where that
    is not in it: the message quotes the rest of the expression from there on."""
    if not isinstance(error, ExpressionError) or error.column is None:
        return None
    found = _QUOTED_REST.search(error.message)
    if found is None:
        return None
    if found[1] == "<EOL>":
        end = line.find(";", start)
        return len(line.rstrip()) if end < 0 else end
    place = line.rfind(found[1], start)
    return place if place >= 0 and found[1] else None


_STACK = "k shows the stack, ~*k that of every thread"
_VALUE = "?? order->lines[0] evaluates C++, dx opens containers, ? @rax + 8 is of addresses"
_TYPE = "dt TYPE shows the members of a type, dt VARIABLE an object; x /t NAME the type of a global"
_FRAMES = ".frame N chooses a frame of k, .f+ and .f- the next one"
_QUIT = "q ends the session"
_FOREIGN_WORDS = {
    "bt": f"{_STACK}; kp with parameters, !for_each_frame dv with variables",
    "backtrace": _STACK,
    "where": _STACK,
    "thread": "~ lists the threads, ~Ns chooses one, ~*k shows every stack",
    "frame": ".frame N chooses a frame of k; dv shows its variables",
    "info": "dv shows the variables, ~ the threads, lm the modules, r the registers, "
    "!address the memory map",
    "image": "lm lists the modules, !address the memory map",
    "list": "lsa . shows the source around the frame",
    "print": _VALUE,
    "expr": _VALUE,
    "ptype": _TYPE,
    "whatis": _TYPE,
    "up": _FRAMES,
    "down": _FRAMES,
    "register": "r shows the registers",
    "memory": "db, dd, dq and da show memory",
    "disassemble": "u and uf disassemble",
    "quit": _QUIT,
    "exit": _QUIT,
    "help": ".help lists the commands, .help k explains one",
}
"""What stands for commands of GDB and LLDB, for those who type them."""


def _foreign_hint(command: str) -> str:
    """Return what stands for a command of GDB or LLDB, ``""`` for others: ``up`` alone is one,
    ``up ADDRESS`` is WinDbg's."""
    word, _, rest = command.partition(" ")
    is_ours = bool(rest.strip()) and REGISTRY.is_name(word)
    return "" if is_ours else _FOREIGN_WORDS.get(word.lower(), "")


def suggestion(name: str) -> str:
    """Return a hint naming commands that look like *name*, ``""`` if none does."""
    import difflib

    word = re.split(r"[\s;]", name, maxsplit=1)[0]
    if not 2 <= len(word) <= _MAX_NAME:
        return ""
    unusable = (LIVE_FAMILY, ABSENT_FAMILY)
    usable = [name for name, entry in REGISTRY.declared().items() if entry.family not in unusable]
    close = difflib.get_close_matches(word, usable, n=3, cutoff=0.7)
    return f"did you mean {', '.join(close)}?" if close else "see .help for the commands"
