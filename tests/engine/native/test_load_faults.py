"""Each native call of a load raises once: the load fails, and all created objects are freed."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import llama_cpp
import psutil
import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native import loaded_model, placed_model
from koel_tui.engine.native.worker import Worker
from koel_tui.engine.wire_messages import Event, Failed, Load, Loaded, Shutdown

CREATING = {
    "llama_model_load_from_file": "model",
    "llama_init_from_model": "context",
}
FREEING = {
    "llama_free": "context",
    "llama_model_free": "model",
}
LOADING = [
    "llama_context_default_params", "llama_get_memory", "llama_init_from_model",
    "llama_model_default_params", "llama_model_get_vocab", "llama_model_is_hybrid",
    "llama_model_is_recurrent", "llama_model_load_from_file", "llama_model_meta_val_str",
    "llama_model_n_ctx_train", "llama_model_n_swa", "llama_model_size", "llama_n_batch",
    "llama_n_ctx_seq", "llama_print_system_info", "llama_state_seq_get_size_ext",
    "llama_supports_gpu_offload", "llama_vocab_bos", "llama_vocab_eos", "llama_vocab_get_attr",
    "llama_vocab_get_text", "llama_vocab_n_tokens",
]  # fmt: skip
"""The native calls of a load, except those that free objects."""
OWN = [
    (loaded_model, "Adapters"),
    (placed_model, "KvCache"),
    (loaded_model, "ModelCard"),
    (loaded_model, "ChatTemplates"),
    (loaded_model, "Placement"),
    (loaded_model, "PromptTokenizer"),
    (loaded_model, "free_memory"),
]
"""Python functions that a load calls."""


class Natives:
    """The native calls of this process: their number, and the objects not yet freed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        self.alive: list[str] = []
        self.fault: tuple[str, int] | None = None
        """The function that raises, and the number of its call, counted from 0."""
        self._other_processes = psutil.Process().children()
        for name in dir(llama_cpp):
            real = getattr(llama_cpp, name)
            if name.startswith("llama_") and callable(real) and not isinstance(real, type):
                patch.setattr(llama_cpp, name, self._watched(name, real))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.counts[name] += 1
            if self.fault == (name, self.counts[name] - 1):
                raise RuntimeError(f"{name} is broken")
            if name in FREEING:
                assert self.alive.pop() == FREEING[name], "freed before what depends on it"
            result = real(*arguments)
            if name in CREATING:
                self.alive.append(CREATING[name])
            return result

        return call

    def left(self) -> list[str]:
        """Return the native objects and the template processes that exist."""
        processes = [
            each for each in psutil.Process().children() if each not in self._other_processes
        ]
        return [*self.alive, *(each.name() for each in processes)]


def loads(path: Path, natives: Natives, times: int) -> list[tuple[Event, list[str]]]:
    """Load several times in one worker and end it; return results and remaining objects."""
    results: list[tuple[Event, list[str]]] = []

    def note(event: Event) -> None:
        if isinstance(event, Loaded | Failed):
            results.append((event, natives.left()))
            worker.post(load if len(results) < times else Shutdown())

    load = Load(ModelSpec(path, context_tokens=512, slots=1, threads=1), 1, 1)
    worker = Worker(note)
    worker.post(load)
    worker.run()
    assert natives.left() == []
    return results


@pytest.fixture
def natives(monkeypatch: pytest.MonkeyPatch) -> Natives:
    return Natives(monkeypatch)


@pytest.fixture(scope="module")
def counts(tiny_path: Path) -> Counter[str]:
    """Return the number of calls of each native function in one load."""
    with pytest.MonkeyPatch.context() as patch:
        natives = Natives(patch)
        ((result, left),) = loads(tiny_path, natives, 1)
    assert isinstance(result, Loaded)
    assert left[:2] == ["model", "context"] and len(left) == 3
    return natives.counts


def check_failed_load(path: Path, natives: Natives, reason: str) -> None:
    """Check that a load fails and leaves no object, and that the next load succeeds."""
    (failed, left), (loaded, _) = loads(path, natives, 2)
    assert isinstance(failed, Failed) and reason in failed.message
    assert left == []
    assert isinstance(loaded, Loaded)


def test_every_native_call_of_a_load_is_among_those_that_raise(counts: Counter[str]) -> None:
    assert set(counts) - set(FREEING) - {"llama_log_set"} == set(LOADING)


@pytest.mark.parametrize("function", LOADING)
def test_a_native_call_that_raises_in_a_load_leaves_nothing(
    natives: Natives, counts: Counter[str], tiny_path: Path, function: str
) -> None:
    for number in sorted({0, counts[function] - 1}):
        natives.fault = (function, natives.counts[function] + number)
        check_failed_load(tiny_path, natives, f"{function} is broken")


@pytest.mark.parametrize(("module", "name"), OWN, ids=[name for _, name in OWN])
def test_an_exception_in_a_load_leaves_nothing(
    natives: Natives, monkeypatch: pytest.MonkeyPatch, tiny_path: Path, module: Any, name: str
) -> None:
    real = getattr(module, name)
    once = Mock(side_effect=[RuntimeError(f"{name} is broken"), None])
    monkeypatch.setattr(module, name, lambda *args, **options: once() or real(*args, **options))
    check_failed_load(tiny_path, natives, f"{name} is broken")
