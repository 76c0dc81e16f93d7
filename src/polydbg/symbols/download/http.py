"""Moves files from HTTP servers: bounded in time and size, resumable, careful whom it follows.

urllib3 speaks HTTP, truststore takes the system's certificates. Redirects are followed by hand:
only to HTTP, never from TLS to none, never from a public server to a private address, and without
the passwords of the host before.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.text import sanitise_line
from polydbg.symbols.download.addresses import host_of, is_private, redacted
from polydbg.symbols.download.landing import Landing, Observe
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError

if TYPE_CHECKING:
    import ssl

    from urllib3 import BaseHTTPResponse, PoolManager

    from polydbg.symbols.download.connections import Transfer, Watch

_CHUNK = 1 << 16
_REST = 1.0  # seconds for the rest of an answer that is no file
_SNIFF = 1024  # first bytes that tell a web page
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HTML = re.compile(
    # Never taken back: a page of comments would be read in each of their combinations.
    rb"\s*+(?:(?><!--.*?-->|<\?xml[^>]*>)\s*+)*+<(?:!doctype\s+html|html)[\s>]",
    re.I | re.S,
)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.I)
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19})", re.I)
_PARTIAL, _BAD_RANGE = 206, 416


class _Cut(Exception):  # noqa: N818 - it never leaves this module
    """The connection broke off in mid-transfer."""


class _Step(msgspec.Struct, frozen=True):
    """An address on the way to a file, with what may be said to its host alone."""

    url: str
    user: str = ""


class HttpClient:
    """Transfers of all threads of a session; see :class:`Limits` for its patience."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._managers: dict[str, PoolManager] = {}
        self._context: ssl.SSLContext | None = None
        self._watch: Watch | None = None
        self._is_private: dict[str, bool] = {}

    def download(
        self,
        url: str,
        landing: Landing,
        *,
        cancel: CancelToken,
        observe: Observe,
        origin: str = "",
    ) -> str:
        """Put what is at *url* into *landing*, behind what it has of it; return the address that it
        came from in the end, without secrets. *observe* hears of bytes done and in all (0: not
        known). *origin* is the address of a text, read before, that led to *url*: as with a
        redirect, it leads from a public server to no private one.

        :raises TransferError: it did not come.
        :raises Cancelled: *cancel* was set.
        """
        with self._transfer(cancel) as transfer:
            for left in range(self._limits.resumptions, -1, -1):
                try:
                    return self._receive(url, landing, transfer, observe, origin)
                except _Cut as error:
                    cancel.check()
                    if not left:
                        text = f"{host_of(url)} broke off the transfer: {error}"
                        raise TransferError(Problem.CUT_SHORT, text) from error
        raise AssertionError("the last round returns or raises")

    def text(self, url: str, *, cancel: CancelToken, limit: int = 64 << 10) -> bytes:
        """Return a small file.

        :raises TransferError: it did not come, or is larger than *limit*.
        """
        data = bytearray()
        with self._transfer(cancel) as transfer, self._followed(url, {}, transfer) as answer:
            response, place = answer
            _refuse_status(response, place)
            try:
                for chunk in self._chunks(response, transfer, place):
                    data += chunk
                    if len(data) > limit:
                        raise TransferError(Problem.TOO_LARGE, f"{place} is no small file")
            except _Cut as error:
                raise TransferError(Problem.CUT_SHORT, f"{place}: {error}") from error
            _refuse_page(bytes(data[:_SNIFF]), place)
        return bytes(data)

    # -- one transfer ------------------------------------------------------------------------

    @contextmanager
    def _transfer(self, cancel: CancelToken) -> Iterator[Transfer]:
        from polydbg.symbols.download.connections import Transfer, Watch

        with self._lock:
            watch = self._watch = self._watch or Watch()
        transfer = Transfer(cancel, self._limits.connect)
        watch.begin(transfer)
        try:
            yield transfer
        except TransferError:
            cancel.check()  # a transfer that was stopped fails in many ways
            raise
        finally:
            watch.end(transfer)

    def _receive(
        self, url: str, landing: Landing, transfer: Transfer, observe: Observe, origin: str
    ) -> str:
        """Fetch the rest of a file. :raises _Cut: not all of it came."""
        validator = landing.resume(url)
        headers = {}
        if validator:
            headers = {"Range": f"bytes={landing.offset}-", "If-Range": validator}
        with self._followed(url, headers, transfer, origin) as (response, place):
            if response.status == _BAD_RANGE and validator:
                landing.restart()
                raise _Cut("the part that was there does not fit")
            _refuse_status(response, place)
            total = self._prepare(response, landing, validator, place)
            landing.expect(url, _validator_of(response), total)
            head = b"" if landing.offset < _SNIFF else None
            for chunk in self._chunks(response, transfer, place):
                if head is not None:
                    head += chunk[:_SNIFF]
                    _refuse_page(head, place)
                    head = None if len(head) >= _SNIFF else head
                landing.write(chunk)
                if landing.offset > self._limits.largest:
                    raise TransferError(Problem.TOO_LARGE, f"{place} does not end")
                observe(landing.offset, total)
            if total and landing.offset != total:
                raise _Cut(f"{landing.offset} of {total} bytes came")
        return place

    def _prepare(
        self, response: BaseHTTPResponse, landing: Landing, validator: str, place: str
    ) -> int:
        """Make *landing* fit what *response* brings, and return the size of the whole file.
        *validator* is the mark of the content whose rest was asked for."""
        if response.status == _PARTIAL:
            total = _total_of_part(response, landing, validator)
            if not total:
                landing.restart()
                raise _Cut("another part came than was asked for")
        else:
            landing.restart()
            length = response.headers.get("Content-Length", "")
            is_plain = not response.headers.get("Content-Encoding")
            total = int(length) if length.isdecimal() and len(length) < 20 and is_plain else 0
        if total > self._limits.largest:
            raise TransferError(Problem.TOO_LARGE, f"{place} has {total} bytes")
        return total

    def _chunks(
        self, response: BaseHTTPResponse, transfer: Transfer, place: str
    ) -> Iterator[bytes]:
        """Yield the body. :raises _Cut: it ends too early. :raises TransferError: it stalls."""
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        begin, count = time.monotonic(), 0
        try:
            while True:
                # What is there by now, so that a slow server is noticed before a chunk is full.
                # Lines between chunks, which are no bytes of the file, have no more time.
                with transfer.within(self._limits.slow):
                    chunk = response.read1(_CHUNK, decode_content=True)
                transfer.cancel.check()  # a connection that was cut may look like the end
                if transfer.was_late:
                    raise self._stalled(place)
                if not chunk:
                    return
                count += len(chunk)
                now = time.monotonic()
                if now - begin > self._limits.slow:
                    if count < self._limits.slow_bytes:
                        raise self._stalled(place)
                    begin, count = now, 0
                yield chunk
        except ReadTimeoutError as error:
            text = f"{place}: nothing came for {self._limits.stall:g} s"
            raise TransferError(Problem.STALLED, text) from error
        except (HTTPError, OSError) as error:
            transfer.cancel.check()
            if transfer.was_late:
                raise self._stalled(place) from error
            raise _Cut("the connection was lost") from error

    def _stalled(self, place: str) -> TransferError:
        text = f"{place}: less than {self._limits.slow_bytes} bytes came in {self._limits.slow:g} s"
        return TransferError(Problem.STALLED, text)

    # -- requests ----------------------------------------------------------------------------

    @contextmanager
    def _followed(
        self, url: str, headers: Mapping[str, str], transfer: Transfer, origin: str = ""
    ) -> Iterator[tuple[BaseHTTPResponse, str]]:
        """Yield the answer at the end of all redirects, and its address without secrets. *origin*
        is an address that led to *url* in a text, which counts as a redirect."""
        step, seen = _step(url), {url}
        transfer.public_only = False
        if origin:
            before = _step(origin)
            step = _redirected(before, url)
            self._leave(before, step, transfer)
        while True:
            place = redacted(step.url)
            response = self._request(step, headers, transfer)
            try:
                target = response.headers.get("Location", "")
                if response.status not in _REDIRECTS or not target:
                    yield response, place
                    return
            finally:
                _finish(response, transfer)
            following = _redirected(step, target)
            if following.url in seen or len(seen) > self._limits.redirects:
                why = "in a circle" if following.url in seen else "on and on"
                raise TransferError(Problem.BAD_REDIRECT, f"{place} leads {why}")
            seen.add(following.url)
            self._leave(step, following, transfer)
            step = following

    def _leave(self, step: _Step, following: _Step, transfer: Transfer) -> None:
        """Go on from *step*. :raises TransferError: it is public, and *following* private."""
        if self._is_private.get(host_of(step.url), True):
            return
        transfer.public_only = True  # the connection knows its address
        if _proxy_for(following.url) and _names_private(following.url):
            raise TransferError(
                Problem.BAD_REDIRECT,
                f"{redacted(step.url)}, a public server, leads to the private address of "
                f"{host_of(following.url)}",
            )

    def _request(
        self, step: _Step, headers: Mapping[str, str], transfer: Transfer
    ) -> BaseHTTPResponse:
        """Return an answer whose body is still to be read. :raises TransferError:"""
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, ProtocolError, ProxyError, ReadTimeoutError

        host = host_of(step.url)
        manager = self._manager_for(step.url)
        sent = {**headers, **_fixed_headers(), **_credentials(step)}
        timeout = Timeout(connect=self._limits.connect, read=self._limits.stall)
        for is_last in (False, True):
            transfer.cancel.check()
            known = transfer.made
            # A header that drips in would renew the time of each read.
            try:
                with transfer.within(self._limits.connect + self._limits.stall):
                    response = manager.urlopen(
                        "GET",
                        step.url,
                        headers=sent,
                        redirect=False,
                        preload_content=False,
                        timeout=timeout,
                        retries=False,
                    )
            except (ReadTimeoutError, ProtocolError, ProxyError) as error:
                # Refusals of the proxy came from our own connections: urllib3 blames it for the
                # loss of any connection that went through it.
                cause = error.original_error if isinstance(error, ProxyError) else error
                is_timeout = isinstance(cause, (ReadTimeoutError, TimeoutError))
                if transfer.was_late or is_timeout:
                    raise self._no_answer(host) from error
                # A connection that was kept open may have been closed a moment ago.
                if not is_last and transfer.made == known:
                    continue
                raise _no_http(error, host) from error
            except HTTPError as error:
                raise _refusal(error, host) from error
            if transfer.was_late:  # headers that were cut look like a short answer
                response.close()
                raise self._no_answer(host)
            # A proxy resolves the name: only the address itself tells.
            by_name = bool(_proxy_for(step.url))
            self._is_private[host] = _names_private(step.url) if by_name else transfer.went_private
            return response
        raise AssertionError("the last round returns or raises")

    def _no_answer(self, host: str) -> TransferError:
        text = f"{host} did not answer within {self._limits.stall:g} s"
        return TransferError(Problem.STALLED, text)

    def _manager_for(self, url: str) -> PoolManager:
        """Return the connections by which *url* is reached."""
        from polydbg.symbols.download.connections import pool_manager, proxy_manager

        proxy = _proxy_for(url)
        with self._lock:
            found = self._managers.get(proxy)
            if found is None:
                context = self._context = self._context or _tls_context()
                parallel = self._limits.parallel
                if proxy:
                    found = proxy_manager(proxy, parallel, context)
                else:
                    found = pool_manager(parallel, context)
                self._managers[proxy] = found
        return found


def _tls_context() -> ssl.SSLContext:
    """Return the system's trust, with what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name."""
    import ssl

    try:
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if file or folder:
            context.load_verify_locations(file or None, folder or None)
    except ImportError as error:
        raise TransferError(Problem.NO_CLIENT, "the library truststore is missing") from error
    except OSError as error:
        text = f"the certificates that SSL_CERT_FILE names cannot be read: {error.strerror}"
        raise TransferError(Problem.TLS, text) from error
    return context


def _proxy_for(url: str) -> str:
    """Return the proxy that the environment (or the system) has for *url*, ``""`` for none.

    :raises TransferError: it is of a kind that is not supported.
    """
    from urllib.request import getproxies, proxy_bypass

    split = urlsplit(url)
    host = split.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(host):
        return ""
    if proxy.lower().startswith("socks"):
        raise TransferError(Problem.PROXY, "proxies of SOCKS are not supported")
    return proxy


def _names_private(url: str) -> bool:
    """Tell whether the host of *url* is a private address, or this machine, by its very name."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    # Resolvers take 0x7f.1 and 2130706433 for addresses, which is_private cannot read: private.
    is_address = ":" in host or re.fullmatch(r"\d+|0x[0-9a-f]*", host.rpartition(".")[2])
    return bool(is_address) and is_private(host)


def _step(url: str) -> _Step:
    """Take the user and password out of an address. :raises TransferError: it is none of HTTP."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        split, port = urlsplit(""), None
    # Of a name with %31 in it others would make another name than was looked at here.
    is_plain = split.netloc.startswith("[") or "%" not in (split.hostname or "")
    if split.scheme.lower() not in ("http", "https") or not split.hostname or not is_plain:
        raise TransferError(Problem.BAD_ADDRESS, f"{redacted(url)[:200]} is no address of HTTP")
    name = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    netloc = name if port is None else f"{name}:{port}"
    user, mark, password = split.netloc.rpartition("@")[0].partition(":")
    given = f"{unquote(user)}:{unquote(password)}" if user or mark else ""
    return _Step(urlunsplit((split.scheme, netloc, split.path or "/", split.query, "")), given)


def _redirected(step: _Step, target: str) -> _Step:
    """Return where *step* leads. :raises TransferError: it is not followed there."""
    shown = sanitise_line(redacted(target))[:200]
    try:
        following = _step(urljoin(step.url, target[:8192]))
    except (TransferError, ValueError) as error:
        text = f"{redacted(step.url)} leads to {shown}, which is no address of HTTP"
        raise TransferError(Problem.BAD_REDIRECT, text) from error
    if step.url.startswith("https:") and not following.url.startswith("https:"):
        text = f"{redacted(step.url)} leads to {shown}, where TLS would be given up"
        raise TransferError(Problem.BAD_REDIRECT, text)
    # The password that was typed is for its own host alone.
    same = host_of(step.url) == host_of(following.url)
    return _Step(following.url, step.user if same else "")


def _finish(response: BaseHTTPResponse, transfer: Transfer) -> None:
    """Read the short rest of an answer, so that its connection serves the next request; one with a
    long rest, or one that does not come, is closed."""
    from urllib3.exceptions import HTTPError

    with contextlib.suppress(HTTPError, OSError):
        if response.status not in (200, _PARTIAL):
            with transfer.within(_REST):
                response.read1(_CHUNK, decode_content=False)
    transfer.was_late, transfer.handle = False, None  # another transfer may use it from now on
    response.close()


def _fixed_headers() -> dict[str, str]:
    from polydbg import __version__

    return {"User-Agent": f"polydbg/{__version__}", "Accept-Encoding": "identity"}


def _credentials(step: _Step) -> dict[str, str]:
    """Return the header with name and password: those of the address, else those of netrc."""
    from urllib3 import make_headers

    user = step.user or _from_netrc(urlsplit(step.url).hostname or "")
    return dict(make_headers(basic_auth=user)) if user else {}


def _from_netrc(host: str) -> str:
    import netrc

    path = os.environ.get("NETRC") or os.path.join(os.path.expanduser("~"), ".netrc")
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeError):
        return ""
    return f"{found[0]}:{found[2]}" if found else ""


def _no_http(error: Exception, host: str) -> TransferError:
    """Return what to say of a connection that broke, or brought what is no answer of HTTP."""
    from http.client import HTTPException, RemoteDisconnected

    cause = error.args[-1] if error.args else None
    if isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected):
        text = f"what {host} answered is not HTTP as it should be"
        return TransferError(Problem.UNEXPECTED_STATUS, text)
    text = f"{host} closed the connection without an answer"
    return TransferError(Problem.CUT_SHORT, text)


def _refusal(error: Exception, host: str) -> TransferError:
    from urllib3.exceptions import (
        ConnectTimeoutError,
        InvalidHeader,
        LocationParseError,
        SSLError,
    )

    if isinstance(error, InvalidHeader):
        text = f"what {host} answered is not HTTP as it should be"
        return TransferError(Problem.UNEXPECTED_STATUS, text)
    if isinstance(error, SSLError):
        return TransferError(Problem.TLS, f"{host}: TLS failed")
    if isinstance(error, ConnectTimeoutError):
        return TransferError(Problem.UNREACHABLE, f"{host} did not answer in time")
    if isinstance(error, LocationParseError):
        return TransferError(Problem.BAD_ADDRESS, f"{host} is no name of a host")
    return TransferError(Problem.UNREACHABLE, f"{host} cannot be reached ({type(error).__name__})")


_STATUSES = {
    401: (Problem.NEEDS_LOGIN, "wants name and password"),
    403: (Problem.FORBIDDEN, "forbids it"),
    404: (Problem.NOT_FOUND, "does not have it"),
    407: (Problem.PROXY, "stands behind a proxy that wants name and password"),
    410: (Problem.NOT_FOUND, "does not have it any more"),
    429: (Problem.RATE_LIMITED, "was asked too often"),
}


def _refuse_status(response: BaseHTTPResponse, place: str) -> None:
    """:raises TransferError: the answer is no file."""
    status = response.status
    if status in (200, _PARTIAL):
        return
    problem, words = _STATUSES.get(status, (Problem.UNEXPECTED_STATUS, "gave no file"))
    if status >= 500:
        problem, words = Problem.SERVER_ERROR, "has a fault"
    raise TransferError(
        problem, f"{host_of(place)} {words} (HTTP {status})", retry_after=_retry_after(response)
    )


def _retry_after(response: BaseHTTPResponse) -> float:
    """Return for how many seconds the server wants to be left alone, 0 where it does not say."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _refuse_page(head: bytes, place: str) -> None:
    """:raises TransferError: a web page came instead of a file."""
    if not _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return
    title = _TITLE.search(head)
    words = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
    shown = f" ({sanitise_line(words)[:100]})" if words else ""
    raise TransferError(Problem.WEB_PAGE, f"{place} is a web page{shown}")


def _total_of_part(response: BaseHTTPResponse, landing: Landing, validator: str) -> int:
    """Return the size of the whole file of which *response* has the rest that *landing* lacks; 0
    where it has another part, or one of other content."""
    headers = response.headers
    found = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if found is None or int(found[1]) != landing.offset or headers.get("Content-Encoding"):
        return 0
    if _validator_of(response) not in ("", validator) and validator:
        return 0
    total = int(found[3])
    return total if landing.total in (0, total) else 0


def _validator_of(response: BaseHTTPResponse) -> str:
    """Return what tells this content from any other, for ``If-Range``; ``""`` where a transfer
    cannot be gone on with."""
    if response.headers.get("Content-Encoding"):
        return ""
    etag = response.headers.get("ETag", "").strip()
    if etag.startswith('"') and len(etag) < 200:
        return etag
    changed = response.headers.get("Last-Modified", "").strip()
    return changed if len(changed) < 100 else ""
