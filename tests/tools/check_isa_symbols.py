"""Fail when an object file compiled for AVX defines a symbol that other code could pick up.

The linker keeps one copy of an inline function or template instantiation. If that copy came from a
file compiled for AVX-512, a CPU without it would crash in code that has nothing to do with kernels.
So whatever such a file defines with external linkage must have its instruction set in its name.

    python tests/tools/check_isa_symbols.py BUILD_FOLDER
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ISAS = ("avx2", "avx512")
# The reference by which an object reaches the C++ runtime's exception routine: an address, no code.
HARMLESS = ("DW.ref.__gxx_personality_v0",)


def isa_of(path: Path) -> str | None:
    """The instruction set that an object file is compiled for, going by its path."""
    text = path.as_posix().lower()
    found = [isa for isa in ISAS if re.search(rf"(?<![a-z0-9]){isa}(?![a-z0-9])", text)]
    return found[-1] if found else None


def leaks(path: Path, isa: str) -> list[str]:
    """External symbols defined in the object file whose names do not carry the instruction set."""
    listing = subprocess.run(
        ["nm", "--demangle", "--defined-only", "--extern-only", "--format=posix", str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [re.sub(r" [A-Za-z] [0-9a-f ]*$", "", line) for line in listing.splitlines()]
    if not names:
        sys.exit(f"{path}: nm shows no symbol, so nothing can be said about it")
    return [name for name in names if f"::{isa}::" not in name and name not in HARMLESS]


def main() -> None:
    build = Path(sys.argv[1])
    paths = sorted(build.rglob("*.o"))
    objects = {path: isa for path in paths if (isa := isa_of(path.relative_to(build)))}
    missing = set(ISAS) - set(objects.values())
    if missing:
        sys.exit(f"{build}: found no object file for {', '.join(sorted(missing))} to check")
    bad = {path: found for path, isa in objects.items() if (found := leaks(path, isa))}
    for path, found in bad.items():
        print(f"{path.relative_to(build)} defines symbols outside its instruction set's namespace:")
        print("\n".join(f"    {name}" for name in found))
    if bad:
        sys.exit("Move them into that namespace, or out of the files compiled for AVX.")
    print(f"{len(objects)} object files for {', '.join(ISAS)}: every symbol is theirs alone")


if __name__ == "__main__":
    main()
