"""Settings of a session: paths, radix, symbol and display options."""

from __future__ import annotations

import os

import msgspec

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.symbols.store.path import SymbolPath

SYMBOL_OPTIONS = {
    0x1: "SYMOPT_CASE_INSENSITIVE",
    0x2: "SYMOPT_UNDNAME",
    0x4: "SYMOPT_DEFERRED_LOADS",
    0x8: "SYMOPT_NO_CPP",
    0x10: "SYMOPT_LOAD_LINES",
    0x20: "SYMOPT_OMAP_FIND_NEAREST",
    0x40: "SYMOPT_LOAD_ANYTHING",
    0x80: "SYMOPT_IGNORE_CVREC",
    0x100: "SYMOPT_NO_UNQUALIFIED_LOADS",
    0x200: "SYMOPT_FAIL_CRITICAL_ERRORS",
    0x400: "SYMOPT_EXACT_SYMBOLS",
    0x800: "SYMOPT_ALLOW_ABSOLUTE_SYMBOLS",
    0x1000: "SYMOPT_IGNORE_NT_SYMPATH",
    0x2000: "SYMOPT_INCLUDE_32BIT_MODULES",
    0x4000: "SYMOPT_PUBLICS_ONLY",
    0x8000: "SYMOPT_NO_PUBLICS",
    0x10000: "SYMOPT_AUTO_PUBLICS",
    0x20000: "SYMOPT_NO_IMAGE_SEARCH",
    0x40000: "SYMOPT_SECURE",
    0x80000: "SYMOPT_NO_PROMPTS",
    0x80000000: "SYMOPT_DEBUG",
}
"""Bit -> name, as ``.symopt`` lists them."""

LOAD_ANYTHING = 0x40
LOAD_LINES = 0x10
SHOW_SOURCE = 0x4
ONLY_SOURCE = 0x8
"""Bits of ``l+``: the source line at a stop display, and nothing else there."""
DEFAULT_SYMBOL_OPTIONS = 0x30337

MASM, CPP = "masm", "c++"
EVALUATORS = {MASM: "MASM - Microsoft Assembler expressions", CPP: "C++ - C++ source expressions"}
"""What reads expressions, by the name that ``.expr /s`` takes, as ``.expr`` shows it."""


class Settings(msgspec.Struct, eq=False):
    """What ``.sympath``, ``n``, ``.lines``, ``.asm`` and the like change.

    *sysroots* are root file systems, folders or archives. With *offline* no server is asked;
    *debuginfod_urls* are those that the environment names. *radix* is 8, 10 or 16; *stack_limit* is
    the default depth of ``k``; *register_mask* the one of ``rm``. *programs* tells whether commands
    may run programs of this computer and Python. *evaluator*, :data:`MASM` or :data:`CPP`, reads
    the expressions of commands.
    """

    symbol_path: SymbolPath = msgspec.field(default_factory=lambda: SymbolPath.parse(""))
    image_path: SymbolPath = msgspec.field(default_factory=lambda: SymbolPath.parse(""))
    source_path: str = ""
    sysroots: tuple[str, ...] = ()
    offline: bool = False
    debuginfod_urls: tuple[str, ...] = ()
    radix: int = 16
    stack_limit: int = 0x100
    register_mask: int = 0xA
    symbol_options: int = DEFAULT_SYMBOL_OPTIONS
    inline: bool = True
    noisy: bool = False
    lines: bool = True
    assembly_options: set[str] = msgspec.field(default_factory=set)
    source_options: int = 0
    programs: bool = True
    evaluator: str = MASM

    def search(
        self,
        symbols: str | None,
        images: str | None,
        *,
        offline: bool = False,
        use_environment: bool = True,
    ) -> None:
        """Set where files are looked for, and whether servers are asked; a path of ``None`` is that
        of the environment, which also names servers of ELF files."""
        paths: list[SymbolPath] = []
        for text, is_image in ((symbols, False), (images, True)):
            if text is None and use_environment:
                paths.append(SymbolPath.from_environment(images=is_image))
            else:
                paths.append(SymbolPath.parse(text or ""))
        self.symbol_path, self.image_path = paths
        self.debuginfod_urls = _urls_of_environment() if use_environment else ()
        self.offline = offline

    def choose_evaluator(self, name: str | None, *, use_environment: bool = True) -> None:
        """Choose what reads expressions; ``None``: as the environment says, MASM if it does not.

        :raises CommandError: there is no evaluator of that name.
        """
        name = name or (os.environ.get("_NT_EXPR_EVAL") if use_environment else None) or MASM
        if name.lower() not in EVALUATORS:
            raise CommandError(
                f"No evaluator named '{sanitise_line(name)}'",
                identifier="expression.no-evaluator",
                hint=f"there are {' and '.join(EVALUATORS)}",
            )
        self.evaluator = name.lower()

    @property
    def image_search_path(self) -> SymbolPath:
        """Return the image path, then the symbol path: stores often hold both kinds."""
        images, symbols = self.image_path, self.symbol_path
        elements = tuple(dict.fromkeys(images.elements + symbols.elements))
        return SymbolPath(images.text, elements, symbols.directories)


def _urls_of_environment() -> tuple[str, ...]:
    """Return the servers that ``DEBUGINFOD_URLS`` names, separated by blanks."""
    words = os.environ.get("DEBUGINFOD_URLS", "").split()
    return tuple(word for word in words if word.lower().startswith(("http://", "https://")))
