"""What crash reporters (Breakpad, Crashpad, Mozilla's writers) add to a dump beside its facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from polydbg.targets.target import Target

if TYPE_CHECKING:
    from polydbg.formats.minidump.foreign import (
        BreakpadAssertion,
        BreakpadInfo,
        CrashpadInfo,
        DsoDebug,
        MacosCrashRecord,
    )


class CrashReport(Protocol):
    """The reporters' own records, ``None`` or empty where the dump has none."""

    @property
    def crashpad_info(self) -> CrashpadInfo | None: ...

    @property
    def breakpad_info(self) -> BreakpadInfo | None: ...

    @property
    def assertion(self) -> BreakpadAssertion | None: ...

    @property
    def dso_debug(self) -> DsoDebug | None:
        """Return the dynamic linker's list of objects."""
        ...

    @property
    def macos_crash_info(self) -> Sequence[MacosCrashRecord]: ...

    @property
    def boot_arguments(self) -> str | None:
        """Return the boot arguments of the macOS kernel."""
        ...

    @property
    def soft_errors(self) -> str | None:
        """Return what the writer could not do, as JSON."""
        ...


@runtime_checkable
class HasCrashReport(Protocol):
    """What a target has that a crash reporter may have written."""

    @property
    def crash_report(self) -> CrashReport: ...


def crash_report(target: Target) -> CrashReport | None:
    """Return what a crash reporter added, ``None`` for a target that knows no reporters."""
    return target.crash_report if isinstance(target, HasCrashReport) else None
