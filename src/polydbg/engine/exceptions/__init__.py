"""Names of what stops a program, for each system in its own terms (``naming`` chooses)."""
