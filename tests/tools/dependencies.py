"""Print the requirements that pyproject.toml declares, one a line, as pip reads them.

python tests/tools/dependencies.py pyproject.toml            run time and the extras of `all`
python tests/tools/dependencies.py pyproject.toml --oldest   the lowest versions allowed, pinned
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

from pip._vendor.packaging.requirements import Requirement


def declared(project: dict) -> list[Requirement]:
    """Run-time requirements and those of the extras that `all` names."""
    extras = project["optional-dependencies"]
    texts = list(project["dependencies"])
    for together in extras["all"]:
        for name in sorted(Requirement(together).extras):
            texts += extras[name]
    return list({str(Requirement(text)): Requirement(text) for text in texts}.values())


def oldest(wanted: Requirement) -> str:
    """The requirement pinned to the lower bound it declares; having one is a rule of the house."""
    bounds = [spec.version for spec in wanted.specifier if spec.operator in (">=", "~=", "==")]
    if len(bounds) != 1:
        sys.exit(f"pyproject.toml: '{wanted}' needs one lower bound, as in {wanted.name}>=1.2")
    marker = f" ; {wanted.marker}" if wanted.marker else ""
    return f"{wanted.name}=={bounds[0]}{marker}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("--oldest", action="store_true")
    arguments = parser.parse_args()
    project = tomllib.loads(arguments.pyproject.read_text())["project"]
    for wanted in declared(project):
        print(oldest(wanted) if arguments.oldest else wanted)


if __name__ == "__main__":
    main()
