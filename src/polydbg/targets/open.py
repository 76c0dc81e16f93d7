"""Opens a file as a target: looks at its first bytes and hands it to the module that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import TargetError
from polydbg.formats.identify import HEAD_SIZE, FileClass, identify
from polydbg.targets.dump_file import DumpFile, map_file
from polydbg.targets.target import Target

if TYPE_CHECKING:
    from polydbg.targets.archive import Progress

_ARCHITECTURES = ("amd64", "x86", "arm64", "arm")
_SURE_OF_PROCESSOR = (FileClass.USER_DUMP, FileClass.ELF_CORE, FileClass.MACHO_CORE)


def open_target(
    path: str,
    member: str = "",
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
    *,
    arch: str | None = None,
) -> Target:
    """Return the target of the dump file at *path*, or of the dump in the archive there.

    *member* picks one of several dumps of an archive; *arch* is the processor of a minidump, over
    what the file says.

    :raises TargetError: the file cannot be read, is not a dump, or of a kind that is refused by
        name; the archive is damaged or has no dump; *arch* is not known.
    :raises Cancelled: the user asked to stop while an archive was unpacked.
    """
    if arch is not None and arch not in _ARCHITECTURES:
        raise TargetError(
            f"Unknown processor '{arch}'",
            hint=f"one of {', '.join(_ARCHITECTURES)}",
            identifier="target.unknown-machine",
        )
    file = map_file(path)
    kind = identify(bytes(file.buffer[:HEAD_SIZE]))
    if kind is not None and kind.file_class is FileClass.CONTAINER:
        from polydbg.targets.archive import unpack

        file = unpack(file, member, cancel, progress)
    elif member:
        file.close()
        raise TargetError(
            f"{path}: not an archive",
            hint="/c NAME picks a member of a zip file, cabinet or tar file",
            identifier="dump.bad-archive",
        )
    return _target(file, arch)


def _target(file: DumpFile, arch: str | None) -> Target:
    kind = identify(bytes(file.buffer[:HEAD_SIZE]))
    file_class = kind.file_class if kind is not None else None
    if arch is not None and kind is not None and file_class in _SURE_OF_PROCESSOR:
        file.close()
        raise TargetError(
            f"{file.shown}: {kind.name} says which processor it is of",
            hint="open it without naming one",
            identifier="target.unsupported",
        )
    if file_class is FileClass.USER_DUMP:
        from polydbg.targets.userdump import open_userdump

        return open_userdump(file)
    if file_class is FileClass.ELF_CORE:
        from polydbg.targets.elf_core import open_elf_core

        return open_elf_core(file)
    if file_class is FileClass.MACHO_CORE:
        from polydbg.targets.macho_core import open_macho_core

        return open_macho_core(file)
    from polydbg.targets.minidump import open_minidump

    return open_minidump(file, arch=arch)
