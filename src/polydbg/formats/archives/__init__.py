"""Archives and compressed files: what is inside, and its bytes, block by block, within bounds."""
