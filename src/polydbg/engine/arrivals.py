"""What is done when files came from servers: modules that waited for them are looked at anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import Cancelled
from polydbg.base.text import sanitise_line, size_text
from polydbg.engine.downloads import Downloads, Finished, shown_name
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.session import Session, System
from polydbg.symbols.store import FileKind

if TYPE_CHECKING:
    from polydbg.symbols.download.jobs import Attempt, Job


ARRIVED = "symbols.arrived"
_ROUNDS = 8
_DEPTH = 64


class Arrival(msgspec.Struct, frozen=True):
    """What the user is told, once: *identifier* is :data:`ARRIVED` or names the problem."""

    identifier: str
    message: str


def take_arrivals(session: Session) -> list[Arrival]:
    """Give the modules what came since the last call, and return what to say of it.

    A module whose symbols were asked for has the new ones at once; so a server that is asked next,
    where the first did not have the file, is asked without a command in between. Where the user
    asked to stop, the rest of the modules are looked for when they are needed.
    """
    downloads = session.files.downloads
    finished = downloads.take_finished()
    if not finished:
        return []
    said = [arrival for each in finished for arrival in _said_of(each, downloads)]
    if any(each.job.was_stopped for each in finished) and not downloads.running():
        words = "transfers were stopped; .reload /f goes on with them"
        said.append(Arrival("symbols.stopped", words))
    with contextlib.suppress(Cancelled):  # nothing of what came is lost by it
        _renew_owners(session, finished)
    if any(each.job.request.wanted.kind is FileKind.SOURCE for each in finished):
        session.files.sources.forget()
    return said


def fetch_stack(session: Session, system: System, take: Callable[[], object]) -> None:
    """Fetch what the stack of the event needs, all at once, within the budget of waiting.

    With images come unwind tables, with those more of the stack: *take* hands over what came, and
    the stack is walked again until it asks for nothing new. Behind a guess the walk ends: whose
    frames they are is not known.
    """
    downloads = session.files.downloads
    for _ in range(_ROUNDS):
        if downloads.budget <= 0 or not downloads.can_ask():
            return
        with downloads.not_waiting(), system.machine_of_event():
            registers = system.exception_registers() or system.scope_registers()
            for row in session.stack(system, registers, _DEPTH, downloads.cancel):
                if row.trust.is_guess:
                    break
        if not (downloads.running() or downloads.has_finished()):
            return
        downloads.settle()
        take()


def _renew_owners(session: Session, finished: Sequence[Finished]) -> None:
    files = session.files
    owners = {id(info): info for each in finished for info in each.owners}.values()
    failed = {id(info) for each in finished if not _is_told(each.job) for info in each.owners}
    was_stopped = any(each.was_stopped for each in finished)
    with contextlib.ExitStack() as stack:
        if was_stopped:  # whoever stopped one server does not want the next one asked
            stack.enter_context(files.downloads.beginning_nothing())
        # All of them first: none keeps what it had when the looking is stopped.
        renewed = [
            (system, system.modules.renew(module), module.state is not SymbolState.DEFERRED)
            for system in session.systems
            for info in owners
            if (module := system.modules.of(info)) is not None
        ]
        for system, module, was_asked in renewed:
            is_quiet = id(module.info) not in failed
            with files.notices.quietly() if is_quiet else contextlib.nullcontext():
                _look_again(system, module, was_asked=was_asked)


def _is_told(job: Job) -> bool:
    """Tell whether what came of it is said in other words than those of a search."""
    return job.path is not None or job.was_stopped


def _look_again(system: System, module: Module, *, was_asked: bool) -> None:
    """Look for the files of *module*, as far as they had been asked for."""
    if was_asked:
        system.modules.symbols(module)
    else:
        system.modules.image(module)


def _said_of(finished: Finished, downloads: Downloads) -> Iterator[Arrival]:
    job = finished.job
    names = ", ".join(dict.fromkeys(info.name for info in finished.owners))
    if job.path is not None:
        what = _WHAT.get(job.request.wanted.kind, "symbols")
        of = f" of {names}" if names else ""
        size = f" ({size_text(job.total or job.done)})" if job.total or job.done else ""
        text = f"{what}{of} arrived: {shown_name(job)}{size} from {job.host}"
        yield Arrival(ARRIVED, sanitise_line(text[0].upper() + text[1:]))
        return
    for attempt in job.attempts:
        if attempt.problem is None or not _is_news(attempt, downloads):
            continue
        step = f" {attempt.problem.step}" if attempt.problem.step else ""
        detail = attempt.detail if attempt.detail.endswith(".") else f"{attempt.detail}."
        text = f"*** WARNING: {shown_name(job)}: {detail}{step}"
        yield Arrival(f"download.{attempt.problem.value}", sanitise_line(text))


_WHAT = {FileKind.IMAGE: "image", FileKind.SOURCE: "source"}


def _is_news(attempt: Attempt, downloads: Downloads) -> bool:
    """Tell whether a failure is worth a line: that a file is not there, the search says; that a
    host is left alone was said when it failed, of the first of the files that were asked of it."""
    from polydbg.symbols.download.problems import Problem

    quiet = (Problem.NOT_FOUND, Problem.RESTING, Problem.STOPPED)
    return attempt.problem not in quiet and downloads.is_news(attempt)
