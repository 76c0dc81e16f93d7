"""Addresses of servers: put together, shown without secrets, told private from public."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

# These read what servers send, so that none may look at a piece of text more than a few times. In a
# password stands whatever was typed, an @ too; no backslash, which is of the folder after a `;`.
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,30}://(?:[^/?#\s\\]*@)?[^\s*;\"'<>]*", re.IGNORECASE)
_USER = re.compile(r"(//)[^/?#]*@")
# Names of query parts whose values are passwords or work like them: SAS of Azure, signatures of S3
# and Google's storage, tokens of everybody else.
_PART = re.compile(r"[?&;#]([^=&;#?]*)=")
_PART_END = re.compile(r"[&;#]|\Z")
_SECRET = re.compile(r"pass|pwd|token|sig|secret|key|cred|auth|code|session", re.IGNORECASE)
_HIDDEN = "***"
_MAX_SHOWN = 500


def redacted(url: str) -> str:
    """Return *url*, or any text that has URLs in it, fit for the eyes of others: without names and
    passwords of users and without the values of query parts that look like secrets."""
    return _URL.sub(lambda found: _without_secrets(found.group()), url)


def _without_secrets(url: str) -> str:
    shown = _without_values(_USER.sub(rf"\g<1>{_HIDDEN}@", url))
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def _without_values(url: str) -> str:
    pieces: list[str] = []
    position = 0
    while part := _PART.search(url, position):
        pieces.append(url[position : part.end()])
        position = part.end()
        if _SECRET.search(part[1]) and (end := _PART_END.search(url, position)):
            pieces.append(_HIDDEN)
            position = end.start()
    return "".join((*pieces, url[position:]))


def joined(base: str, *parts: str) -> str:
    """Return the address of *parts* below *base*, whose query stays; each part is one component of
    the path, whatever it holds."""
    added = [quote(part, safe="") for part in parts]
    try:
        split = urlsplit(base)
    except ValueError:  # whoever is to ask there says what is wrong with it
        return "/".join([base, *added])
    path = "/".join([split.path.rstrip("/"), *added])
    return urlunsplit((split.scheme, split.netloc, path, split.query, ""))


def host_of(url: str) -> str:
    """Return the host of *url*, with the port where it is not the scheme's own; what stands in its
    place where *url* is none that can be read."""
    netloc = re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0].rpartition("@")[2].lower()
    return netloc.removesuffix(":443" if url.lower().startswith("https:") else ":80")


def is_private(address: str) -> bool:
    """Tell whether an IP address lies inside somebody's own network or machine, as one that cannot
    be read does: loopback, link-local, private and shared ranges, multicast, and such addresses
    inside of IPv6 ones."""
    import ipaddress

    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)  # NAT64, RFC 6052
        if inner is not None:
            return is_private(str(inner))
    return not ip.is_global or ip.is_multicast
