"""Debuggees: what is opened, its memory, threads and modules."""
