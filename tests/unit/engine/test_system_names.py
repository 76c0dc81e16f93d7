"""Systems other than Windows say their own name and version."""

from __future__ import annotations

import pytest

from polydbg.engine.system_names import system_name
from polydbg.targets.target import SystemInfo


@pytest.mark.parametrize(
    ("platform", "version", "text", "distribution", "shown"),
    [
        (
            "linux",
            (0, 0, 0),
            "Linux 4.9.60-moby #1 SMP Mon Nov 6 2017 x86_64",
            "Ubuntu 16.04.3 LTS",
            "Linux 4.9.60-moby (#1 SMP Mon Nov 6 2017 x86_64) Ubuntu 16.04.3 LTS",
        ),
        (
            "linux",
            (5, 10, 28),
            "-1rodete2-amd64 #1 SMP Debian x86_64",
            "",
            "Linux 5.10.28-1rodete2-amd64 (#1 SMP Debian x86_64)",
        ),
        ("linux", (5, 10, 28), " #1 SMP x86_64", "", "Linux 5.10.28 (#1 SMP x86_64)"),
        ("linux", (0, 0, 0), "Linux 3.13", "", "Linux 3.13"),
        ("linux", (0, 0, 0), "ABC\x1b", "", "Linux (ABC\\x1b)"),
        ("linux", (0, 0, 0), "", "", "Linux"),
        (
            "android",
            (0, 0, 0),
            "Linux 3.4.0-g1 #1 armv7l google/x:4.4",
            "",
            "Android, Linux 3.4.0-g1 (#1 armv7l google/x:4.4)",
        ),
        ("macos", (11, 6, 7), "20G630", "", "macOS 11.6.7 (20G630)"),
        ("ios", (16, 2, 0), "22C65", "", "iOS 16.2 (22C65)"),
        ("fuchsia", (0, 0, 0), "", "", "Fuchsia"),
        ("openbsd", (0, 0, 0), "", "", "OpenBSD"),
        ("unknown", (1, 0, 0), "", "", "Unknown system 1.0.0"),
    ],
)
def test_names(
    platform: str, version: tuple[int, int, int], text: str, distribution: str, shown: str
) -> None:
    info = SystemInfo("amd64", platform, 0, 9, 0, 0, 1, 0, *version, text, 0)
    assert system_name(info, distribution) == shown
