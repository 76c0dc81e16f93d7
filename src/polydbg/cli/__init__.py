"""A terminal: read a line, send it, render what comes back."""
