"""The one client interface; owns the engine thread."""
