"""Types and variables from a PDB."""

from __future__ import annotations

from polydbg.symbols.pdb_file import PdbFile
from polydbg.types.source import NoTypes


class PdbTypes(NoTypes):
    """The types of *file* as a :class:`~polydbg.types.source.TypeSource`."""

    def __init__(self, file: PdbFile) -> None:
        self._file = file
