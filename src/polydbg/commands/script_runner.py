"""Runs Python in a command: what it prints comes as items, Ctrl+C ends it.

The script has a thread of its own, since its output comes in the middle of it. Never do both run:
the script waits while its line is shown, the engine while the script works. So a script may use the
session as commands do. Ctrl+C raises ``KeyboardInterrupt`` in the script, between two steps of its
code; a call of C that blocks (a long ``time.sleep``) is left behind, without the session.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TextIO

import msgspec

from polydbg.base.errors import Cancelled, CommandError, DebuggerError
from polydbg.base.text import sanitise, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Item
from polydbg.engine.scripts import ScriptSession

_POLL = 0.05
_GRACE = 0.2
_SECONDS_TO_END = 2.0
_MAX_LINE = 1 << 16
INLINE = "<!py>"
"""What code typed at the prompt is called in messages."""
_LEFT_BEHIND = (
    "the script is in a call that cannot be interrupted, and was left without its session"
)


class ScriptOutput(Item, frozen=True):
    """A line that a script prints."""

    value: str

    def text(self) -> str:
        return self.value


class _Ended(msgspec.Struct, frozen=True):
    """The script is over; *error* is what it raised."""

    error: BaseException | None = None


class _Writers:
    """Stands in for a stream of :mod:`sys` while scripts run: what their threads write goes to
    them, what others write where it went before."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.by_thread: dict[int, Callable[[str], None]] = {}

    def write(self, text: str) -> int:
        writer = self.by_thread.get(threading.get_ident())
        if writer is None:
            return self.stream.write(text)
        writer(text)
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() not in self.by_thread:
            self.stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


_LOCK = threading.Lock()
_STREAMS = ("stdout", "stderr")


def _capture(writer: Callable[[str], None] | None) -> None:
    """Send what this thread prints to *writer*, with ``None`` no longer."""
    ident = threading.get_ident()
    with _LOCK:
        for name in _STREAMS:
            stream = getattr(sys, name)
            if writer is not None:
                if not isinstance(stream, _Writers):
                    stream = _Writers(stream)
                    setattr(sys, name, stream)
                stream.by_thread[ident] = writer
            elif isinstance(stream, _Writers):
                stream.by_thread.pop(ident, None)
                if not stream.by_thread:
                    setattr(sys, name, stream.stream)


class _Script:
    """One script on its thread, and the engine's side of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._said: queue.SimpleQueue[str | _Ended] = queue.SimpleQueue()
        self._turn = threading.Semaphore(0)
        self._is_stopping = False
        self._is_over = False
        self._ending = threading.Lock()  # held while an interrupt is sent, or none may be any more
        self._line = ""
        self._thread = threading.Thread(target=self._run, name="script", daemon=True)

    # -- on the script's thread --------------------------------------------------------------

    def _run(self) -> None:
        self._turn.acquire()
        error: BaseException | None = None
        try:
            _capture(self._write)
            value = self._work()
            if value is not None:
                self._write(value if isinstance(value, str) else repr(value))
            if self._line:
                self._write("\n")
        except SystemExit:
            pass  # the script's own way to end
        except BaseException as raised:
            error = raised  # shown by who runs the script
        while not self._is_over:
            try:
                _capture(None)
                with self._ending:
                    self._is_over = True
            except KeyboardInterrupt:
                continue  # one that was on its way
        self._said.put(_Ended(error))

    def _write(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._say(line)
        while len(self._line) > _MAX_LINE:
            line, self._line = self._line[:_MAX_LINE], self._line[_MAX_LINE:]
            self._say(line)

    def _say(self, line: str) -> None:
        if self._is_stopping:
            raise KeyboardInterrupt
        self._said.put(sanitise(line))
        self._turn.acquire()

    # -- on the engine's thread --------------------------------------------------------------

    def lines(self, poll: Callable[[], None]) -> Iterator[str]:
        """Yield what the script prints, to its end. :raises BaseException: what it raised."""
        self._thread.start()
        while True:
            self._turn.release()
            said = self._next(poll)
            if isinstance(said, _Ended):
                self._thread.join()
                if said.error is not None:
                    raise said.error
                return
            yield said

    def _next(self, poll: Callable[[], None]) -> str | _Ended:
        while True:
            poll()
            try:
                return self._said.get(timeout=_POLL)
            except queue.Empty:
                if not self._thread.is_alive() and self._said.empty():
                    return _Ended()

    def stop(self) -> bool:
        """End the script; return whether it did. Commands that it runs end by themselves."""
        self._is_stopping = True
        started = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - started < _SECONDS_TO_END:
            self._turn.release()
            self._thread.join(_GRACE)
            with self._ending:
                if not self._is_over:
                    _interrupt(self._thread)
        return not self._thread.is_alive()


def _interrupt(thread: threading.Thread) -> None:
    """Raise ``KeyboardInterrupt`` in another thread, when it runs Python the next time."""
    ident, kind = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, kind)


def run_python(
    ctx: CommandContext,
    work: Callable[[ScriptSession | None], object],
    *,
    files: tuple[str, ...] = (INLINE,),
    verbose: bool = False,
) -> Iterator[Item]:
    """Run *work*, which gets the session, and yield what it prints and the value it returns.

    *files* are those whose lines errors name. With *verbose* the whole traceback comes first.

    :raises CommandError: it raised an exception.
    :raises Cancelled: the user asked to stop.
    """
    lent = ctx.session.scripts.lend()
    script = _Script(lambda: work(lent))
    try:
        for line in script.lines(ctx.cancel.check):
            yield ScriptOutput(value=line)
    except KeyboardInterrupt:
        raise Cancelled from None
    except (Cancelled, GeneratorExit):
        raise
    except BaseException as error:
        # Whatever a script raises is its own failure, even what no handler of errors takes.
        if verbose:
            for line in _traceback(error, files):
                yield ScriptOutput(value=sanitise_line(line))
        raise _failure(error, files) from error
    finally:
        has_ended = script.stop()
        if lent is not None:
            lent.close()
        if not has_ended:
            ctx.session.files.notices.notify("script.left-behind", _LEFT_BEHIND)


def _traceback(error: BaseException, files: tuple[str, ...]) -> list[str]:
    """Return the lines of the traceback, from the first of the script's own on."""
    start = error.__traceback__
    while start is not None and start.tb_frame.f_code.co_filename not in files:
        start = start.tb_next
    text = "".join(traceback.format_exception(type(error), error, start or error.__traceback__))
    return text.splitlines()


def _failure(error: BaseException, files: tuple[str, ...]) -> CommandError:
    """Return the error of a script in one line: what, and in which line of its files."""
    words = sanitise_line(f"{type(error).__name__}: {error}".split("\n")[0])
    place = ""
    if isinstance(error, SyntaxError):
        words = f"SyntaxError: {error.msg}"
        place = f" ({_file(error.filename or INLINE)}:{error.lineno})"
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in files:
            place = f" ({_file(frame.filename)}:{frame.lineno})"
    hint = error.hint if isinstance(error, DebuggerError) else ""
    return CommandError(f"{words}{place}", identifier="script.failed", hint=hint)


def _file(name: str) -> str:
    return sanitise_line(os.path.basename(name))
