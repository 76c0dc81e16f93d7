"""Names and versions of operating systems other than Windows, as their dumps tell them.

Facts: Breakpad stores ``uname`` (system, release, version, machine) as the CSD string of Linux and
Android, on Android followed by the build's fingerprint; Crashpad stores the release's numbers as
the version and the rest of release, version and machine as the CSD string. On macOS and iOS that
string is the build. No marketing names: the number is what the dump holds.
"""

from __future__ import annotations

from polydbg.base.text import sanitise_line
from polydbg.targets.target import SystemInfo

_NAMES = {
    "linux": "Linux",
    "android": "Android",
    "macos": "macOS",
    "ios": "iOS",
    "freebsd": "FreeBSD",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "fuchsia": "Fuchsia",
    "solaris": "Solaris",
    "nacl": "Native Client",
    "ps3": "PlayStation 3",
    "unix": "Unix",
    "windows-ce": "Windows CE",
}
_UNAME = "Linux "


def system_name(info: SystemInfo, distribution: str = "") -> str:
    """Return ``Linux 5.4.0-42-generic (#46-Ubuntu SMP ... x86_64) Ubuntu 20.04 LTS``,
    ``macOS 11.6.7 (20G630)``: as much as the dump tells."""
    name = _NAMES.get(info.platform, "Unknown system")
    release, details = _release(info)
    if info.platform == "android" and info.service_pack.startswith(_UNAME):
        name = "Android, Linux"
    words = [name, release, f"({details})" if details else "", distribution]
    return sanitise_line(" ".join(word for word in words if word))


_HIGHEST_VERSION = 1_000_000


def _release(info: SystemInfo) -> tuple[str, str]:
    """Return the system's version and what else is said of it."""
    numbers = [info.major, info.minor, info.build]
    if max(numbers) > _HIGHEST_VERSION:
        numbers = [0]  # lldb leaves these fields of its minidumps as memory had them
    if info.platform in ("macos", "ios", "freebsd") and not info.build:
        numbers.pop()
    version = ".".join(map(str, numbers)) if any(numbers) else ""
    text = info.service_pack.strip()
    if info.platform not in ("linux", "android"):
        return version, text
    if text.startswith(_UNAME):
        release, _, details = text.removeprefix(_UNAME).partition(" ")
        return release, details
    first, _, details = text.partition(" ")
    if version and first[:1] in ("-", "+", "."):
        return version + first, details
    return version, text
