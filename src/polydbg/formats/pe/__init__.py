"""Portable Executable: headers, exports, unwind tables, debug directory, version resource."""
