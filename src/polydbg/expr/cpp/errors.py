"""Errors of C++ expressions, in the engine's words: ``TEXT at 'REST'``.

REST runs from the token that failed to the end of the text (command-language reference, 6.1).
"""

from __future__ import annotations

from polydbg.base.errors import ExpressionError


def rest_of(text: str, at: int) -> str:
    """Return what stands in *text* from *at* on, behind the expression as well."""
    return text[at:] or "<EOL>"


def cpp_error(message: str, at: int, *, hint: str = "", identifier: str) -> ExpressionError:
    """Return the error *message* about the token at *at*."""
    return ExpressionError(message, column=at, hint=hint, identifier=identifier)


def unexpected(text: str, at: int) -> ExpressionError:
    """Return the error for a token that cannot stand where it does."""
    return cpp_error(f"Unexpected token '{rest_of(text, at)}'", at, identifier="expression.syntax")
