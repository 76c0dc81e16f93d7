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
    TLS = "tls"
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
        Problem.PROXY,
        Problem.NEEDS_LOGIN,
        Problem.RATE_LIMITED,
        Problem.SERVER_ERROR,
    )
)

_STEPS = {
    Problem.NO_SUCH_HOST: "Check the name of the server; !sym path asks each server once.",
    Problem.UNREACHABLE: "Check that the server runs and that this machine may reach it "
    "(HTTPS_PROXY names a proxy); without a network: polydbg sym list, fetch and add.",
    Problem.STALLED: "Try again later with .reload /f, or fetch on another machine: "
    "polydbg sym list, fetch and add.",
    Problem.CUT_SHORT: "Try again with .reload /f: it goes on where the transfer broke off.",
    Problem.TLS: "The certificate was not accepted: install the authority that signed it on this "
    "machine, or name its file in SSL_CERT_FILE; check the clock.",
    Problem.PROXY: "Check HTTPS_PROXY and HTTP_PROXY, with user and password where the proxy wants "
    "them, or take the host out with NO_PROXY.",
    Problem.NEEDS_LOGIN: "Put name and password of that host into ~/.netrc (NETRC names another "
    "file).",
    Problem.FORBIDDEN: "This machine or user may not read it: ask the server's keeper.",
    Problem.RATE_LIMITED: "The server wants fewer requests: wait, then .reload /f.",
    Problem.SERVER_ERROR: "The fault is the server's: try again later with .reload /f.",
    Problem.UNEXPECTED_STATUS: "Check that the address is the root of a symbol server.",
    Problem.BAD_REDIRECT: "Ask the server's keeper for the address that it really has, and use "
    "that one.",
    Problem.BAD_ADDRESS: "Correct it in .sympath: http://HOST/PATH or https://HOST/PATH.",
    Problem.WEB_PAGE: "A page came instead of the file: often the login page of a proxy or of the "
    "server. Open the address in a browser to see what it wants.",
    Problem.WRONG_ID: "The server has another file under this id: tell its keeper. Nothing of it "
    "was kept.",
    Problem.DAMAGED: "What came is no whole file; nothing of it was kept. Try .reload /f; if it "
    "stays so, tell the server's keeper.",
    Problem.TOO_LARGE: "No file of this kind is that large; nothing of it was kept.",
    Problem.DISK_FULL: "Make room, or name a cache on another disk: srv*DIR*URL, or POLYDBG_CACHE.",
    Problem.CACHE_UNWRITABLE: "Name a cache that can be written: srv*DIR*URL, or POLYDBG_CACHE.",
    Problem.OFFLINE: "Leave --offline out (!sym online in the session), or bring the files by "
    "polydbg sym list, fetch and add.",
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
