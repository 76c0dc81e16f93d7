"""A server over HTTP that serves files from memory and misbehaves where a test says so.

A behaviour is a function that gets the handler of a request and writes whatever it likes; a path
without one is served with ``Range``, ``If-Range``, ``ETag`` and a log of what was asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

Behaviour = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; ``self.owner`` is the :class:`Unruly` that it belongs to."""

    protocol_version = "HTTP/1.1"
    owner: Unruly

    def do_GET(self) -> None:
        """Answer as the owner says."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.requests.append((self.path, headers))
        behaviour = self.owner.behaviour_of(self.path)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            if behaviour is not None:
                behaviour(self)
            else:
                self.serve()

    def serve(self, *, supports_ranges: bool = True) -> None:
        """Serve the file of the path as a good server does."""
        data = self.owner.files.get(self.path.split("?")[0])
        if data is None:
            self.answer(404, b"no such file")
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        wanted = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        fits = self.headers.get("If-Range", etag) == etag
        if not (supports_ranges and wanted and fits):
            self.answer(200, data, ETag=etag)
            return
        start = int(wanted[1])
        if start >= len(data):
            self.answer(416, b"")
            return
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206, data[start:], **{"ETag": etag, "Content-Range": span})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole answer; header names may have ``_`` for ``-``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Break the connection as a crash of the server does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Unruly(contextlib.AbstractContextManager["Unruly"]):
    """A server on a free port of this machine; *tls* is the context of one with TLS."""

    def __init__(self, files: dict[str, bytes] | None = None, tls: ssl.SSLContext | None = None):
        self.files = dict(files or {})
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        handler = type("BoundHandler", (Handler,), {"owner": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [path for path, _ in self.requests]

    def behaviour_of(self, path: str) -> Behaviour | None:
        """Return the behaviour of the longest prefix of *path* that has one."""
        fits = [prefix for prefix in self.behaviours if path.startswith(prefix)]
        return self.behaviours[max(fits, key=len)] if fits else None

    def __enter__(self) -> Unruly:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


# -- behaviours ----------------------------------------------------------------------------------


def status(number: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer with a status."""
    return lambda handler: handler.answer(number, body, **headers)


def redirect(target: str) -> Behaviour:
    """Lead to *target*."""
    return lambda handler: handler.answer(302, b"", Location=target)


def page(title: str = "Please log in") -> Behaviour:
    """Answer with a web page, status 200 and all."""
    body = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head></html>".encode()
    return lambda handler: handler.answer(200, body, Content_Type="text/html")


def slow(seconds: float) -> Behaviour:
    """Wait before the answer, which is then a good one."""

    def behave(handler: Handler) -> None:
        time.sleep(seconds)
        handler.serve()

    return behave


def truncated(bytes_sent: int, *, times: int | None = None) -> Behaviour:
    """Break the connection after some bytes; after *times* answers behave."""
    left = [times]

    def behave(handler: Handler) -> None:
        if left[0] == 0:
            handler.serve()
            return
        if left[0] is not None:
            left[0] -= 1
        data = handler.owner.files[handler.path]
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start = int(re.sub(r"\D", "", handler.headers.get("Range", "0")) or 0)
        headers = {"ETag": etag, "Content_Length": str(len(data) - start)}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.answer(206 if start else 200, data[start : start + bytes_sent], **headers)
        handler.reset()

    return behave


def dripping(seconds: float, piece: bytes = b"x") -> Behaviour:
    """Send a byte now and then, for ever (a minute)."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        for _ in range(int(60 / seconds)):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(seconds)

    return behave


def dripping_headers(seconds: float) -> Behaviour:
    """Send headers without an end, a few bytes now and then (a minute)."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(int(60 / seconds)):
            handler.wfile.write(b"X-%d: x\r\n" % number)
            time.sleep(seconds)

    return behave


def silent(seconds: float = 60.0) -> Behaviour:
    """Answer nothing."""
    return lambda handler: time.sleep(seconds)


def endless(limit: int = 1 << 30) -> Behaviour:
    """Send chunks without an end."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(limit >> 16):
            handler.wfile.write(chunk)

    return behave


def encoded(encoding: str, body: bytes) -> Behaviour:
    """Send *body*, which is encoded already."""
    return lambda handler: handler.answer(200, body, Content_Encoding=encoding)


def raw(*answers: bytes) -> Behaviour:
    """Send these very bytes, an answer after the other (the last again and again), and hang up."""
    left = list(answers)

    def behave(handler: Handler) -> None:
        handler.wfile.write(left.pop(0) if len(left) > 1 else left[0])
        handler.close_connection = True

    return behave


def pouring(start: bytes, piece: bytes, limit: int = 1 << 28) -> Behaviour:
    """Send *start*, then *piece* without an end."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(start)
        for _ in range(limit // len(piece)):
            handler.wfile.write(piece)

    return behave


# -- sockets that answer nothing -----------------------------------------------------------------


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose connections are accepted by the system and never by anybody else."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: the system leaves further connections without an answer."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def hanging_up_port(after: float = 0.0) -> Iterator[int]:
    """A port that closes each connection after its first bytes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    connection.recv(1)
                    time.sleep(after)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join(2)


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number
