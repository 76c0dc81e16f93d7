"""Address spaces and their combinators."""
