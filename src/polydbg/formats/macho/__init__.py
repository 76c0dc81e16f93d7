"""Readers of Mach-O files: of Apple's images and cores."""
