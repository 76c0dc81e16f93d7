"""Linux's files about a process that a target holds, each read when it is asked for, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol, runtime_checkable

from polydbg.formats import procfs
from polydbg.targets.target import Target


class ProcessFiles:
    """The typed content of the files; one that is absent is empty.

    *read* returns a file of ``/proc/PID`` (``maps``, ``status``, ``cmdline``, ``environ``,
    ``auxv``, ``limits``) or of the system (``cpuinfo``, ``lsb-release``) by name, ``None`` when the
    target has no copy. *big* is for big-endian systems, *system* ``linux`` or the BSD whose
    auxiliary vector this is.
    """

    def __init__(
        self,
        read: Callable[[str], bytes | None],
        pointer_size: int,
        *,
        big: bool = False,
        system: str = "linux",
    ) -> None:
        self._read = read
        self._pointer_size = pointer_size
        self._big = big
        self._system = system

    def raw(self, name: str) -> bytes | None:
        """Return a file as it stands."""
        return self._read(name)

    @cached_property
    def maps(self) -> tuple[procfs.Mapping, ...]:
        return procfs.parse_maps(self._read("maps") or b"")

    @cached_property
    def status(self) -> Mapping[str, str]:
        return procfs.parse_status(self._read("status") or b"")

    @cached_property
    def command_line(self) -> tuple[str, ...]:
        return procfs.parse_strings(self._read("cmdline") or b"")

    @cached_property
    def environment(self) -> tuple[str, ...]:
        """Return the environment as it was when the process started, ``NAME=value`` each."""
        return procfs.parse_strings(self._read("environ") or b"")

    @cached_property
    def auxiliary_vector(self) -> tuple[procfs.AuxiliaryEntry, ...]:
        return procfs.parse_auxiliary(
            self._read("auxv") or b"", self._pointer_size, big=self._big, system=self._system
        )

    @cached_property
    def processors(self) -> tuple[Mapping[str, str], ...]:
        return procfs.parse_cpuinfo(self._read("cpuinfo") or b"")

    @cached_property
    def distribution(self) -> str:
        """Return the distribution's name and version, ``""`` when it is not known."""
        return procfs.distribution_name(self.release)

    @cached_property
    def release(self) -> dict[str, str]:
        return procfs.parse_distribution(self._read("lsb-release") or b"")

    @cached_property
    def limits(self) -> tuple[procfs.ResourceLimit, ...]:
        return procfs.parse_limits(self._read("limits") or b"")

    @property
    def process_id(self) -> int | None:
        """Return the id of the process (of its first thread, in the writer's PID namespace)."""
        text = self.status.get("Tgid") or self.status.get("Pid") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None


@runtime_checkable
class HasProcessFiles(Protocol):
    """What a target has that may hold copies of Linux's files about its process."""

    @property
    def process_files(self) -> ProcessFiles: ...


def process_files(target: Target) -> ProcessFiles | None:
    """Return the copies of Linux's files that *target* holds, ``None`` for a target without."""
    return target.process_files if isinstance(target, HasProcessFiles) else None
