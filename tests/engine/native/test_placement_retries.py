"""Loads and contexts that do not fit into GPU memory are retried with fewer layers or slots.

No GPU is needed: the query of the processors is replaced. llama.cpp itself then runs on the CPU.
"""

import logging
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from koel_tui.engine import ModelLoadError, ModelSpec
from koel_tui.engine.native import loaded_model
from koel_tui.engine.native.gpus import Gpu
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.wire_messages import Load
from tests.engine.native.test_placement import GB, MB, Loading, load

__all__ = ["load"]  # a fixture
LARGE = Gpu("H200", 100 * GB, 140 * GB)


class Driver:
    """A GPU on which a context fits only with few layers; llama.cpp itself runs on the CPU."""

    def __init__(self, patch: pytest.MonkeyPatch, most: int, total: int = 3) -> None:
        self.layers: list[int] = []
        real_load, real_init = llama_cpp.llama_model_load_from_file, llama_cpp.llama_init_from_model

        def load(path: bytes, params: Any) -> Any:
            self.layers.append(params.n_gpu_layers)
            return real_load(path, params)

        def init(model: Any, params: Any) -> Any:
            layers = self.layers[-1]
            return None if (total if layers < 0 else layers) > most else real_init(model, params)

        patch.setattr(llama_cpp, "llama_model_load_from_file", load)
        patch.setattr(llama_cpp, "llama_init_from_model", init)


@pytest.mark.parametrize(("most", "tried"), [(3, [-1]), (2, [-1, 1]), (0, [-1, 1, 0])])
def test_b14_a_failed_load_is_repeated_with_half_the_layers_and_reports_the_result(
    load: Loading, monkeypatch: pytest.MonkeyPatch, most: int, tried: list[int]
) -> None:
    driver = Driver(monkeypatch, most)
    card = load(8 * GB, LARGE)
    assert driver.layers == tried
    cpu_layers = 0 if tried[-1] < 0 else 3 - tried[-1]
    assert (card.layers, card.cpu_layers) == (3, cpu_layers)
    assert bool(card.notice) == bool(cpu_layers)


def test_b14_a_load_that_always_fails_ends_with_the_reason(
    load: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(monkeypatch, -1)
    with pytest.raises(ModelLoadError, match="Cannot create a context"):
        load(8 * GB, LARGE)
    assert driver.layers == [-1, 1, 0]
    driver.layers.clear()
    with pytest.raises(ModelLoadError, match="Cannot create a context"):
        load(8 * GB, LARGE, gpu_layers=2)
    assert driver.layers == [2], "the number that the user has set is changed"
    driver.layers.clear()
    with pytest.raises(ModelLoadError, match="Cannot create a context"):
        load(8 * GB)
    assert driver.layers == [-1], "there is no GPU"


def test_b14_a_load_that_was_cancelled_is_not_repeated(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(monkeypatch, 3)
    monkeypatch.setattr(loaded_model, "list_gpus", lambda: (LARGE,))
    spec = ModelSpec(tiny_path, context_tokens=512, threads=1)
    with NativeLog(logging.getLogger("test")) as log, pytest.raises(ModelLoadError):
        LoadedModel(Load(spec, 2, 1), log, lambda _: False)
    assert len(driver.layers) == 1


def test_b14_a_context_grows_into_the_free_memory_of_the_gpu(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100 * GB
    monkeypatch.setattr(loaded_model, "free_memory", lambda: 8 * GB)
    monkeypatch.setattr(loaded_model, "list_gpus", lambda: (Gpu("H200", free, 140 * GB),))
    spec = ModelSpec(tiny_path, context_tokens=512, threads=1)
    with NativeLog(logging.getLogger("test")) as log:
        loaded = LoadedModel(Load(spec, 7, 1), log, lambda _: True)
        made = []
        for session in range(6):
            loaded.cache.prepare(session, None, [1, 2, 3], set()).parts.extend([1, 2])
            made.append(loaded.memory().slots)
            if session == 2:
                free = 10 * MB
        report = loaded.memory()
        loaded.close()
    assert loaded.card.slots == 8
    assert made == [1, 2, 4, 4, 4, 4], "more than the GPU has free"
    assert (report.slots, report.max_slots) == (4, 4)
