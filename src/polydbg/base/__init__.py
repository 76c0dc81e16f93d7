"""Names that everybody shares; imports nothing of ours."""
