"""The arithmetic types of C and C++ by the words that spell them."""

from __future__ import annotations

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "void": ("void",),
    "bool": ("bool", "_Bool"),
    "char": ("char",),
    "signed char": ("signed char", "__int8", "signed __int8"),
    "unsigned char": ("unsigned char", "unsigned __int8"),
    "wchar_t": ("wchar_t", "__wchar_t"),
    "char8_t": ("char8_t",),
    "char16_t": ("char16_t",),
    "char32_t": ("char32_t",),
    "short": ("short", "short int", "signed short", "signed short int", "__int16"),
    "unsigned short": ("unsigned short", "unsigned short int", "unsigned __int16"),
    "int": ("int", "signed", "signed int", "__int32"),
    "unsigned int": ("unsigned", "unsigned int", "unsigned __int32"),
    "long": ("long", "long int", "signed long", "signed long int"),
    "unsigned long": ("unsigned long", "unsigned long int"),
    "long long": (
        *("long long", "long long int", "signed long long", "signed long long int"),
        *("__int64", "signed __int64", "int64", "signed int64"),
    ),
    "unsigned long long": (
        *("unsigned long long", "unsigned long long int", "unsigned __int64", "unsigned int64"),
    ),
    "__int128": ("__int128", "signed __int128"),
    "unsigned __int128": ("unsigned __int128",),
    "float": ("float",),
    "double": ("double",),
    "long double": ("long double",),
}

BUILTIN = {
    tuple(sorted(spelling.split())): name
    for name, spellings in _SPELLINGS.items()
    for spelling in spellings
}
"""The words of a spelling, sorted, to the name of the type: C lets them stand in any order."""

WORDS = frozenset(word for words in BUILTIN for word in words) - {"int64"}
"""Words that are no names in C++. (``int64`` is the debugger's own spelling, and may be a name.)"""

QUALIFIERS = frozenset(("const", "volatile", "__restrict", "restrict", "__unaligned", "_Atomic"))
KEYWORDS = frozenset(("struct", "class", "union", "enum", "typename"))
POINTER_WORDS = frozenset(("__ptr64", "__ptr32", "__cdecl", "__stdcall", "__fastcall"))
"""What Microsoft's compiler has around ``*``: it changes nothing here."""

STANDARD = {
    "size_t": (0, False),
    "ptrdiff_t": (0, True),
    "intptr_t": (0, True),
    "uintptr_t": (0, False),
    **{
        f"{'' if signed else 'u'}int{8 * size}_t": (size, signed)
        for size in (1, 2, 4, 8)
        for signed in (True, False)
    },
}
"""Types of ``<stddef.h>`` and ``<stdint.h>``, which need no debug information: sizes in bytes (0: a
pointer's), and whether they have a sign."""
