"""``!sym status``, ``wait``, ``online``, ``offline``, ``path``: servers and what they give."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line, size_text
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Item, Text
from polydbg.engine.downloads import job_words, shown_name
from polydbg.symbols.download.jobs import Attempt, Job, JobState
from polydbg.symbols.store import Server


class Transfer(Item, frozen=True):
    """A file that was asked of servers. *state* is ``queued``, ``running``, ``found`` or
    ``failed``; *done* and *total* count bytes (*total* 0: not known), *rate* bytes a second;
    *detail* is the place of the file, or why it did not come."""

    file: str
    host: str
    state: str
    done: int
    total: int
    rate: int
    detail: str

    def text(self) -> str:
        return f"{self.state:8}{self.file:32} {self.detail}".rstrip()

    @classmethod
    def of(cls, job: Job) -> Transfer:
        detail = job_words(job)
        if job.state is JobState.FOUND:
            size = f" ({size_text(job.total or job.done)})" if job.total or job.done else ""
            detail = f"{job.path}{size} from {job.host}"
        elif job.state is JobState.FAILED:
            detail = "; ".join(dict.fromkeys(_failure(each) for each in job.attempts))
        return cls(
            file=sanitise_line(shown_name(job)),
            host=sanitise_line(job.host),
            state=job.state.value,
            done=job.done,
            total=job.total,
            rate=int(job.rate) if job.state is JobState.RUNNING else 0,
            detail=sanitise_line(detail),
        )


def _failure(attempt: Attempt) -> str:
    """Return what a server answered, with its name where the words do not have it."""
    is_named = attempt.host in attempt.detail
    return attempt.detail if is_named else f"{attempt.host}: {attempt.detail}"


def show_transfers(ctx: CommandContext) -> Iterator[Item]:
    """Yield a row for each file that was asked of servers in this session."""
    downloads = ctx.session.files.downloads
    jobs = downloads.jobs()
    if ctx.session.settings.offline:
        yield Text(value="offline: no server is asked (!sym online)")
    elif not jobs:
        words = "nothing was asked of a server yet" if downloads.can_ask() else _NO_SERVERS
        yield Text(value=words)
    for job in jobs:
        yield Transfer.of(job)


_NO_SERVERS = (
    "no server is set: .symfix sets Microsoft's, .sympath srv*CACHE*URL any other, DEBUGINFOD_URLS "
    "those for ELF files"
)


class ServerRow(Item, frozen=True):
    """A row of ``!sym path``: *status* is ``OK`` or ``Error``, *kind* says what kind of server it
    is, *detail* what went wrong and *step* what to do about it."""

    server: str
    kind: str
    status: str
    milliseconds: int
    detail: str
    step: str

    def text(self) -> str:
        row = f"{self.status:<33}{self.milliseconds or '':<14}{self.server}"
        lines = [f"    {self.detail}"] if self.detail else []
        lines += [f"    {self.step}"] if self.step else []
        return "\n".join([row, *lines])


def check_path(ctx: CommandContext) -> Iterator[Item]:
    """Yield the checks of the symbol path's elements, then how each server answers."""
    from polydbg.commands.symbol_path import path_item
    from polydbg.symbols.download.addresses import host_of, redacted
    from polydbg.symbols.download.probe import check_servers

    downloads = ctx.session.files.downloads
    yield path_item(ctx.session, "Symbol", ctx.session.settings.symbol_path)
    servers = downloads.servers()
    if not servers:
        yield Text(value=_NO_SERVERS)
    elif ctx.session.settings.offline:
        yield Text(value="offline: no server is asked (!sym online)")
        return

    def tell(server: Server) -> None:
        ctx.progress(f"asking {sanitise_line(host_of(server.url))}", 0, 0)

    failed = 0
    for check in check_servers(servers, downloads.client, ctx.cancel, tell):
        failed += check.problem is not None
        yield ServerRow(
            server=sanitise_line(redacted(check.server.url)),
            kind=check.server.kind.value,
            status="Error" if check.problem else "OK",
            milliseconds=check.milliseconds,
            detail=sanitise_line(check.detail),
            step=check.problem.step if check.problem else "",
        )
    if failed:
        raise CommandError(
            f"{failed} of {len(servers)} servers cannot be used", identifier="symbols.bad-server"
        )


def wait_for_transfers(ctx: CommandContext) -> Iterator[Item]:
    """Wait visibly until everything came or failed; Ctrl+C stops the transfers."""
    downloads = ctx.session.files.downloads
    from polydbg.commands.reload import wait_for_files

    waited = downloads.running()
    yield from wait_for_files(ctx)
    found = sum(job.path is not None for job in waited)
    yield Text(value=f"{found} of {len(waited)} files arrived" if waited else "nothing is fetched")


def set_offline(ctx: CommandContext, offline: bool) -> Iterator[Item]:
    """Ask no server from now on, or ask them again."""
    from polydbg.engine.reload import refresh_all

    settings = ctx.session.settings
    if settings.offline != offline:
        settings.offline = offline
        if offline:
            ctx.session.files.downloads.stop()
        else:
            ctx.session.files.downloads.ask_again()
            refresh_all(ctx.session)
    yield Text(value="offline: no server is asked" if offline else "online: servers are asked")
