"""Servers for tests, on this machine only: good ones, unruly ones, proxies."""
