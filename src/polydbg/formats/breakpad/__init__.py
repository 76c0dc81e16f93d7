"""Breakpad symbol files: text, one record a line, about the code of one module."""
