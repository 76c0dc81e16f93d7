"""What happened: the fault, a verdict with evidence, whom to blame. ``analyze`` is the entry."""

from polydbg.engine.analysis.analyze import analyze, first_verdict

__all__ = ["analyze", "first_verdict"]
