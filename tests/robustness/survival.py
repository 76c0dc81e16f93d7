"""Opens a file and asks everything of it, as a user would; says how that ended.

Allowed are one clear error, or a session that says what is missing. Anything else is a finding:
another exception, more than five seconds of processor time, a control character in what is shown.
As a program it does the same for the files named and prints the peak of its memory.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.commands.dumps import first_screen
from polydbg.commands.language import Interpreter
from polydbg.commands.output import Item
from polydbg.engine.session import Session
from polydbg.service.render import json_line, text_of
from polydbg.symbols.store.path import SymbolPath

COMMANDS = """
~*k 5; kv; k 100
~; ~#; !teb; !peb; !gle
lm; lmv; lm t n
r; rM ff; .exr -1; .lastevent; .ecxr; r; kb 5; ub; u; ln @$ip
vertarget; |; ||; .time; .ttime; !runaway; version; .effmach; .effmach x86; k 5; .effmach .
!address; !address -summary; !vprot @$sp; !handle 0 f; !dlls; !envvar; !locks; !uniqstack
!findstack ntdll; .dumpdebug; !dh -f @$exentry; x *!main*; .chain; lmi
dps @$sp; dt ntdll!_PEB; s -a 0 L?1000 x; .imgscan; db @$sp; !analyze; !analyze -v
"""

MAX_SECONDS = 5.0
MAX_ITEMS = 20_000

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class FindingError(Exception):
    """Something that no file may cause."""


def survive(path: Path | str, commands: str = COMMANDS, images: Sequence[Path | str] = ()) -> str:
    """Open *path*, with *images* for its image path, and run *commands*, one line at a time.

    Returns the identifier of the error that refused the file, or ``""`` for a session.

    :raises FindingError: what happened is not allowed.
    """
    session = Session()
    session.settings.image_path = SymbolPath.parse(";".join(map(str, images)))
    try:
        system = _timed("open", path, lambda: session.open_dump(str(path)))
    except DebuggerError as error:
        if not error.message or "\n" in error.message:
            raise FindingError(f"{path}: no clear error: {error.message!r}") from error
        return error.identifier
    try:
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        context = interpreter.context()
        _ask("first screen", path, iter_once(lambda: first_screen(context, system)))
        for line in commands.replace("\n", ";").split(";"):
            if line.strip():
                _ask(line.strip(), path, interpreter.run(line))
    finally:
        session.close()
    return ""


def iter_once(make: Callable[[], Item]) -> Iterator[Item]:
    yield make()


def _ask(command: str, path: Path | str, items: Iterator[Item]) -> None:
    """Take the items of a command as a front end does; the first 20,000 of a long listing."""
    for _ in range(MAX_ITEMS):
        item = _timed(command, path, lambda: next(items, None))
        if item is None:
            return
        _timed(command, path, lambda item=item: _show(command, item))


def _show(command: str, item: Item) -> None:
    text = text_of(item)
    if found := _CONTROL.search(text):
        raise ValueError(f"{command!r} shows {found.group()!r}")
    text.encode("utf-8")
    json_line(command, [item], True).encode("utf-8")


def _timed(what: str, path: Path | str, action: Callable[[], T]) -> T:
    """Return what *action* does. The limit of time is for one item: a listing that goes on giving
    lines does not hang, and can be interrupted."""
    started = time.process_time()
    try:
        result = action()
    except Exception as error:
        if what == "open" and isinstance(error, DebuggerError):
            raise
        where = "".join(traceback.format_exception(error)[-4:])
        raise FindingError(f"{path}: {what}: {type(error).__name__}: {error}\n{where}") from error
    if time.process_time() - started > MAX_SECONDS:
        raise FindingError(f"{path}: {what}: took {time.process_time() - started:.1f} s")
    return result


def main() -> int:
    """Survive the files named; print each outcome, then the peak of memory in bytes."""
    for name in sys.argv[1:]:
        print(f"{name}: {survive(name) or 'opened'}")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    # Not getrusage: its peak counts what the parent had before the program was started.
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
