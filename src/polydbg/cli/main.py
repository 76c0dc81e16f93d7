"""The entry point: reads the command line, opens what it names, runs batch or prompt."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from polydbg.cli.options import (
    Arguments,
    UsageError,
    completion_script,
    help_text,
    parse,
)

if TYPE_CHECKING:
    from polydbg.cli.printer import Printer
    from polydbg.service.api import DebugClient

EXIT_OK, EXIT_FAILED, EXIT_UNREADABLE, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 64, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run polydbg and return its exit status."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        return _run(arguments)
    except UsageError as error:
        print(f"polydbg: {error}\n  polydbg --help lists the options", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (| head): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _run(arguments: Arguments) -> int:
    if arguments.has("help"):
        print(help_text())
        return EXIT_OK
    if arguments.has("version"):
        from polydbg import __version__

        print(f"polydbg {__version__}")
        return EXIT_OK
    if shell := arguments.get("completion"):
        print(completion_script(shell))
        return EXIT_OK
    match arguments.verb:
        case "demo":
            return _demo(arguments)
        case "sym":
            return _sym(arguments)
        case "check":
            return _check(arguments)
        case "docs":
            from polydbg.cli.docs import page

            print(page(arguments.words), end="")
            return EXIT_OK
        case _:
            return _open(arguments)


def _demo(arguments: Arguments) -> int:
    """Open a practice dump; without a terminal show its main answers and leave."""
    from importlib import resources

    folder = str(resources.files("polydbg") / "demo")
    dump = "practice.dmp"
    if arguments.words == ["container"]:
        folder, dump = os.path.join(folder, "container"), "core.7"
        arguments.lists["sysroot"] = [os.path.join(folder, "image.tar")]
        arguments.values.setdefault("y", os.path.join(folder, "symbols"))
    elif arguments.words:
        raise UsageError("usage: polydbg demo [options] [container]")
    arguments.words = []
    arguments.lists["z"] = [os.path.join(folder, dump)]
    arguments.values.setdefault("y", folder)
    arguments.values.setdefault("i", folder)
    arguments.values.setdefault("srcpath", folder)
    if not sys.stdin.isatty() and not arguments.has("cf"):
        arguments.values.setdefault("c", ".ecxr; k; ~; lm")
    return _open(arguments)


def _sym(arguments: Arguments) -> int:
    from polydbg.cli import sym

    return sym.run(arguments, lambda given: _open(given, first_screen=False, alone=True))


def _check(arguments: Arguments) -> int:
    """Describe dump files and say what is damaged; the worst of them decides the status."""
    files = arguments.dumps
    if not files:
        raise UsageError("usage: polydbg check [--json] [-arch NAME] FILE...")
    arguments.lists = {}
    arguments.values["c"] = ".dumpchk *"
    status = EXIT_OK
    for file in files:
        arguments.words = [file]
        status = max(status, _open(arguments, first_screen=False, alone=True))
        if status == EXIT_INTERRUPTED:
            break
    return status


def _open(arguments: Arguments, *, first_screen: bool = True, alone: bool = False) -> int:
    """Open the dumps, run the commands of ``-c``, ``-cf`` and standard input, or a prompt.

    *alone* leaves after ``-c`` and ``-cf``: standard input is not read and no prompt comes.
    """
    from polydbg.cli.printer import Printer
    from polydbg.service.api import OpenRequest
    from polydbg.service.local import LocalClient

    _configure_logging()
    interactive = sys.stdin is not None and sys.stdin.isatty()
    if not arguments.dumps and not interactive and not arguments.has("c"):
        raise UsageError("nothing to open: name a dump file")
    printer = Printer(sys.stdout, colour=_colour(arguments), as_json=arguments.has("json"))
    client = LocalClient()
    try:
        request = OpenRequest(
            dumps=arguments.dumps,
            symbol_path=arguments.get("y"),
            image_path=arguments.get("i"),
            sysroots=arguments.lists.get("sysroot", ()),
            source_path=arguments.get("srcpath"),
            first_screen=first_screen,
            arch=arguments.get("arch"),
            symbol_wait=_symbol_wait(arguments, prompts=interactive and not alone),
            offline=arguments.has("offline"),
            programs=not arguments.has("noshell"),
            evaluator=arguments.get("ee"),
        )
        opened = printer.run(client, client.open(request), "open")
        if opened.interrupted:
            return EXIT_INTERRUPTED
        if opened.failures:
            return EXIT_UNREADABLE
        for key, verb in (("logo", ".logopen"), ("loga", ".logappend")):
            if path := arguments.get(key):
                printer.run(client, client.execute(f'{verb} "{path}"'), verb)
        lines = _lines(arguments, reads_input=not (interactive or alone))
        status, ended = _batch(client, printer, arguments, lines, ends=alone or not interactive)
        if interactive and not (ended or alone):
            _prompt(client, printer)
        return status
    finally:
        client.close()


_SYMBOL_WAIT = 20.0
_ENDS_SESSION = re.compile(r"(?:^|[;\s])q[qd]?\s*$", re.IGNORECASE)


def _symbol_wait(arguments: Arguments, *, prompts: bool) -> float | None:
    """Return for how many seconds commands may wait for servers, ``None`` at a prompt; -c that ends
    with q leaves none.

    :raises UsageError: the option is no number of seconds.
    """
    text = arguments.get("symbol_wait") or os.environ.get("POLYDBG_SYMBOL_WAIT", "")
    try:
        seconds = float(text) if text else _SYMBOL_WAIT
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise UsageError(f"--symbol-wait takes seconds, 0 to 86400, not {text}")
    ends = _ENDS_SESSION.search(arguments.get("c") or "")
    return None if prompts and not ends else seconds


def _prompt(client: DebugClient, printer: Printer) -> None:
    """Read and run commands at a prompt.

    The line editor takes longer to import than a dump to open. Until it is there its prompt stands
    in, and what is typed meanwhile waits in the terminal.
    """
    early = os.name == "posix"
    if early:
        sys.stdout.write(client.prompt)
        sys.stdout.flush()
    from polydbg.cli import repl

    if early:
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()
    repl.run(client, printer)


def _batch(
    client: DebugClient,
    printer: Printer,
    arguments: Arguments,
    lines: Iterable[str],
    *,
    ends: bool,
) -> tuple[int, bool]:
    """Run *lines*; return the exit status and whether the session is over. *ends*: no prompt
    follows, so that Ctrl+C ends the run.

    :raises UsageError: a command file cannot be read.
    """
    status = EXIT_OK
    for line in lines:
        finished = printer.run(client, client.execute(line), line)
        if finished.failures:
            status = EXIT_FAILED
            if arguments.has("stop_on_error"):
                return status, True
        if finished.interrupted and ends:
            return EXIT_INTERRUPTED, True
        if finished.session_ended:
            return status, True
    return status, False


def _lines(arguments: Arguments, *, reads_input: bool) -> Iterator[str]:
    if commands := arguments.get("c"):
        yield commands
    if path := arguments.get("cf"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                yield from _commands_of(file)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if reads_input and sys.stdin is not None:
        yield from _commands_of(sys.stdin)


def _commands_of(file: TextIO) -> Iterator[str]:
    for line in file:
        if stripped := line.strip():
            yield stripped


def _colour(arguments: Arguments) -> bool:
    """Whether to colour: ``--color``, then NO_COLOR, then whether output is a terminal."""
    when = arguments.get("color") or "auto"
    if when not in ("auto", "always", "never"):
        raise UsageError("--color takes auto, always or never")
    if when != "auto":
        return when == "always"
    return "NO_COLOR" not in os.environ and sys.stdout.isatty()


def _configure_logging() -> None:
    """Write our log to standard error where POLYDBG_LOG asks for it (debug, info, ...)."""
    if level := os.environ.get("POLYDBG_LOG"):
        import logging

        number = getattr(logging, level.upper(), logging.INFO)
        logging.basicConfig(level=number, format="%(asctime)s %(name)s %(message)s")


if __name__ == "__main__":
    sys.exit(main())
