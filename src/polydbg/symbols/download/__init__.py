"""Fetching files from servers: beside the session, never in its way."""
