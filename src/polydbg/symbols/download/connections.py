"""Connections of urllib3 that keep this program's rules.

A name is resolved here and the connection made to an address that was looked at: where a public
server redirects, private addresses are refused, whatever the name turns into. A connection can be
cut from another thread, so that a transfer that is stopped does not sit out its time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Url, parse_url

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.base.text import sanitise_line
from polydbg.symbols.download.addresses import is_private
from polydbg.symbols.download.problems import Problem, TransferError

_Address = tuple[Any, Any, int, str, Any]  # of getaddrinfo

_WATCH = 0.1  # seconds between two looks at what was stopped
_LINGER = 5.0  # seconds after the last transfer for which that goes on


class Transfer:
    """What the connection of a thread has to know of the request that it is for.

    *public_only* refuses private addresses. *made* counts the connections made for it,
    *went_private* tells of the last that was used whether its address is private. *was_late* tells
    that what must come :meth:`within` a time did not.
    """

    def __init__(self, cancel: CancelToken, connect: float) -> None:
        self.cancel = cancel
        self.connect = connect
        self.public_only = False
        self.went_private = False
        self.made = 0
        self.was_late = False
        self._deadline = float("inf")
        self.handle: socket.socket | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether its connection is to be cut."""
        self.was_late |= time.monotonic() > self._deadline
        return self.was_late or self.cancel.is_cancelled

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Within this, the connection is cut after *seconds*."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = float("inf")

    def use(self, handle: socket.socket, host: str, *, is_private: bool, is_proxy: bool) -> None:
        """Take a connection, by its second *handle*. :raises TransferError: it must not be."""
        if self.public_only and is_private and not is_proxy:
            raise _leads_inside(host)
        self.handle, self.went_private = handle, is_private

    def cut(self) -> None:
        """Break the connection; whoever waits for it gets an error."""
        if self.handle is not None:
            with contextlib.suppress(OSError):
                self.handle.shutdown(socket.SHUT_RDWR)


_of_thread = threading.local()


def current() -> Transfer:
    """Return the transfer of this thread."""
    transfer: Transfer = _of_thread.transfer
    return transfer


class Watch:
    """Cuts the connections of transfers that were stopped, on a thread of its own, which ends when
    there was no transfer for a while."""

    def __init__(self) -> None:
        self._transfers: set[Transfer] = set()
        self._changed = threading.Condition()
        self._is_running = False

    def begin(self, transfer: Transfer) -> None:
        """Make *transfer* this thread's and watch over it."""
        _of_thread.transfer = transfer
        with self._changed:
            self._transfers.add(transfer)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="fetch-watch", daemon=True).start()
            self._changed.notify()

    def end(self, transfer: Transfer) -> None:
        """Watch no longer."""
        with self._changed:
            self._transfers.discard(transfer)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._transfers:
                    if not self._changed.wait(_LINGER) and not self._transfers:
                        self._is_running = False
                        return
                for transfer in self._transfers:
                    if transfer.is_over:
                        transfer.cut()
            time.sleep(_WATCH)


def _connected(host: str, port: int, *, is_proxy: bool) -> socket.socket:
    """Return a connection to *host*, within the time that the transfer has for it.

    :raises TransferError: there is none.
    """
    transfer = current()
    bare = host.strip("[]")
    deadline, failure = time.monotonic() + transfer.connect, "it has no address"
    try:
        found = _resolved(bare, port, transfer, deadline)
    except (OSError, UnicodeError) as error:
        problem = Problem.PROXY if is_proxy else Problem.NO_SUCH_HOST
        words = f"the proxy {bare}" if is_proxy else bare
        late = isinstance(error, TimeoutError)
        fault = f"was not found within {transfer.connect:g} s" if late else "is not known"
        raise TransferError(problem, f"the name {sanitise_line(words)} {fault}") from error
    if transfer.public_only and not is_proxy and any(is_private(str(each[4][0])) for each in found):
        raise _leads_inside(bare)
    for family, kind, protocol, _, address in found[:8]:
        transfer.cancel.check()
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            _connect(sock, address, transfer, deadline)
            sock.settimeout(max(left, _WATCH))
        except OSError as error:
            sock.close()
            failure = _words(error, transfer.connect)
            continue
        except Cancelled:
            sock.close()
            raise
        transfer.went_private = is_private(str(address[0]))
        transfer.made += 1
        return sock
    problem = Problem.PROXY if is_proxy else Problem.UNREACHABLE
    role = "the proxy " if is_proxy else ""
    raise TransferError(problem, f"{role}{sanitise_line(f'{bare}:{port}')}: {failure}")


def _leads_inside(host: str) -> TransferError:
    text = f"a public server leads to {sanitise_line(host)}, which has a private address"
    return TransferError(Problem.BAD_REDIRECT, text)


def _resolved(host: str, port: int, transfer: Transfer, deadline: float) -> list[_Address]:
    """Return the addresses of *host*. The system's resolver cannot be stopped: one that hangs is
    left behind on a thread of its own.

    :raises OSError: there are none, or they did not come in time.
    """
    outcome: queue.SimpleQueue[list[_Address] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            outcome.put(error)

    threading.Thread(target=ask, name="fetch-resolve", daemon=True).start()
    while time.monotonic() < deadline:
        transfer.cancel.check()
        try:
            found = outcome.get(timeout=_WATCH)
        except queue.Empty:
            continue
        if isinstance(found, Exception):
            raise found
        return found
    raise TimeoutError


def _connect(sock: socket.socket, address: Any, transfer: Transfer, deadline: float) -> None:
    """Connect *sock*, looking out for a stop. :raises OSError: no connection came in time."""
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, os.strerror(code))
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while time.monotonic() < deadline:
            transfer.cancel.check()
            if selector.select(_WATCH):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                return
    raise TimeoutError


def _words(error: OSError, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    return (error.strerror or str(error)).lower()


class _Handle:
    """A second handle of a connection's socket, by which another thread cuts it: the first one is
    taken over by TLS. It lives as long as the connection, which serves one transfer after another.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._is_private = self._is_proxy = False

    def of(self, host: str, port: int, *, is_proxy: bool) -> socket.socket:
        """Return a new connection, and keep a handle of it. :raises TransferError: see there."""
        self.close()
        sock = _connected(host, port, is_proxy=is_proxy)
        self._socket, self._is_proxy = sock.dup(), is_proxy
        self._is_private = current().went_private
        self.lend(host)
        return sock

    def lend(self, host: str) -> None:
        """Give it to the transfer of this thread. :raises TransferError: it may not have it."""
        if self._socket is not None:
            current().use(self._socket, host, is_private=self._is_private, is_proxy=self._is_proxy)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class CuttableConnection(HTTPConnection):
    """A connection that another thread can cut."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._handle = _Handle()

    def _new_conn(self) -> socket.socket:
        is_proxy = self.proxy is not None
        return self._handle.of(self._dns_host, self.port or self.default_port, is_proxy=is_proxy)

    def request(self, *args: Any, **options: Any) -> None:
        self._handle.lend(self.host)
        super().request(*args, **options)

    def close(self) -> None:
        super().close()
        self._handle.close()


class TlsConnection(CuttableConnection, HTTPSConnection):
    """The same with TLS."""

    def connect(self) -> None:
        """Connect. :raises TransferError: the proxy refuses, or TLS fails."""
        try:
            super().connect()
        except TransferError:
            raise
        except (ssl.SSLError, HTTPError) as error:
            problem, words = _tls_problem(error)
            raise TransferError(problem, f"{self.host}: {words}") from error
        except OSError as error:
            current().cancel.check()
            if self.proxy is not None and "unnel" in str(error):
                words = sanitise_line(str(error))[:200]
                raise TransferError(
                    Problem.PROXY, f"the proxy {self.proxy.host}: {words}"
                ) from error
            words = "the connection was dropped while TLS began"
            if isinstance(error, TimeoutError):
                words = "no answer while TLS began"
            raise TransferError(Problem.NO_TLS, f"{self.host}: {words}") from error


_OF_NAMES, _OF_DATES = frozenset((62, 64)), frozenset((9, 10))
"""OpenSSL's numbers: X509_V_ERR_HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH, CERT_NOT_YET_VALID and
CERT_HAS_EXPIRED."""


def _tls_problem(error: Exception) -> tuple[Problem, str]:
    """Return what is wrong with a certificate, or with TLS, in OpenSSL's words without numbers."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        inner = cause.__cause__ or cause.__context__
        assert inner is not None
        cause = inner
    for each in (error, cause):
        if isinstance(each, ssl.SSLCertVerificationError):
            said = sanitise_line(str(each.verify_message)).rstrip(".")[:200]
            code, problem = each.verify_code, Problem.TLS
            if code in _OF_NAMES:
                problem = Problem.CERTIFICATE_NAME
            elif code in _OF_DATES:
                problem = Problem.CERTIFICATE_DATE
            return problem, f"certificate not accepted: {said}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return Problem.NO_TLS, f"TLS failed: {cause.reason.replace('_', ' ').lower()}"
    return Problem.NO_TLS, "TLS failed: " + sanitise_line(str(error))[:200]


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = CuttableConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = TlsConnection


_POOLS: dict[str, type[urllib3.HTTPConnectionPool]] = {"http": _PlainPool, "https": _TlsPool}


def pool_manager(parallel: int, context: ssl.SSLContext) -> urllib3.PoolManager:
    """Return connections to servers, kept open for *parallel* transfers to each."""
    manager = urllib3.PoolManager(maxsize=parallel, ssl_context=context, retries=False)
    manager.pool_classes_by_scheme = _POOLS
    return manager


def proxy_manager(proxy: str, parallel: int, context: ssl.SSLContext) -> urllib3.ProxyManager:
    """Return connections through a proxy, whose address may have a user and password.

    :raises TransferError: the address is none of a proxy over HTTP.
    """
    try:
        url: Url = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError
        headers: Any = urllib3.make_headers(proxy_basic_auth=url.auth) if url.auth else None
        bare = Url(url.scheme, None, url.host, url.port).url
        manager = urllib3.ProxyManager(
            bare,
            maxsize=parallel,
            ssl_context=context,
            proxy_headers=headers,
            proxy_ssl_context=context,
            retries=False,
        )
    except (ValueError, HTTPError) as error:
        raise TransferError(
            Problem.PROXY, "the address of the proxy is none of the form http://HOST:PORT"
        ) from error
    manager.pool_classes_by_scheme = _POOLS
    return manager
