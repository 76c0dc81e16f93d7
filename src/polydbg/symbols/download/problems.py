"""Why a server did not give a file, each reason with what to do about it."""

from __future__ import annotations

import enum

from polydbg.base.errors import DebuggerError


class Problem(enum.Enum):
    """A reason. The value is its stable identifier; :attr:`step` the next step in a sentence."""

    NOT_FOUND = "not-found"  # 404, 410
    NO_SUCH_HOST = "no-such-host"
    UNREACHABLE = "unreachable"  # refused, no route, connection timed out
    STALLED = "stalled"  # it sent nothing for too long, or next to nothing
    CUT_SHORT = "cut-short"  # fewer bytes than announced, connection lost
    TLS = "tls"  # the certificate is of an authority that is not trusted, or refused otherwise
    CERTIFICATE_NAME = "certificate-name"  # it is for another host
    CERTIFICATE_DATE = "certificate-date"  # it has expired, or is not valid yet
    NO_TLS = "no-tls"  # what answers there does not speak it
    PROXY = "proxy"  # the proxy cannot be reached, refuses, or wants a password
    NEEDS_LOGIN = "needs-login"  # 401
    FORBIDDEN = "forbidden"  # 403
    RATE_LIMITED = "rate-limited"  # 429
    SERVER_ERROR = "server-error"  # 5xx
    UNEXPECTED_STATUS = "unexpected-status"
    BAD_REDIRECT = "bad-redirect"  # to file:, to a private address, in a circle, too many
    BAD_ADDRESS = "bad-address"  # no http(s) URL, or one that cannot be read
    WEB_PAGE = "web-page"  # HTML where a file should be
    WRONG_ID = "wrong-id"
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"  # compressed in a way that is not read
    TOO_LARGE = "too-large"
    DISK_FULL = "disk-full"
    CACHE_UNWRITABLE = "cache-unwritable"
    OFFLINE = "offline"
    RESTING = "resting"  # the host failed a short while ago
    STOPPED = "stopped"  # by the user, or at the end of the session
    NO_CLIENT = "no-client"  # a library is missing

    @property
    def step(self) -> str:
        """Return what to do, as a sentence; ``""`` where there is nothing."""
        return _STEPS.get(self, "")

    @property
    def blames_host(self) -> bool:
        """Tell whether the host will hardly do better with the next file."""
        return self in _OF_HOSTS


_OF_HOSTS = frozenset(
    (
        Problem.NO_SUCH_HOST,
        Problem.UNREACHABLE,
        Problem.STALLED,
        Problem.TLS,
        Problem.CERTIFICATE_NAME,
        Problem.CERTIFICATE_DATE,
        Problem.NO_TLS,
        Problem.PROXY,
        Problem.NEEDS_LOGIN,
        Problem.RATE_LIMITED,
        Problem.SERVER_ERROR,
    )
)

_CARRY = "polydbg sym fetch -o PACK.zip DUMP elsewhere, then polydbg sym add PACK.zip here"
_STEPS = {
    Problem.NO_SUCH_HOST: "Check its name in .sympath, and the network (!sym path asks each server "
    f"once); without a network: {_CARRY}.",
    Problem.UNREACHABLE: "Check that the server runs and that this machine may reach it "
    f"(HTTPS_PROXY names a proxy); without a network: {_CARRY}.",
    Problem.STALLED: f"Try again later with .reload /f, or {_CARRY}.",
    Problem.CUT_SHORT: "Try again with .reload /f: it goes on where the transfer broke off.",
    Problem.TLS: "Install the authority that signed the certificate on this machine, or name its "
    "file: SSL_CERT_FILE=FILE polydbg ...",
    Problem.CERTIFICATE_NAME: "Give the name that the certificate is for as the host of the "
    "address (.sympath), or ask the server's keeper for another certificate.",
    Problem.CERTIFICATE_DATE: "Check the clock of this machine; where it is right, the server's "
    "keeper has to renew the certificate.",
    Problem.NO_TLS: "Check host and port in .sympath, and for a proxy on the way; a server without "
    "TLS has an address that begins with http://.",
    Problem.PROXY: "Check the proxy's address: HTTPS_PROXY=http://HOST:PORT, or with name and "
    "password http://NAME:PASSWORD@HOST:PORT (HTTP_PROXY for servers of http://); NO_PROXY=HOST "
    "goes around it.",
    Problem.NEEDS_LOGIN: "Put them into ~/.netrc (NETRC names another file) as one line, machine "
    "HOST login NAME password PASSWORD, then .reload /f.",
    Problem.FORBIDDEN: "This machine or user may not read it, or the store says so of files that "
    "it does not have, as some in a cloud do: ask the server's keeper.",
    Problem.RATE_LIMITED: "The server wants fewer requests: wait, then .reload /f.",
    Problem.SERVER_ERROR: "The fault is the server's: try again later with .reload /f.",
    Problem.UNEXPECTED_STATUS: "Check in .sympath that the address is the root of a symbol server.",
    Problem.BAD_REDIRECT: "Ask the server's keeper for the address that it really has, and use "
    "that one in .sympath.",
    Problem.BAD_ADDRESS: "Correct it in .sympath: http://HOST/PATH or https://HOST/PATH.",
    Problem.WEB_PAGE: "Often that is the login page of a proxy or of the server: open the address "
    "in a browser to see what it wants.",
    Problem.WRONG_ID: "The server has another file under this id: tell its keeper. Nothing of it "
    "was kept.",
    Problem.DAMAGED: "What came is no whole file; nothing of it was kept. Try .reload /f; if it "
    "stays so, tell the server's keeper.",
    Problem.UNSUPPORTED: "Or open the address in a browser, expand what comes (cabextract, "
    "expand.exe), and add it: polydbg sym add FILE.",
    Problem.TOO_LARGE: "No file of this kind is that large; nothing of it was kept.",
    Problem.DISK_FULL: "Make room, or name a cache on another disk, .sympath srv*DIR*URL or "
    "POLYDBG_CACHE=DIR, then .reload /f.",
    Problem.CACHE_UNWRITABLE: "Name a cache that can be written: .sympath srv*DIR*URL, or "
    "POLYDBG_CACHE=DIR.",
    Problem.OFFLINE: "Leave --offline out (!sym online in the session), or bring the files: "
    f"{_CARRY}.",
    Problem.RESTING: "It is asked again after a while, or at once by .reload /f.",
    Problem.STOPPED: ".reload /f begins again where the transfer stopped.",
    Problem.NO_CLIENT: "Install polydbg with its dependencies again: pip install --force-reinstall "
    "polydbg.",
}


class TransferError(DebuggerError):
    """A transfer failed. *retry_after* is when the server wants to be asked again, in seconds."""

    def __init__(self, problem: Problem, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message, hint=problem.step, identifier=f"download.{problem.value}")
        self.problem = problem
        self.retry_after = retry_after
