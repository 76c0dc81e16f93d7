"""WinDbg's command language: one module per family, yielding typed items."""
