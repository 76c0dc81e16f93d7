"""Opens a file as a target: looks at its first bytes and hands it to the module that knows it."""

from __future__ import annotations

from polydbg.targets.target import Target


def open_target(path: str) -> Target:
    """Return the target of the dump file at *path*.

    :raises FormatError: not a dump, or of a kind that is refused by name.
    :raises TargetError: the file cannot be read.
    """
    from polydbg.targets.minidump import open_minidump

    return open_minidump(path)
