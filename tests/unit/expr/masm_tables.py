"""A context of tables, and pieces of expressions, for the tests of the evaluator."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from polydbg.base.errors import MemoryReadError

PIECES = st.sampled_from(
    [
        *"()[]+-*/%&|^<>=~!.,;:`'\"@$?#\\L\0\né",
        *(">>", ">>>", "<=", "!=", "::", "@@", "$!", "0x", "0n", "1", "ff", "12g", "poi", "by"),
        *("not", "hi", "and", "mod", "app!", "main", "rsp", "@rsp", "@$t0", "$scmp", "$vvalid"),
        *("operator", "<int>", '@!"', "@@masm(", "@@c++("),
    ]
)


@dataclass
class TableContext:
    """Answers from dictionaries; memory is one block at 0x1000 of rising bytes."""

    radix: int = 16
    pointer_size: int = 8
    registers: dict[str, int] = field(
        default_factory=lambda: {"rsp": 0x1000, "rip": 0x2000, "eax": 7, "r8": 8, "ah": 3}
    )
    pseudo: dict[str, int] = field(default_factory=lambda: {"$ip": 0x2000, "$t0": 5})
    symbols: dict[str, int] = field(
        default_factory=lambda: {
            "app": 0x40_0000,
            "app!main": 0x40_1000,
            "main": 0x40_1000,
            "eax": 0x99,
            "b8": 0x77,
            "r8": 0x88,
            "app!Vec<int, 4>::dot": 0x40_2000,
            "app!Vec": 0x40_2100,
            "app!operator<": 0x40_2200,
            "app!geo::Box::~Box": 0x40_2300,
            "app!?f@@YAXXZ": 0x40_2400,
            "app!`anonymous namespace'::g": 0x40_2500,
            "app!(anonymous namespace)::h": 0x40_2600,
            "geo::Box::paint": 0x40_2700,
            "$!local": 0x50,
            "face": 0x51,
            "std::vector<int>::push_back": 0x52,
            "7z!main": 0x53,
        }
    )
    lines: dict[str, int] = field(default_factory=lambda: {"app!main.c:12": 0x40_1005})

    def register(self, name: str) -> int | None:
        return self.registers.get(name)

    def pseudo_register(self, name: str) -> int | None:
        return self.pseudo.get(name)

    def symbol(self, name: str) -> int | None:
        return self.symbols.get(name)

    def source_line(self, text: str) -> int | None:
        return self.lines.get(text)

    def read_memory(self, address: int, size: int) -> bytes:
        if not 0x1000 <= address <= 0x1100 - size:
            raise MemoryReadError(address)
        return bytes(range(256))[address - 0x1000 : address - 0x1000 + size]

    def module_entry(self, base: int) -> int | None:
        return 0x40_1234 if base == 0x40_0000 else None


class RichContext(TableContext):
    """A context with every optional ability."""

    sign_extends_literals = True

    def read_physical(self, address: int, size: int) -> bytes:
        return (address + size).to_bytes(size, "little")

    def function_succeeded(self, function: int, value: int, flag: int) -> bool | None:
        return None if function == 0 else value == 0

    def evaluate_cpp(
        self, text: str, position: int = 0, *, end: int | None = None, blamed: int | None = None
    ) -> tuple[int, int]:
        """Return how long the text is, as if that were its value."""
        end = len(text) if end is None else end
        return end - position, end
