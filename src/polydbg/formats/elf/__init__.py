"""ELF: headers, sections, segments, notes, the dynamic table, symbols, links to debug files."""
