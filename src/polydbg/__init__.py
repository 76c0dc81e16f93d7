"""polydbg: a debugger that opens dumps, joins sessions and reaches processes, on any host."""

__version__ = "0.1.0"
