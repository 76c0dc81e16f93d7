"""Text files of this computer that commands read: scripts, aliases, words of loops."""

from __future__ import annotations

from polydbg.base.errors import CommandError


def host_text(name: str, most: int) -> str:
    """Return the text of a file, of at most *most* characters.

    :raises CommandError: it cannot be read, or is larger.
    """
    try:
        with open(name, encoding="utf-8-sig", errors="replace") as file:
            text = file.read(most + 1)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise CommandError(
            f"cannot read file {name}: {words}",
            identifier="file.unreadable",
            hint="name a file that is on this computer",
        ) from error
    if len(text) > most:
        raise CommandError(f"{name} is too large", identifier="file.too-large")
    return text
