"""Builders and scripted targets for tests."""
