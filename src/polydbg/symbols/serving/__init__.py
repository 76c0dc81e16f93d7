"""Serves a store to others: SymStore and SSQP paths, and debuginfod's protocol for ELF files."""
