"""The release files: the wheel runs in a new environment, the sources have no other files."""

import importlib.metadata
import re
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
TIMEOUT_S = 900
COMPILED = "llama-cpp-python"
IN_SOURCES = {
    "koel_tui", "tests", "docs", "examples", "screenshots", ".ci", "pyproject.toml", "README.md",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "PKG-INFO", ".gitignore",
}  # fmt: skip


def output_of(*command: str | Path, folder: Path | None = None) -> str:
    """Run a program and return what it prints."""
    done = subprocess.run(
        command,
        check=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def uv(*arguments: str | Path) -> str:
    program = shutil.which("uv")
    assert program is not None, "uv is missing: run the tests with `uv run pytest`"
    return output_of(program, *arguments, folder=ROOT)


@pytest.fixture(scope="session")
def downloads() -> str:
    """The download cache of uv, determined before a test gets a private home."""
    return uv("cache", "dir").strip()


def constraints(folder: Path) -> Path:
    """Write the versions that the project pins to a file; return the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    file = folder / "constraints.txt"
    file.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    return file


def wheel_of(package: str, folder: Path) -> None:
    """Make the wheel of a package from its installed files, because a build takes minutes."""
    installed = importlib.metadata.distribution(package)
    tag = re.search(r"^Tag: (.+)$", installed.read_text("WHEEL") or "", re.MULTILINE)
    assert tag is not None
    name = f"{package.replace('-', '_')}-{installed.version}-{tag[1]}.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file in installed.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                archive.write(str(file.locate()), str(file))


def tops(names: Iterable[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


def check_wheel(wheel: Path) -> None:
    """Check that the wheel contains all files of the program and no others."""
    names = zipfile.ZipFile(wheel).namelist()
    info = f"{wheel.name[:14]}.dist-info"
    assert tops(names) == {"koel_tui", info}
    assert f"{info}/licenses/LICENSE" in names and "koel_tui/py.typed" in names
    files = (path for path in (ROOT / "koel_tui").rglob("*") if path.is_file())
    ours = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert {name for name in names if name.startswith("koel_tui/")} == ours


def check_sources(sources: Path) -> None:
    """Check that the archive contains the files for builds and tests, and no build products."""
    with tarfile.open(sources) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert tops(names) == IN_SOURCES
    other = (name for name in names if not name.startswith("tests/upgrade/"))  # has models
    assert [name for name in other if re.search(r"__pycache__|\.pyc$|\.gguf$", name)] == []


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_the_wheel_runs_in_a_separate_environment(
    tmp_path: Path, downloads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", downloads)
    # uv builds the source archive, then a wheel from that archive.
    uv("build", "--quiet", "--out-dir", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sources,) = (tmp_path / "dist").glob("*.tar.gz")
    check_wheel(wheel)
    check_sources(sources)

    environment, compiled = tmp_path / "environment", tmp_path / "compiled"
    compiled.mkdir()
    wheel_of(COMPILED, compiled)
    uv("venv", "--quiet", environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--constraints", constraints(tmp_path),
       "--find-links", compiled, "--only-binary", COMPILED, f"{wheel}[starter]")  # fmt: skip
    program = environment / "bin" / "koel-chat"
    said = output_of(program, "--version", folder=tmp_path)
    assert said.strip().endswith(wheel.name.split("-")[1])
    asked = ("ask", "Say hello.", "--max-output-tokens", "16")
    assert output_of(program, *asked, folder=tmp_path).strip()
    with Terminal(command=(str(program),)) as terminal:
        terminal.until(lambda screen: "Ask anything." in screen and "ctx 0/" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
