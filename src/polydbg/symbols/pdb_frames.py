"""Frames of x86 functions from their PDB: FPO records and frame data, looked up per address.

Frame data comes from its own stream; old linkers left it in the modules. Both are read when the
first address is asked for.
"""

from __future__ import annotations

from polydbg.formats.pdb.dbi import DBG_FPO, DBG_FRAME_DATA
from polydbg.formats.pdb.frame_data import (
    FRAME_EBP,
    FRAME_FPO,
    FrameRecord,
    FrameTable,
    fpo_table,
    frame_data_of_module,
    frame_data_table,
)
from polydbg.symbols.frame_info import WinFrame
from polydbg.symbols.pdb_file import PdbFile

_EBP_FRAME = "$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + ="
"""What an FPO record says that is only there to say that the function has a frame with ebp."""

_KEPT_MODULES = 64


class PdbFrames:
    """Answers :meth:`~polydbg.symbols.source.SymbolSource.win_frame_at` from one PDB."""

    def __init__(self, file: PdbFile) -> None:
        self._file = file
        self._tables: tuple[FrameTable | None, FrameTable | None] | None = None
        self._of_modules: dict[int, list[FrameTable]] = {}

    def at(self, rva: int) -> WinFrame | None:
        """Return the innermost record for the code at *rva*, ``None`` when there is none.

        :raises FormatError: the tables are damaged.
        """
        if self._tables is None:
            self._tables = self._open()
        linked = self._file.linked_rva(rva)
        if linked is None:
            return None
        fpo, frame_data = self._tables
        plain = fpo.at(linked) if fpo is not None else None
        if plain is not None and plain.kind not in (FRAME_FPO, FRAME_EBP):
            plain = None  # trap and task frames: only kernels have them
        found = frame_data.at(linked) if frame_data is not None else self._in_module(rva, linked)
        # A filter or handler within a function has a record of either kind at its start; the frame
        # data then gives the sizes of the function around it.
        if found is None or (plain is not None and plain.rva >= found.rva > 0):
            found = plain
        return self._win_frame(found, rva, linked) if found is not None else None

    def _open(self) -> tuple[FrameTable | None, FrameTable | None]:
        fpo = self._file.dbi.debug_stream(DBG_FPO)
        frame_data = self._file.dbi.debug_stream(DBG_FRAME_DATA)
        return (
            fpo_table(fpo) if fpo is not None else None,
            frame_data_table(frame_data) if frame_data is not None else None,
        )

    def _in_module(self, rva: int, linked: int) -> FrameRecord | None:
        key = self._file.key_of_rva(rva)
        contribution = self._file.contribution_at(key) if key is not None else None
        if contribution is None:
            return None
        tables = self._of_modules.get(contribution.module)
        if tables is None:
            module = self._file.module(contribution.module)
            tables = frame_data_of_module(module.c13()) if module is not None else []
            if len(self._of_modules) >= _KEPT_MODULES:
                self._of_modules.clear()
            self._of_modules[contribution.module] = tables
        for table in tables:
            found = table.at(linked)
            if found is not None:
                return found
        return None

    def _win_frame(self, record: FrameRecord, rva: int, linked: int) -> WinFrame:
        start = self._file.present_rva(record.rva)
        if start is None or start > rva:  # rearranged: count from the start as it was linked
            start = max(rva - (linked - record.rva), 0)
        program = _EBP_FRAME if record.kind == FRAME_EBP else ""
        if record.program is not None:
            program = self._file.names.name(record.program)
        return WinFrame(
            rva=start,
            code_size=record.code_size,
            prolog_size=record.prolog_size,
            parameters_size=record.parameters_size,
            saved_size=record.saved_size,
            locals_size=record.locals_size,
            max_stack_size=record.max_stack_size,
            program=program,
            uses_frame_pointer=record.uses_ebp,
        )
