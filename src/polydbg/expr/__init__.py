"""Turn the text of an expression into a value."""
