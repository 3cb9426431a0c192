"""What a task prints, and the JSON of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench import machine


class Report:
    """Prints as it goes and keeps everything for the JSON file."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.machine = machine.describe()
        self.versions = machine.versions()
        self.results: dict[str, Any] = {}
        self.notes: list[str] = []
        self.failures: list[str] = []
        self._began = datetime.now(timezone.utc)
        settings = (f"{name}={value}" for name, value in self._settings().items())
        print(f"bench {options.task}: {', '.join(settings)}")
        print(machine.summary(self.machine))
        print(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        if self.machine["load"] is not None and self.machine["load"] > 0.5:
            self.note(f"the machine was busy at the start (load {self.machine['load']}): take care")

    def _settings(self) -> dict[str, Any]:
        """All options; of a path only the last part, the rest is nobody's business."""
        left_out = ("json", "task")
        items = ((n, v) for n, v in vars(self._options).items() if n not in left_out)
        return {n: v.name if isinstance(v, Path) else v for n, v in items}

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"note: {text}")

    def check(self, passed: bool, text: str) -> None:
        """Take down a cross-check; one that fails makes the command fail."""
        print(f"check: {'ok' if passed else 'FAILED'}: {text}")
        self.results.setdefault("checks", []).append({"passed": bool(passed), "text": text})
        if not passed:
            self.failures.append(text)

    def figure(self, name: str, value: float) -> None:
        """Keep a number that `python -m bench all` shows in its table."""
        self.results.setdefault("figures", {})[name] = float(value)

    def table(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table; the first column is left-aligned, the others right."""
        cells = [[_text(cell) for cell in row] for row in [headers, *rows]]
        widths = [max(len(row[c]) for row in cells) for c in range(len(headers))]
        print(f"\n{title}")
        for row in cells:
            aligned = [f"{row[0]:<{widths[0]}}"]
            aligned += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  " + "  ".join(aligned).rstrip(), flush=True)

    def write(self, path: Path) -> None:
        content = {
            "bench": self._options.task,
            "began": self._began.isoformat(timespec="seconds"),
            "settings": self._settings(),
            "machine": self.machine,
            "versions": self.versions,
            "results": self.results,
            "notes": self.notes,
        }
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf8")

    def exit_code(self) -> int:
        for text in self.failures:
            print(f"FAILED: {text}", file=sys.stderr)
        return 1 if self.failures else 0


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
