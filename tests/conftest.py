"""Shared by all tests; its place here also puts this folder on sys.path (for model_checks)."""

from __future__ import annotations

from collections.abc import Generator

import pytest

pytest.register_assert_rewrite("model_checks", "model_checks_recommend", "model_support")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests of hostile text log characters that are no Unicode; reports travel between processes as UTF-8."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
