"""polydbg: a debugger that opens dumps, joins sessions and reaches processes, on any host.

``polydbg.open(path)`` is the library, described in docs/library.md; it is imported when first used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from polydbg.base.errors import DebuggerError
    from polydbg.library.session import DumpSession, open

__all__ = ["DebuggerError", "DumpSession", "open"]


def __getattr__(name: str) -> object:
    """Import what the library offers when it is first asked for: programs start with this file."""
    if name == "DebuggerError":
        from polydbg.base.errors import DebuggerError

        return DebuggerError
    if name in __all__:
        from polydbg.library import session

        return getattr(session, name)
    raise AttributeError(f"module 'polydbg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
