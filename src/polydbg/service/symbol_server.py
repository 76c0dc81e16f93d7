"""Serving a folder of symbols: what ``polydbg sym serve`` runs."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.symbols.store.hostpath import directory_problem


class ServeRequest(msgspec.Struct, frozen=True):
    """What to serve: the folder *root*, at *address* and *port* (0: any). *sources* are rules
    ``PREFIX=DIR`` for the sources of ELF files."""

    root: str
    address: str = "127.0.0.1"
    port: int = 0
    sources: Sequence[str] = ()


class SymbolServer:
    """A server that listens from its making on; :meth:`run` answers until it is interrupted.

    :raises DebuggerError: there is no such folder, the address cannot be had, a rule is none, or
        the libraries of servers are not installed.
    """

    def __init__(self, request: ServeRequest) -> None:
        root = Path(request.root)
        problem = directory_problem(root)
        if problem is not None:
            raise DebuggerError(
                f"{root}: {problem or 'no such folder'}",
                identifier="serve.no-folder",
                hint="polydbg sym store add DIR FILE... makes a store",
            )
        self._root = root
        self._sources = _rules(request.sources)
        _require_libraries()
        self._socket = _listening(request.address, request.port)

    @property
    def url(self) -> str:
        """Return the address to give to debuggers."""
        host, port = self._socket.getsockname()[:2]
        if ipaddress.ip_address(host.split("%")[0]).is_unspecified:
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def is_open(self) -> bool:
        """Tell whether other machines can reach it."""
        host = self._socket.getsockname()[0]
        return not ipaddress.ip_address(host.split("%")[0]).is_loopback

    def run(self, log: Callable[[str], None]) -> None:
        """Answer until Ctrl+C; *log* gets a line for each request."""
        import uvicorn

        from polydbg.symbols.serving.application import application
        from polydbg.symbols.serving.connection import PatientConnection
        from polydbg.symbols.serving.store_files import StoreFiles

        app = application(StoreFiles(self._root, self._sources), log)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=1, http=PatientConnection,
            h11_max_incomplete_event_size=64 << 10,
        )  # fmt: skip
        try:
            uvicorn.Server(config).run(sockets=[self._socket])
        finally:
            self._socket.close()


def _rules(texts: Sequence[str]) -> Mapping[str, Path]:
    rules: dict[str, Path] = {}
    for text in texts:
        prefix, mark, folder = text.partition("=")
        if not mark or not prefix.startswith("/") or directory_problem(Path(folder)) is not None:
            raise DebuggerError(
                f"{text} is no rule PREFIX=DIR with an absolute prefix and a folder that is there",
                identifier="serve.bad-rule",
                hint="--sources /build/app=/home/me/app",
            )
        rules[prefix] = Path(folder)
    return rules


def _require_libraries() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise DebuggerError(
            f"serving needs the libraries {' and '.join(missing)}",
            identifier="serve.no-library",
            hint="pip install 'polydbg[server]'",
        )


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise DebuggerError(
            f"cannot listen at {address}, port {port}: {words}",
            identifier="serve.no-address",
            hint="--port N takes another port, --bind ADDRESS another address of this machine",
        ) from error
