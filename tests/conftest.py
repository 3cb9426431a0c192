"""Shared by all tests; its place here also puts this folder on sys.path (for model_checks)."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("model_checks", "model_checks_recommend", "model_support")
