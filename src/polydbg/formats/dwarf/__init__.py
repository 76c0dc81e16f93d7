"""DWARF versions 2 to 5: pure readers of its sections, which do no I/O of their own."""
