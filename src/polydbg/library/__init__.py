"""polydbg as a library: a dump as Python objects. :func:`polydbg.open` is the way in."""
