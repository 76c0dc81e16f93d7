"""From decorated (mangled) linker names to the names that the debugger shows.

The debugger undecorates to the qualified name alone: no parameters, return type, calling
convention or ``class`` keywords, ``,`` without a blank and ``> >`` with one. Names of C lose one
leading ``_``, ``.`` or ``@``, on 64-bit machines too, everything from ``@`` and a digit, and other
``@``: this is what the debugger's lists of symbols show (``_imp_VirtualProtect``, ``commode``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from polydbg.symbols.itanium_size import expands_too_far

_KEYWORD = re.compile(r"\b(?:class|struct|union|enum) ")
_FUNCTION = re.compile(r"^(?:void )?__cdecl (.*)\(void\)$", re.DOTALL)
_CONVENTION = re.compile(r"__(?:cdecl|thiscall|stdcall|fastcall|vectorcall|clrcall|regcall) ")
_SCOPE = re.compile(rf"`[^`']*?{_CONVENTION.pattern}([^`']*?)\([^`']*'")
_ADJUSTOR = re.compile(r"`adjustor\{\d+\}'")
_C_SUFFIX = re.compile(r"@\d.*$", re.DOTALL)
#: What stands behind the parameters of a method that is a scope: `f() const::'lambda'()`.
_METHOD_SCOPE = re.compile(r"(?<=\))(?: (?:const|volatile|&&?))+(?=::)")
_ENDS = (")", "const", "&", "volatile")
_MAX_NAME = 4096
_MAX_TEXT = 1 << 16
_MAX_CUTS = 64


@functools.lru_cache(maxsize=1)
def _demanglers() -> tuple[Callable[[str], str | None], Callable[[str], str | None]] | None:
    """Return the demanglers of Microsoft's and the Itanium scheme, ``None`` without the library."""
    try:
        import pycxxfilt
    except ImportError:
        return None
    return pycxxfilt.msvc_demangle, pycxxfilt.itanium_demangle


def _try(demangler: Callable[[str], str | None], name: str) -> str | None:
    try:
        return demangler(name)
    except ValueError:
        return None


def _spell(name: str) -> str:
    """Return a qualified name in the debugger's spelling."""
    if "<" in name or "`" in name:
        name = _SCOPE.sub(r"`\1'", name)
        name = _KEYWORD.sub("", name).replace(", ", ",")
        name = _closed_apart(name)
        name = name.replace(" dtor'", " destructor'").replace(" ctor'", " constructor'")
    return name


def _undecorate_msvc(name: str, demangle: Callable[[str], str | None]) -> str | None:
    if name.startswith("??_C@"):
        return "`string'"
    if name.startswith(("??_R", "??_7", "??_8", "??_S", "??_B", "??__", "??@", "??B")):
        return _undecorate_special(name, demangle)
    # Where the qualified name ends and the type begins only a full parser of types knows, so let
    # it say: the first cut that makes, with the type `void __cdecl (void)`, a valid symbol.
    cut = name.find("@@", 1)
    for _ in range(_MAX_CUTS):
        if cut < 0:
            break
        text = _try(demangle, name[: cut + 2] + "YAXXZ")
        if text is not None:
            match = _FUNCTION.match(text)
            if match is not None:
                rest = name[cut + 2 : cut + 3]
                result = _spell(match[1])
                return result + _adjustor(name, demangle) if rest in "GOW" else result
        cut = name.find("@@", cut + 1)
    return _undecorate_special(name, demangle)


def _adjustor(name: str, demangle: Callable[[str], str | None]) -> str:
    match = _ADJUSTOR.search(_try(demangle, name) or "")
    return match[0] if match else ""


def _undecorate_special(name: str, demangle: Callable[[str], str | None]) -> str | None:
    """Undecorate tables, descriptors, conversions and initialisers."""
    text = _try(demangle, name)
    if text is None:
        return None
    if name.startswith("??_R0"):
        return _spell(_KEYWORD.sub("", text))
    text = text.removeprefix("[thunk]: ").removeprefix("const ").partition("{for ")[0]
    start = _name_start(text)
    name_only = text[start:]
    return _spell(_without_parameters(name_only) if name_only.endswith(_ENDS) else name_only)


def _name_start(text: str) -> int:
    """Return where the qualified name begins: after the calling convention, else after the type.

    Only what stands outside of quotes, angle brackets and parentheses counts.
    """
    depth = quotes = start = index = 0
    while index < len(text):
        char = text[index]
        if char in "<(`":
            depth += 1
            quotes += char == "`"
        elif char in ">)" or (char == "'" and quotes):
            # Names of lambdas, `'lambda'(int)`, have quotes that nothing opens.
            depth = max(depth - 1, 0)
            quotes -= char == "'"
        elif depth == 0 and (scope := _METHOD_SCOPE.match(text, index)) is not None:
            index = scope.end()
            continue
        elif depth == 0:
            match = _CONVENTION.match(text, index)
            if match is not None:
                return match.end()
            if text.startswith("operator ", index):
                return start
            # The blank before a descriptor belongs to its name.
            if char == " " and text[index + 1 : index + 6] != "`RTTI":
                start = index + 1
        index += 1
    return start


def _without_parameters(text: str) -> str:
    """Return a demangled function without its parameter list and what follows it."""
    start = last_opening(text)
    return text[:start] if start >= 0 else text


def last_opening(text: str) -> int:
    """Return where the last parenthesis of *text* opens, -1 when it does not."""
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        char = text[index]
        if char == ")":
            depth += 1
        elif char == "(":
            depth -= 1
            if depth == 0:
                return index
    return -1


def _undecorate_itanium(name: str, demangle: Callable[[str], str | None]) -> str | None:
    if expands_too_far(name):
        return None
    text = _try(demangle, name[1:] if name.startswith("__Z") else name)
    if text is None or len(text) > _MAX_TEXT:
        return None
    for prefix in ("vtable for ", "typeinfo name for ", "typeinfo for ", "guard variable for "):
        if text.startswith(prefix):
            return text
    text = text.partition(" [clone")[0]
    return _without_parameters(text) if text.endswith(_ENDS) else text


def _undecorate_c(name: str) -> str:
    if name[:1] in ("_", ".", "@"):
        name = name[1:]
    return _C_SUFFIX.sub("", name).replace("@", "") if "@" in name else name


@functools.lru_cache(maxsize=8192)
def undecorate(name: str) -> str:
    """Return the name the debugger shows for a linker name; what is not understood as it is."""
    if not name.startswith(("?", "_Z", "__Z")):
        return _undecorate_c(name) or name
    demanglers = _demanglers()
    if demanglers is None or len(name) > _MAX_NAME:
        return name
    if name.startswith("?"):
        return _undecorate_msvc(name, demanglers[0]) or name
    return _undecorate_itanium(name, demanglers[1]) or _undecorate_c(name)


def undecorate_type(name: str) -> str:
    """Return the type that the name in a TypeDescriptor stands for: ``std::exception`` for
    ``.?AVexception@std@@``; what is not understood as it is."""
    demanglers = _demanglers()
    if demanglers is None or len(name) > _MAX_NAME or not name.startswith("."):
        return name
    text = _try(demanglers[0], name)
    if text is None:
        return name
    return _spell(_KEYWORD.sub("", text.removesuffix(" `RTTI Type Descriptor Name'")))


# Names of ELF files, and those that the same compilers write into PE files

_CLONE = re.compile(
    r"(?:\.(?:cold|part|isra|constprop|lto_priv|llvm|localalias|clone|__uniq|warm|\d+))+$"
)
_RUST_HASH = re.compile(r"17h[0-9a-f]{16}E$")
_RUST_ESCAPE = re.compile(r"\$(?:u([0-9a-f]{1,6})|(SP|BP|RF|LT|GT|LP|RP|C))\$")
_RUST_SIGNS = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
_PHRASES = (
    "vtable for ",
    "VTT for ",
    "construction vtable for ",
    "typeinfo name for ",
    "typeinfo for ",
    "guard variable for ",
    "reference temporary #",
    "TLS init function for ",
    "TLS wrapper function for ",
    "template parameter object for ",
)
_THUNKS = ("non-virtual thunk to ", "virtual thunk to ", "covariant return thunk to ")


def without_clone_suffix(name: str) -> str:
    """Return the linker name of the function that *name* is a part or a copy of: ``foo`` for
    ``foo.cold``, ``foo.part.0``, ``foo.constprop.0.isra.0``; and of a static variable of a
    function, ``count.0``, its own name."""
    return _CLONE.sub("", name) if "." in name else name


@functools.lru_cache(maxsize=8192)
def undecorate_elf(name: str) -> str:
    """Return the name the debugger shows for a name of an ELF symbol table.

    Parts and copies that the compiler split off bear the name of their function, as debug
    information calls them. C++ and Rust names come qualified, without parameters, return type and
    Rust's hash; names of C, and what is not understood, as they are.
    """
    plain = without_clone_suffix(name)
    demanglers = _demanglers()
    if demanglers is None or len(plain) > _MAX_NAME or not plain.startswith(("_Z", "_R")):
        return plain
    if plain.startswith("_R"):
        from pycxxfilt import rust_demangle

        return _try(rust_demangle, plain) or plain
    text = _try(demanglers[1], plain)
    if text is None:
        return plain
    if _RUST_HASH.search(plain):
        return _rust_legacy(text)
    if text.startswith(_PHRASES):
        return _closed_apart(text)
    thunk = next((phrase for phrase in _THUNKS if text.startswith(phrase)), "")
    text = text[len(thunk) :]
    if text.endswith(_ENDS):
        text = _without_parameters(text)
    text = text[_name_start(text) :]
    if text.startswith(("(*", "(&")):  # it returns a pointer to a function: `int (*f<T>(T))(int)`
        text = _without_parameters(text[2:-1])
    return thunk + _closed_apart(text)


@functools.lru_cache(maxsize=8192)
def undecorate_coff(name: str, *, is_x86: bool) -> str:
    """Return the name the debugger shows for a name of the symbol table of a PE file.

    Compilers for x86 add to names of C (and of C++, in the Itanium scheme) what
    :func:`undecorate` takes off; on other processors names begin with underscores of their own.
    """
    if name.startswith("?"):
        return undecorate(name)
    # A dot in front is the compiler's or linker's own: `.refptr.name`.
    plain = _undecorate_c(name) if is_x86 and not name.startswith(".") else name
    return undecorate_elf(plain) or name


def _closed_apart(text: str) -> str:
    """Return *text* with ``> >`` where templates end together, as debug information writes it."""
    while ">>" in text and "operator>>" not in text:
        text = text.replace(">>", "> >")
    return text


def _rust_legacy(text: str) -> str:
    """Return the path that a name of Rust's first scheme stands for, without its hash."""
    parts = text.split("::")[:-1]
    return "::".join(_rust_part(part) for part in parts)


def _rust_part(part: str) -> str:
    if part.startswith("_$"):
        part = part[1:]
    return _RUST_ESCAPE.sub(_rust_sign, part.replace("..", "::"))


def _rust_sign(match: re.Match[str]) -> str:
    if match[2]:
        return _RUST_SIGNS[match[2]]
    code = int(match[1], 16)
    return chr(code) if 0x20 <= code < 0x110000 else match[0]
