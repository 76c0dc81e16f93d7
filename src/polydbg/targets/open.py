"""Opens a file as a target: looks at its first bytes and hands it to the module that knows it."""

from __future__ import annotations

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import TargetError
from polydbg.formats.identify import HEAD_SIZE, FileClass, identify
from polydbg.targets.archive import Progress, unpack
from polydbg.targets.dump_file import DumpFile, map_file
from polydbg.targets.target import Target


def open_target(
    path: str,
    member: str = "",
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Target:
    """Return the target of the dump file at *path*, or of the dump in the archive there.

    *member* picks one of several dumps of an archive.

    :raises TargetError: the file cannot be read, is not a dump, or of a kind that is refused by
        name; the archive is damaged or has no dump.
    :raises Cancelled: the user asked to stop while an archive was unpacked.
    """
    file = map_file(path)
    kind = identify(bytes(file.buffer[:HEAD_SIZE]))
    if kind is not None and kind.file_class is FileClass.CONTAINER:
        file = unpack(file, member, cancel, progress)
    elif member:
        file.close()
        raise TargetError(
            f"{path}: not an archive",
            hint="/c NAME picks a member of a zip file, cabinet or tar file",
            identifier="dump.bad-archive",
        )
    return _target(file)


def _target(file: DumpFile) -> Target:
    kind = identify(bytes(file.buffer[:HEAD_SIZE]))
    if kind is not None and kind.file_class is FileClass.USER_DUMP:
        from polydbg.targets.userdump import open_userdump

        return open_userdump(file)
    from polydbg.targets.minidump import open_minidump

    return open_minidump(file)
