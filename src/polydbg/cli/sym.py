"""``polydbg sym``: symbol files on the command line, by a table of words after the verb."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from polydbg.cli.options import Arguments, UsageError

if TYPE_CHECKING:
    from polydbg.base.cancel import CancelToken
    from polydbg.service.api import Event

_OK, _LACKING, _UNREADABLE, _INTERRUPTED = 0, 1, 2, 130

OpenSession = Callable[[Arguments], int]
"""Opens the dumps of a command line without a first screen, runs its commands, and returns the exit
status."""


def run(arguments: Arguments, open_session: OpenSession) -> int:
    """Run what follows the verb and return the exit status."""
    word, *arguments.words = arguments.words or [""]
    verb = _VERBS.get(word)
    if verb is None:
        raise UsageError(f"usage: polydbg sym {' | '.join(_VERBS)}")
    return verb(arguments, open_session)


def _why(arguments: Arguments, open_session: OpenSession) -> int:
    if len(arguments.words) not in (1, 2):
        raise UsageError("usage: polydbg sym why DUMP [MODULE]")
    dump, module = [*arguments.words, "*"][:2]
    arguments.words = [dump]
    arguments.values["c"] = f"!sym why {module}; q"
    return open_session(arguments)


def _list(arguments: Arguments, open_session: OpenSession) -> int:
    """Print the ids of each dump's files; no server is asked. The worst of them is the status."""
    dumps = arguments.dumps
    if not dumps:
        raise UsageError("usage: polydbg sym list [--json] [-y PATH] DUMP...")
    arguments.lists.pop("z", None)
    arguments.values |= {"c": "!sym list; q", "offline": ""}
    status = _OK
    for dump in dumps:
        arguments.words = [dump]
        status = max(status, open_session(arguments))
        if status == _INTERRUPTED:
            break
    return status


def _fetch(arguments: Arguments, open_session: OpenSession) -> int:
    """Fetch what ids or dumps name into a pack, or one file into the cache."""
    from polydbg.base.errors import CommandError
    from polydbg.service.single_files import SingleFetch, parse_single
    from polydbg.service.symbol_packs import PackFetch, PackRequest

    sources = arguments.dumps
    if not sources:
        raise UsageError("usage: polydbg sym fetch [-y PATH] [-o PACK.zip] IDS.json|DUMP...")
    if len(sources) == 1 and not os.path.exists(sources[0]):
        try:
            single = parse_single(sources[0])
        except CommandError as error:
            raise UsageError(error.message) from None
        if single is not None:
            path, offline = arguments.get("y"), arguments.has("offline")
            return _work(
                arguments,
                "sym fetch",
                lambda *how: SingleFetch(single, path, *how, offline=offline),
            )
    stem = os.path.splitext(os.path.basename(sources[0]))[0] or "symbols"
    request = PackRequest(
        sources=sources,
        output=arguments.get("o") or f"{stem}-pack.zip",
        symbol_path=arguments.get("y"),
        image_path=arguments.get("i"),
        offline=arguments.has("offline"),
    )
    return _work(arguments, "sym fetch", lambda *how: PackFetch(request, *how))


def _add(arguments: Arguments, open_session: OpenSession) -> int:
    """Add packs, folders and files to a store."""
    from polydbg.service.symbol_packs import PackAdd

    sources = arguments.words
    if not sources:
        raise UsageError("usage: polydbg sym add [--to DIR] PACK.zip|FOLDER|FILE...")
    return _work(arguments, "sym add", lambda *how: PackAdd(sources, arguments.get("to"), *how))


def _path(arguments: Arguments, open_session: OpenSession) -> int:
    """Check each element of the symbol path, and ask each server of it once."""
    if arguments.dumps:
        raise UsageError("usage: polydbg sym path [-y PATH] [-i PATH]")
    arguments.values["c"] = "!sym path; q"
    return open_session(arguments)


def _store(arguments: Arguments, open_session: OpenSession) -> int:
    """Add to a store, list its transactions, take one back."""
    from polydbg.service.symbol_store import STORE_WORK, StoreRequest

    word, *words = arguments.words or [""]
    counts = {"add": len(words) > 1, "list": len(words) == 1, "remove": len(words) == 2}
    if not counts.get(word):
        raise UsageError(
            "usage: polydbg sym store add DIR FILE|FOLDER|PACK... | list DIR | remove DIR NUMBER"
        )
    request = StoreRequest(
        folder=words[0],
        sources=words[1:] if word == "add" else (),
        number=words[1] if word == "remove" else "",
        two_tier=arguments.has("two_tier"),
        product=arguments.get("product") or "",
        version=arguments.get("product_version") or "",
        comment=arguments.get("comment") or "",
    )
    work = STORE_WORK[word]
    return _work(arguments, f"sym store {word}", lambda *how: work(request, *how))


def _serve(arguments: Arguments, open_session: OpenSession) -> int:
    """Serve a folder of symbols until Ctrl+C."""
    from polydbg.base.errors import DebuggerError
    from polydbg.service.symbol_server import ServeRequest, SymbolServer

    port = arguments.get("port") or "8080"
    if len(arguments.words) != 1 or not (port.isdecimal() and int(port) < 65_536):
        raise UsageError(
            "usage: polydbg sym serve [--port N] [--bind ADDRESS] [--sources PREFIX=DIR] [--quiet] "
            "DIR"
        )
    request = ServeRequest(
        root=arguments.words[0],
        address=arguments.get("bind") or "127.0.0.1",
        port=int(port),
        sources=arguments.lists.get("sources", ()),
    )
    try:
        server = SymbolServer(request)
    except DebuggerError as error:
        hint = f"\n  {error.hint}" if error.hint else ""
        print(f"polydbg: {error.message}{hint}", file=sys.stderr)
        return _UNREADABLE
    if server.is_open:
        print("*** WARNING: every machine that reaches this address may read the folder: there is "
              "no login", file=sys.stderr)  # fmt: skip
    print(f"serving {request.root} at {server.url} (Ctrl+C ends it)")
    print(f"  polydbg, WinDbg:  srv*CACHE*{server.url} in the symbol path")
    print(f"  gdb, lldb, polydbg on ELF files:  DEBUGINFOD_URLS={server.url}", flush=True)
    quiet = arguments.has("quiet")
    server.run(lambda line: None if quiet else print(line, file=sys.stderr, flush=True))
    return _OK


_VERBS: dict[str, Callable[[Arguments, OpenSession], int]] = {
    "why": _why,
    "path": _path,
    "list": _list,
    "fetch": _fetch,
    "add": _add,
    "store": _store,
    "serve": _serve,
}
"""What may follow ``sym``."""


class _Work(Protocol):
    """What the service does beside a session; *lacking* counts what did not come to pass."""

    lacking: int

    def events(self) -> Iterator[Event]: ...


def _work(
    arguments: Arguments,
    command: str,
    begin: Callable[[CancelToken, Callable[[str, int, int], None]], _Work],
) -> int:
    """Show what the service does until it ends; the first Ctrl+C asks it to stop, the next one ends
    it at once."""
    from polydbg.base.cancel import CancelToken
    from polydbg.cli.printer import Printer

    printer = Printer(sys.stdout, colour=False, as_json=arguments.has("json"))
    cancel = CancelToken()

    def stop(number: int, frame: object) -> None:
        cancel.cancel()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        work = begin(cancel, printer.progress)
        finished = printer.follow(work.events(), command)
    finally:
        signal.signal(signal.SIGINT, before)
    if finished.failures:
        return _UNREADABLE
    if finished.interrupted:
        return _INTERRUPTED
    return _LACKING if work.lacking else _OK
