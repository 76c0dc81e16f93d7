"""Executable images behind one interface."""
