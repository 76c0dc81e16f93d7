"""C++ expressions: how they are read, and what they are worth."""
