"""Minidumps (MDMP): the file format of MiniDumpWriteDump, Breakpad and Crashpad, read lazily."""
