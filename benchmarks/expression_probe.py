"""Evaluates an expression of ten operators many times, in MASM and in C++, and prints how many
microseconds one takes.

usage: expression_probe.py
"""

from __future__ import annotations

import sys
import time

import polydbg
from programs import DEMO

TIMES = 2000
EXPRESSION = "1 + 2 * 3 - (4 ^ 5) + 6 * 7 - 8 / 2 + (9 & 3) - 1"


def main() -> int:
    """Prints a line ``LANGUAGE SPELLINGS MICROSECONDS`` each; *same* is one text again and again,
    *new* another text every time."""
    with polydbg.open(DEMO / "practice.dmp", symbols=DEMO, images=DEMO, offline=True) as session:
        for language in ("masm", "c++"):
            for spellings in ("same", "new"):
                new = spellings == "new"
                texts = [f"@@{language}({EXPRESSION} + {i * new})" for i in range(TIMES)]
                session.evaluate(texts[0])
                start = time.perf_counter()
                for text in texts:
                    session.evaluate(text)
                elapsed = time.perf_counter() - start
                print(f"{language} {spellings} {elapsed / TIMES * 1e6:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
