#!/usr/bin/env bash
# Writes python/penchant/_core.pyi from the installed extension (--check: fails when it is not what that would give).
set -euo pipefail
cd "$(dirname "$0")/../.."
stub=python/penchant/_core.pyi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
(cd "$made" && python -m pybind11_stubgen penchant._core --output-dir . --exit-code)
fresh=$made/penchant/_core.pyi
ruff check -q --config pyproject.toml --select I,F401 --fix "$fresh"
ruff format -q --config pyproject.toml "$fresh"
if [[ ${1:-} == --check ]]; then
  diff -u "$stub" "$fresh" || { echo "$stub is out of date; run: bash tests/tools/stub.sh"; exit 1; }
  echo "$stub is up to date"
else
  cp "$fresh" "$stub"
fi
