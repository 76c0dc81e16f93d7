"""Dates and durations as the engine prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNIX_EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME."""

_MAX_BIAS = 24 * 60
_EPOCH_1601 = datetime(1601, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _date(moment: datetime, milliseconds: bool) -> str:
    fraction = f".{moment.microsecond // 1000:03d}" if milliseconds else ""
    return (
        f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:2d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}{fraction} {moment.year}"
    )


def stamp_text(seconds: int) -> str:
    """Return a PE timestamp (Unix seconds) as ``Tue Mar  4 10:20:30 2025``."""
    return _date(datetime.fromtimestamp(seconds, UTC), milliseconds=False)


def session_time_text(unix_seconds: float, bias_minutes: int | None) -> str:
    """Return ``Sun Nov 22 13:19:22.000 2026 (UTC + 0:00)`` in the dump's own zone; one more than
    a day away from UTC is damage, and the time is given in UTC."""
    offset = -(bias_minutes or 0)
    if abs(offset) > _MAX_BIAS:
        offset = 0
    moment = datetime.fromtimestamp(unix_seconds, UTC) + timedelta(minutes=offset)
    sign = "+" if offset >= 0 else "-"
    hours, minutes = divmod(abs(offset), 60)
    return f"{_date(moment, milliseconds=True)} (UTC {sign} {hours}:{minutes:02d})"


def filetime_text(ticks: int) -> str:
    """Return a FILETIME (100 ns since 1601) in UTC; out of range ones in hex."""
    try:
        return f"{_date(_EPOCH_1601 + timedelta(microseconds=ticks // 10), True)} (UTC + 0:00)"
    except OverflowError:
        return f"***** Invalid ({ticks:x})"


def duration_text(ticks: int) -> str:
    """Return 100 ns ticks as ``0 days 0:51:12.400``."""
    milliseconds = ticks // 10_000
    days, rest = divmod(milliseconds, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, milliseconds = divmod(rest, 1000)
    return f"{days} days {hours}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
