"""Check that the versions pinned in pyproject.toml are those that a fresh resolution installs.

python .ci/pins.py          fail if a package is missing, stale or incompatible
python .ci/pins.py --write  pin the newest compatible versions
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BLOCK = re.compile(r"constraint-dependencies = \[\n.*?^\]\n", re.DOTALL | re.MULTILINE)


def resolved(text: str) -> list[str]:
    """Return all requirements that `text`, a pyproject.toml, resolves to, for all platforms."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pyproject.toml").write_text(text)
        (project / "README.md").touch()
        (project / "LICENSE").touch()
        flags = ["--no-hashes", "--all-groups", "--all-extras", "--no-emit-project", "--no-header"]
        exported = subprocess.run(
            ["uv", "export", "--quiet", "--no-annotate", *flags, "--project", folder],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return sorted(line.strip() for line in exported.splitlines() if line.strip())


def block(pins: list[str]) -> str:
    """Return the list of pins in the format of pyproject.toml."""
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    return f"constraint-dependencies = [\n{lines}]\n"


def main() -> int:
    """Check or write the pins, and return the exit code."""
    text = PYPROJECT.read_text()
    if "--write" in sys.argv[1:]:
        PYPROJECT.write_text(BLOCK.sub(block(resolved(BLOCK.sub(block([]), text))), text))
        return 0
    fixed = set(tomllib.loads(text)["tool"]["uv"]["constraint-dependencies"])
    installed = set(resolved(text))
    for pin in sorted(installed - fixed):
        print(f"not fixed: {pin}")
    for pin in sorted(fixed - installed):
        print(f"fixed but not installed: {pin}")
    return int(fixed != installed)


if __name__ == "__main__":
    sys.exit(main())
