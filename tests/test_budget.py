"""Runs with a time budget: they list the tests that did not fit, and these do not fail the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = "from tests.budget import pytest_addoption, pytest_configure\n"
OVER = """
def test_a_uses_up_the_budget(request):
    request.config.pluginmanager.get_plugin("budget").end = 0
"""
FAILS = """
def test_b_fails():
    assert False
"""
PASSES = """
def test_c_passes():
    pass
"""
SHARED = """
import time
def test_shared(request):
    end = request.config.pluginmanager.get_plugin("budget").end
    print(f"end={end}")
    assert end == request.config.workerinput["budget_end"] > time.monotonic()
"""


def run(folder: Path, code: str, *options: str) -> tuple[int, str]:
    """Run the tests of `code` with a budget; return the exit code and the output."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_code.py").write_text(code)
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}",
         "-c", os.devnull, *options, str(folder)],
        env={**inherited, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=folder,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "budget"
    made.mkdir()
    return made


def test_a_running_test_ends_and_the_others_are_listed(folder: Path) -> None:
    code, output = run(folder, OVER + FAILS, "-n0", "-p", "no:randomly", "--budget-minutes=60")
    assert code == 0, output
    assert "1 passed, 1 skipped" in output
    assert "1 tests did not fit into 60 minutes" in output
    assert "not run: test_code.py::test_b_fails" in output


def test_a_failure_within_the_budget_fails_the_run(folder: Path) -> None:
    code, output = run(folder, FAILS + PASSES, "-n2", "--budget-minutes=60")
    assert code == 1, output
    assert "1 failed, 1 passed" in output
    assert "0 tests did not fit" in output


def test_two_processes_list_each_test_once(folder: Path) -> None:
    code, output = run(
        folder, FAILS + PASSES, "-n2", "--budget-minutes=0", "--randomly-seed=7",
    )  # fmt: skip
    assert code == 0, output
    assert [line for line in output.splitlines() if line.startswith("not run: ")] == [
        "not run: test_code.py::test_b_fails",
        "not run: test_code.py::test_c_passes",
    ]
    assert "order of the tests: --randomly-seed=7" in output


def test_two_processes_have_one_deadline(folder: Path) -> None:
    code, output = run(folder, SHARED, "-n2", "--budget-minutes=60")
    assert code == 0, output


def test_a_run_without_a_budget_says_nothing_about_it(folder: Path) -> None:
    code, output = run(folder, PASSES, "-n0")
    assert code == 0, output
    assert "did not fit" not in output


def test_the_suite_accepts_a_time_budget() -> None:
    test = f"tests/{Path(__file__).name}::{test_the_suite_accepts_a_time_budget.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "--budget-minutes=0",
         "-m", "slow or not slow", test],
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"not run: {test}" in done.stdout
