"""MASM expressions and address ranges: what commands read their arguments with."""

from polydbg.expr.evaluator import evaluate, evaluate_prefix
from polydbg.expr.ranges import Range, parse_range

__all__ = ["Range", "evaluate", "evaluate_prefix", "parse_range"]
