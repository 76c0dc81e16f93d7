"""Program databases (PDB 7.00): container, streams, symbols, lines, types.

Every class here works on bytes that are given to it and does no I/O. The layout follows the
documentation of LLVM ("The PDB File Format") and the headers of microsoft-pdb (MIT).
"""
