"""Debug information of one module, and the stores that hold it."""
