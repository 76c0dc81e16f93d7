"""Types and values, whatever debug information they come from."""
