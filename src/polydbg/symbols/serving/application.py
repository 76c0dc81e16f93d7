"""The server's answers: read only, GET and HEAD, files in ranges and without being read whole.

Source of the paths below ``/buildid``: debuginfod(8), "WEBAPI".
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.text import sanitise_line
from polydbg.symbols.serving.store_files import StoreFiles

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PATH = 4096
"""Longest path of a request, in characters."""


def application(files: StoreFiles, log: Callable[[str], None]) -> ASGIApp:
    """Return the ASGI application that serves *files*; *log* gets a line for each answer."""
    served = _routes(files)

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                client = (scope.get("client") or ("?",))[0]
                path = sanitise_line(scope["path"][:MAX_PATH])
                log(f"{client} {scope['method']} {path} {message['status']}")
            await send(message)

        await served(scope, receive, note if scope["type"] == "http" else send)

    return logged


def _routes(files: StoreFiles) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    def start(request: Request) -> Response:
        return HTMLResponse(_start_page(str(request.base_url).rstrip("/")))

    def by_build_id(request: Request) -> Response:
        build_id, kind = request.path_params["id"].lower(), request.path_params["kind"]
        rest = request.path_params.get("rest", "")
        if kind == "section" and 0 < len(rest) <= MAX_PATH:
            return _bytes_answer(files.section(build_id, rest))
        if kind == "source" and 0 < len(rest) <= MAX_PATH:
            return _file_answer(files.source(build_id, "/" + rest.lstrip("/")))
        if kind == "executable" and not rest:
            return _file_answer(files.executable(build_id))
        if kind == "debuginfo" and not rest:
            return _file_answer(files.debug_information(build_id))
        return _missing()

    def by_key(request: Request) -> Response:
        path = request.path_params["path"]
        return _file_answer(files.of_store(path.split("/")) if len(path) <= MAX_PATH else None)

    return Starlette(
        routes=[
            Route("/", start),
            Route("/buildid/{id}/{kind}", by_build_id),
            Route("/buildid/{id}/{kind}/{rest:path}", by_build_id),
            Route("/{path:path}", by_key),
        ]
    )


def _missing() -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("not found\n", 404)


def _file_answer(path: Path | None) -> Response:
    from starlette.responses import FileResponse

    if path is None:
        return _missing()
    headers = {
        "X-DEBUGINFOD-SIZE": str(path.stat().st_size),
        "X-DEBUGINFOD-FILE": path.name.encode("ascii", "replace").decode(),
    }
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def _bytes_answer(data: bytes | None) -> Response:
    from starlette.responses import Response

    if data is None:
        return _missing()
    headers = {"X-DEBUGINFOD-SIZE": str(len(data))}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _start_page(address: str) -> str:
    """Return the page that says what to type to use the server."""
    uses = {
        "polydbg": f"polydbg crash.dmp -y 'srv*{address}'",
        "polydbg, core": f"DEBUGINFOD_URLS={address} polydbg core",
        "WinDbg": f".sympath+ srv*C:\\symbols*{address}",
        "gdb": f"DEBUGINFOD_URLS={address} gdb program core",
        "lldb": f"settings set plugin.symbol-locator.debuginfod.server-urls {address}",
    }
    rows = "".join(
        f"<dt>{name}</dt><dd><code>{html.escape(use)}</code></dd>" for name, use in uses.items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Symbols</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        "body{font:16px/1.5 sans-serif;margin:2rem auto;max-width:46rem;padding:0 1rem}"
        "code{background:#eee;color:#111;padding:.15em .4em;overflow-wrap:anywhere}"
        "dt{font-weight:bold;margin-top:.8em}dd{margin:0}@media(prefers-color-scheme:dark)"
        "{body{background:#111;color:#ddd}code{background:#333;color:#eee}}</style></head><body>"
        "<h1>Symbols</h1><p>Symbol files for debuggers, served by polydbg. Read-only, without "
        f"login.</p><dl>{rows}</dl></body></html>\n"
    )
