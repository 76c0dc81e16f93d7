"""A small proxy: forwards requests and CONNECT, perhaps for a password only."""

from __future__ import annotations

import base64
import contextlib
import http.server
import select
import socket
import threading
import urllib.request
from types import TracebackType


class Proxy(contextlib.AbstractContextManager["Proxy"]):
    """A proxy on a free port; with *password* (``name:word``) others get 407.

    *routes* leads connections for a host to a port of this machine.
    """

    def __init__(self, password: str = "", routes: dict[str, int] | None = None) -> None:
        self.requests: list[str] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(f"GET {self.path}")
                if self._is_allowed():
                    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                    with opener.open(self.path, timeout=10) as answer:
                        body = answer.read()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def do_CONNECT(self) -> None:
                owner.requests.append(f"CONNECT {self.path}")
                if not self._is_allowed():
                    return
                host, _, port = self.path.rpartition(":")
                place = (host, int(port))
                if routes is not None:
                    place = ("127.0.0.1", routes[host])
                with socket.create_connection(place, timeout=10) as there:
                    self.send_response(200, "Connection established")
                    self.end_headers()
                    _relay(self.connection, there)
                self.close_connection = True

            def _is_allowed(self) -> bool:
                given = self.headers.get("Proxy-Authorization", "")
                wanted = "Basic " + base64.b64encode(password.encode()).decode()
                if password and given != wanted:
                    self.send_response(407)
                    self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return False
                return True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
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


def _relay(here: socket.socket, there: socket.socket) -> None:
    """Copy both ways until a side ends."""
    for _ in range(100_000):
        ready, _, _ = select.select([here, there], [], [], 10)
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (there if source is here else here).sendall(data)
