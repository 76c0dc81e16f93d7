"""The names that the debugger itself gives to text: of the dump, and of Windows' own module.

``$ntnsym`` is the module of native code that has Windows' own types, ``$ntwsym`` that of the 32-bit
code of a 64-bit system, ``$ntsym`` the one of the processor that commands speak of; the others tell
of the current dump (command-language reference, section 3.1).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from polydbg.engine.aliases import fit_for_commands

if TYPE_CHECKING:
    from polydbg.engine.session import Session, System

_NAMES = r"nt[nw]?sym|CurrentDump(?:Archive)?(?:File|Path)"
_AUTOMATIC = re.compile(rf"\$\{{\$({_NAMES})\}}|\$({_NAMES})(?!\w)")


def expand_automatic(session: Session, line: str) -> str:
    """Return *line* with these names replaced, anywhere; those without a meaning here stay. The
    text counts as foreign: names of files and members of archives are others' choice."""
    if ("$nt" not in line and "$Current" not in line) or not session.has_target:
        return line

    def text(found: re.Match[str]) -> str:
        value = _value(session.current, found[1] or found[2])
        if value is None:
            return found.group()
        session.aliases.foreign_uses += 1
        return fit_for_commands(value)

    return _AUTOMATIC.sub(text, line)


def _value(system: System, name: str) -> str | None:
    target = system.target
    file = target.path if name.startswith("CurrentDumpArchive") or not target.member else ""
    match name:
        case "CurrentDumpArchiveFile" | "CurrentDumpArchivePath" if not target.member:
            return None
        case "CurrentDumpFile" | "CurrentDumpArchiveFile":
            return os.path.basename(file or target.member)
        case "CurrentDumpPath" | "CurrentDumpArchivePath":
            return os.path.dirname(os.path.abspath(target.path))
    if target.system().platform != "windows":
        return None
    is_narrow = name == "ntwsym" or (name == "ntsym" and system.machine != target.arch)
    return _narrow_ntdll(system) if is_narrow else "ntdll"


def _narrow_ntdll(system: System) -> str | None:
    """Return the name of the 32-bit ``ntdll`` of a 64-bit process, ``None`` if it has none."""
    for module in system.modules.modules if system.is_wow64 else ():
        if module.info.file_name.lower() == "ntdll.dll" and module.base < 1 << 32:
            return module.name
    return None
