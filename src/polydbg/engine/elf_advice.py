"""What an ELF module lacks, and how to get it: its image, its debug information.

Sources: systemd's "Package metadata for executable files" (``.note.package``), debuginfod-find(1),
find-dbgsym-packages(1) of Debian, dnf's manual (packages are found by files that they have).
"""

from __future__ import annotations

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.debug_files import build_id_path
from polydbg.engine.modules import Module, ModuleMap
from polydbg.images.elf import ElfImage
from polydbg.symbols.store import Outcome

_KERNEL_IMAGES = ("linux-vdso", "linux-gate", "[vdso")
_DWARF = "private dwarf"  # how the status of symbols begins that have lines


class Lack(msgspec.Struct, frozen=True):
    """What a module lacks. *build_id* is ``""`` when not known, *package* what its note says."""

    module: Module
    build_id: str
    package: dict[str, str]
    lacks_image: bool
    lacks_debug: bool

    @property
    def package_words(self) -> str:
        """Return ``glibc 2.36-9+deb12u4 (debian)``, ``""`` without a note."""
        name, version, system = (self.package.get(key, "") for key in ("name", "version", "os"))
        words = f"{name} {version}".strip() + (f" ({system})" if system and name else "")
        return sanitise_line(words)[:200]

    @property
    def id_words(self) -> str:
        return f"build id {self.build_id}" if self.build_id else "build id unknown"

    @property
    def missing(self) -> str:
        """Return ``image``, ``debug information`` or both."""
        parts = [
            words
            for words, is_so in (
                ("image", self.lacks_image),
                ("debug information", self.lacks_debug),
            )
            if is_so
        ]
        return " and ".join(parts)

    @property
    def found_instead(self) -> str:
        """Return, as a sentence, that a file is of another build or that the root file system
        lacks it; ``""`` where neither is so."""
        trail = self.module.image_trail if self.lacks_image else None
        entries = trail.entries if trail is not None else []
        gaps = [each for each in entries if "!" in each.place and each.outcome is Outcome.MISSING]
        others = [each for each in entries if each.outcome is Outcome.WRONG_ID]
        # Roots are searched first: what is behind the last gap of one is a file of this host.
        if others and (not gaps or entries.index(others[0]) < entries.index(gaps[-1])):
            has = others[0].found_id or "without an id"
            return f"{sanitise_line(others[0].place)} is of another build ({sanitise_line(has)})."
        return f"{sanitise_line(gaps[0].place)} is not there." if gaps else ""

    def steps(self) -> list[str]:
        """Return what to do, in whole sentences, the most promising first."""
        return self.image_steps() + self.debug_steps()

    def image_steps(self) -> list[str]:
        return _image_steps(self) if self.lacks_image else []

    def debug_steps(self) -> list[str]:
        return _debug_steps(self) if self.lacks_debug else []


def is_of_kernel(name: str) -> bool:
    """Tell whether a module of this name is the kernel's own image in the process: no file."""
    return name.startswith(_KERNEL_IMAGES)


def lack_of(modules: ModuleMap, module: Module) -> Lack | None:
    """Return what an ELF module lacks after its files were looked for; ``None`` for nothing, and
    for what is no file (the kernel's own image)."""
    if module.info.image_format != "elf" or is_of_kernel(module.info.file_name):
        return None
    image = modules.elf_image(module)
    lacks_image = module.image_file is None
    lacks_debug = not module.status.startswith(_DWARF)
    if not lacks_image and not lacks_debug:
        return None
    build_id = module.info.build_id.hex() or (image.build_id if image is not None else None)
    return Lack(module, build_id or "", _package(image), lacks_image, lacks_debug)


def _package(image: ElfImage | None) -> dict[str, str]:
    try:
        return image.package or {} if image is not None else {}
    except DebuggerError:
        return {}


def _image_steps(lack: Lack) -> list[str]:
    name = sanitise_line(lack.module.info.file_name)
    steps = [
        f"--sysroot DIR or ARCHIVE (.sysroot in the session) gives the file system that {name} ran "
        "in; of a container: docker save IMAGE -o image.tar, then --sysroot image.tar.",
        f"Or give the file itself: -i FILE (.exepath+ FILE), {lack.id_words}.",
    ]
    if lack.build_id:
        steps.append(
            "Or let a debuginfod server give it: DEBUGINFOD_URLS=URL, or .sympath+ DebugInfoD*URL "
            f"in the session ({lack.id_words})."
        )
    return steps


def _debug_steps(lack: Lack) -> list[str]:
    if not lack.build_id:
        return [
            "Its debug information is found by its build id, which is not known: give the image "
            "first (-i FILE or --sysroot), or the folder of the debug file (-y FOLDER)."
        ]
    debug_file = f"/usr/lib/debug/{build_id_path(lack.build_id)}.debug"
    kind = lack.package.get("type", "")
    name, version = (sanitise_line(lack.package.get(key, "")) for key in ("name", "version"))
    steps = []
    if kind == "deb" and name:
        steps.append(
            f"Debug information, on {sanitise_line(lack.package.get('os', '')) or 'that system'}: "
            f"apt install {name}-dbgsym={version} (find-dbgsym-packages {lack.build_id} names the "
            "package where it is called otherwise)."
        )
    elif kind == "rpm" and name:
        steps.append(
            f"Debug information: dnf debuginfo-install {name}-{version}, "
            f"or dnf --enablerepo='*debug*' install {debug_file}."
        )
    servers = sanitise_line(lack.package.get("debugInfoUrl", ""))
    steps.append(
        f"Debug information by debuginfod: DEBUGINFOD_URLS={servers or 'URL'} polydbg ..., or "
        f".sympath+ DebugInfoD*{servers or 'URL'} in the session ({lack.id_words})."
    )
    steps.append(
        f"Or put it into a folder of the symbol path as {build_id_path(lack.build_id)}.debug, "
        "or give a --sysroot that has it under /usr/lib/debug."
    )
    return steps
