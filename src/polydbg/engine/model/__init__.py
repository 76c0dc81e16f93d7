"""The data model that ``dx`` shows: objects with named parts, sequences, native values."""
