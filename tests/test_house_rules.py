"""The rules of the house that no linter knows: sizes, layout, documentation, imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType, GenericAlias

import pytest

import penchant

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "penchant"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
TOP_LEVEL = {
    "CMakeLists.txt", "pyproject.toml", "cpp", "python", "bindings", "tests", "bench", "notebooks",
    "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ".clang-format",
    ".clang-tidy", ".pre-commit-config.yaml", ".gitignore", ".github", ".ci",
}  # fmt: skip
CALLERS_OF_CORE = {"data", "retrieval", "models", "evaluation", "config.py"}
HEAVY = {
    "duckdb", "fastapi", "flask", "joblib", "lightgbm", "matplotlib", "mlflow", "pandas", "plotly",
    "ray", "scipy", "sklearn", "starlette", "typer", "uvicorn",
}  # fmt: skip


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def source_files() -> list[Path]:
    found = tracked("*.py", "*.pyi", "*.cpp", "*.hpp", "*.inl", "*.sh", "CMakeLists.txt")
    assert len(found) > 20, "the list of source files is suspiciously short"
    return [path for path in found if path.name != "_core.pyi"]  # generated


def python_functions(path: Path) -> list[tuple[str, int]]:
    """Name and lines of each function; its docstring does not count, it is no complexity."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = first.end_lineno - first.lineno + 1 if documented else 0
            length = node.end_lineno - node.lineno + 1 - docstring
            found.append((f"{node.name} (line {node.lineno})", length))
    return found


def cpp_functions(path: Path) -> list[tuple[str, int]]:
    """Line and length of each brace block opened by a line like `int f(int x) {`.

    Blocks inside a function (loops, lambdas) are listed too; they are shorter than the function.
    """
    no_code = re.compile(r"""//.*|'(\\.|[^'\\])'|"(\\.|[^"\\])*\"""")
    lines = [no_code.sub("", line) for line in path.read_text().splitlines()]
    return [
        (f"line {number + 1}: {line.strip()[:60]}", block_length(lines[number:]))
        for number, line in enumerate(lines)
        if re.search(r"\)[^;]*\{\s*$", line)
    ]


def block_length(lines: list[str]) -> int:
    """Lines until the brackets opened in the first one are closed again."""
    depth = 0
    for number, line in enumerate(lines, start=1):
        depth += line.count("{") - line.count("}")
        if depth <= 0 and number > 1:
            return number
    return len(lines)


def test_files_are_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in source_files()
    }
    too_long = [
        f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MAX_FILE_LINES
    ]
    assert not too_long


def test_functions_are_short():
    measures = dict.fromkeys((".cpp", ".hpp", ".inl"), cpp_functions) | {".py": python_functions}
    too_long = []
    checked = 0
    for path in source_files():
        measure = measures.get(path.suffix, lambda _: [])
        for name, lines in measure(path):
            checked += 1
            if lines > MAX_FUNCTION_LINES:
                too_long.append(f"{path.relative_to(ROOT)}: {name}: {lines} lines")
    assert checked > 100
    assert not too_long


def test_the_cpp_heuristic_measures_functions(tmp_path):
    path = tmp_path / "a.cpp"
    path.write_text(
        "namespace penchant {\n\nint longer(int x,\n           int y) {\n"
        + "  x += 1;  // { no block\n" * 70
        + "}\n\nstruct S {\n  int shorter() const {\n    if (x) {\n      return 1;\n    }\n"
        + "    return 0;\n  }\n};\n}\n"
    )
    assert [lines for _, lines in cpp_functions(path)] == [72, 6, 3]


def test_top_level_holds_only_what_the_design_names():
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found <= TOP_LEVEL


def test_version_has_one_home():
    number = re.escape(penchant.__version__)
    pattern = re.compile(rf"""version\S*\s*[=:]\s*["']?{number}(?![\w.])""", re.IGNORECASE)
    homes = [
        str(path.relative_to(ROOT))
        for path in [*source_files(), ROOT / "pyproject.toml"]
        if pattern.search(path.read_text())
    ]
    assert homes == ["python/penchant/_version.py"]


def test_only_the_layers_named_in_the_design_call_core():
    callers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if any("_core" in module.split(".") for module in modules):
                callers.add(path.relative_to(PACKAGE).parts[0])
    assert "models" in callers
    assert callers <= CALLERS_OF_CORE


def imported_names(path: Path) -> list[str]:
    """Dotted names of what a module imports, modules and what it takes out of them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_private_names_stay_in_their_package():
    """`penchant.X._y` and `penchant.X.z._y` are for the modules of `penchant.X` alone."""
    wrong = []
    private = 0
    for path in PACKAGE.rglob("*.py"):
        importer = path.relative_to(PACKAGE).parts[0]
        for name in imported_names(path):
            top, *parts = name.split(".")
            if parts[:1] in (["_core"], ["_version"]):
                continue
            if top == "penchant" and any(part.startswith("_") for part in parts[1:]):
                private += 1
                if parts[0] != importer.removesuffix(".py"):
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert private > 10
    assert not wrong


def test_errors_have_one_home():
    homes = {
        f"{value.__module__}.{name}"
        for _, module in public_objects()
        if inspect.ismodule(module)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and inspect.isclass(value)
        and not isinstance(value, GenericAlias)  # Python 3.10 calls list[str] a class
        and issubclass(value, Exception | Warning)
        and value.__module__.startswith("penchant")
    }
    assert homes == {
        f"penchant.errors.{name}"
        for name in penchant.errors.__all__
        if inspect.isclass(getattr(penchant.errors, name))
    }


def test_import_pulls_in_no_heavy_library():
    code = "import sys, penchant; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    loaded = {name.partition(".")[0] for name in names}
    assert "penchant" in loaded
    assert not HEAVY & loaded


def public_members(prefix: str, owner: type) -> list[tuple[str, object]]:
    return [
        (f"{prefix}.{name}", member)
        for name, member in vars(owner).items()
        if not name.startswith("_") and isinstance(member, FunctionType | property)
    ]


def public_objects() -> list[tuple[str, object]]:
    """Every module of the package, the public classes and functions defined there, and methods."""
    found: list[tuple[str, object]] = []
    for module_info in pkgutil.walk_packages(penchant.__path__, "penchant."):
        if re.search(r"\._|__main__", module_info.name):
            continue
        module = importlib.import_module(module_info.name)
        found.append((module.__name__, module))
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                found.append((f"{module.__name__}.{name}", value))
            if inspect.isclass(value):
                found += public_members(f"{module.__name__}.{name}", value)
    return found


def test_public_names_are_documented():
    objects = public_objects()
    assert len(objects) > 50
    assert [name for name, value in objects if not inspect.getdoc(value)] == []


@pytest.mark.parametrize("name", [name for name in penchant.__all__ if name != "__version__"])
def test_public_names_resolve(name):
    assert inspect.getdoc(getattr(penchant, name))
    assert name in dir(penchant)
