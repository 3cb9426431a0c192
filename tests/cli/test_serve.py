"""What `penchant serve` refuses at its start."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--warehouse", "nonsense://x"], "--warehouse is of the kind 'nonsense'"),
        (["--warehouse", "sqlite:///missing.db"], "there is no database file missing.db"),
        (["--warehouse", "postgresql://me:pw@host/shop"], "--secret=env:NAME"),
        (
            ["--warehouse", "postgresql://me@host/shop", "--secret", "hunter2"],
            "--secret must say where it is",
        ),
        (["--secret", "env:X"], "--secret is the password of --warehouse"),
        (["--state", "."], "cannot keep the answers"),
    ],
)
def test_what_cannot_be_used(refused, artifact, options, message):
    said = refused("serve", artifact, "--port", "0", *options)
    assert message in said
    assert "hunter2" not in said
