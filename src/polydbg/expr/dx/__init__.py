"""The language of ``dx``: C++ expressions with lambdas, anonymous objects and strings."""
