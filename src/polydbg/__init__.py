"""polydbg: a debugger that opens dumps, joins sessions and reaches processes, on any host.

``polydbg.open(path)`` is the library, described in docs/library.md; it is imported when first used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from polydbg.base.errors import DebuggerError
    from polydbg.engine.scripts import command
    from polydbg.library.session import DumpSession, open
    from polydbg.library.session import lend_to_scripts as lend_to_scripts

__all__ = ["DebuggerError", "DumpSession", "command", "open"]


def __getattr__(name: str) -> object:
    """Import what the library offers when it is first asked for: programs start with this file."""
    if name == "DebuggerError":
        from polydbg.base.errors import DebuggerError

        return DebuggerError
    if name == "command":
        from polydbg.engine.scripts import command

        return command
    if name in (*__all__, "lend_to_scripts"):
        from polydbg.library import session

        return getattr(session, name)
    raise AttributeError(f"module 'polydbg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
