"""Find the caller of a frame, and say how sure the answer is."""
