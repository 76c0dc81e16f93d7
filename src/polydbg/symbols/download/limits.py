"""How long servers are waited for, and how much is taken from them."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Times are in seconds, sizes in bytes.

    *connect*: to make a connection. *stall*: without a byte, the first included. *slow* and
    *slow_bytes*: fewer bytes in that time count as a stall too. *rest*: for which a host that
    failed is left alone. *miss_age*: for which a file that a server does not have is not asked for
    again. *parallel* transfers run at a time. *largest*: of one file. *cache_size*: of the default
    cache; stores that the user names are not limited.
    """

    connect: float = 3.0
    stall: float = 30.0
    slow: float = 60.0
    slow_bytes: int = 16 << 10
    rest: float = 300.0
    miss_age: float = 24 * 3600.0
    parallel: int = 4
    largest: int = 8 << 30
    cache_size: int = 20 << 30
    redirects: int = 5
    resumptions: int = 3
