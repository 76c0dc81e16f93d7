"""Where POLYDBG_REQUIRE_PEERS is set (CI), a test that would be skipped fails, with its reason.

There everything that a test may want is at hand, so a skip means that a comparison silently
stopped being made.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_REQUIRED = bool(os.environ.get("POLYDBG_REQUIRE_PEERS"))


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure; an expected failure (xfail) stays what it is."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    report.outcome = "failed"
    report.longrepr = f"skipped, though POLYDBG_REQUIRE_PEERS is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _REQUIRED:
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _REQUIRED:
        _refuse_skip(report)
    return report
