"""The placement of weights and contexts: the layers on a GPU, and the checked memory.

No GPU is needed: the query of the processors is replaced. llama.cpp itself then runs on the CPU.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from koel_tui.engine import Engine, ModelCard, ModelLoadError, ModelSpec
from koel_tui.engine.native import gpus, loaded_model
from koel_tui.engine.native.gpus import Gpu, GpuMemory, gpu_memory, list_gpus
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.model_layout import Layer, ModelLayout
from koel_tui.engine.native.placement import Request, place_layers, place_slots
from koel_tui.engine.wire_messages import Load
from koel_tui.models import gguf_header

MB = 1_000_000
GB = 1000 * MB
# 32 layers of 100 MB: a model of about 4 billion weights. A slot of 8192 tokens takes 1 GB.
LAYOUT = ModelLayout(
    tuple(Layer(100 * MB, 2048) for _ in range(32)), 400 * MB, vocabulary_size=128_000
)
SLOT = 32 * 2048 * 2 * 8192


def request(**values: Any) -> Request:
    spec = ModelSpec(Path("m.gguf"), **values)
    return Request(spec, 8192, 2.0, parallel=1, max_sessions=8)


def vram(free: int | None, *, shared: bool = False) -> GpuMemory:
    return GpuMemory("H200", free, shared)


@pytest.mark.parametrize(
    ("free", "layers"),
    [
        (24 * GB, -1),
        (6 * GB, -1),
        (None, -1),  # the driver does not report it
        (4 * GB, 20),
        (1200 * MB, 2),
        (100 * MB, 0),
        (0, 0),
    ],
)
def test_report_31_the_layers_that_fit_go_to_the_gpu(free: int | None, layers: int) -> None:
    assert place_layers(LAYOUT, request(), vram(free)) == layers


def test_report_31_without_a_gpu_the_requested_layers_are_kept() -> None:
    for requested in (-1, 0, 20):
        assert place_layers(LAYOUT, request(gpu_layers=requested), None) == requested


def test_report_31_a_number_of_layers_that_does_not_fit_is_refused_with_one_that_does() -> None:
    assert place_layers(LAYOUT, request(gpu_layers=12), vram(4 * GB)) == 12
    assert place_layers(LAYOUT, request(gpu_layers=99), vram(24 * GB)) == 99
    with pytest.raises(ModelLoadError) as refused:
        place_layers(LAYOUT, request(gpu_layers=99), vram(4 * GB))
    said = str(refused.value)
    assert "33 layers of m.gguf" in said and "4,000 MB are free (H200)" in said
    assert "Use --gpu-layers 20" in said
    assert place_layers(LAYOUT, request(gpu_layers=20), vram(4 * GB)) == 20


def test_report_31_larger_contexts_leave_room_for_fewer_layers() -> None:
    small, large = request(), replace(request(), context_tokens=32_768)
    several = request(slots=4)
    fitting = [place_layers(LAYOUT, each, vram(4 * GB)) for each in (small, large, several)]
    assert fitting == [20, 12, 12]


def slots(gpu: GpuMemory | None, free_ram: int, layers: int = -1, wanted: int | None = None) -> int:
    return place_slots(LAYOUT, request(slots=wanted), layers, gpu, free_ram)


def test_report_31_little_ram_does_not_refuse_a_model_on_the_gpu() -> None:
    assert slots(vram(24 * GB), 50 * MB) == 5
    with pytest.raises(ModelLoadError, match=r"50 MB are free in RAM\."):
        slots(None, 50 * MB)
    with pytest.raises(ModelLoadError, match=r"50 MB are free in RAM\."):
        slots(vram(24 * GB), 50 * MB, layers=0)


def test_report_31_a_model_in_both_needs_both() -> None:
    half = 17  # 16 layers and the output
    assert slots(vram(24 * GB), 4 * GB, half) == 1
    with pytest.raises(ModelLoadError, match=r"RAM\. .*or more layers on the GPU \(--gpu-layers\)"):
        slots(vram(24 * GB), 50 * MB, half)
    with pytest.raises(
        ModelLoadError,
        match=r"10 MB are free in the memory of the GPU \(H200\)\. .*or fewer layers on the GPU",
    ):
        slots(vram(10 * MB), 64 * GB, half)


def test_report_31_shared_memory_is_counted_once() -> None:
    assert slots(vram(24 * GB, shared=True), 8 * GB) == 1
    assert slots(vram(8 * GB, shared=True), 24 * GB) == 1
    assert slots(vram(None, shared=True), 24 * GB) == 5
    with pytest.raises(ModelLoadError, match=r"1,000 MB are free in RAM\."):
        slots(vram(24 * GB, shared=True), 1 * GB)


def test_report_31_a_model_in_both_parts_of_a_shared_memory_is_not_refused() -> None:
    """The slot of the layers in RAM does not use the part of the memory for the GPU."""
    layout = ModelLayout(tuple(Layer(500 * MB, 4096) for _ in range(80)), 400 * MB)
    large = replace(request(slots=1), context_tokens=32_768)
    layers = place_layers(layout, large, vram(30 * GB, shared=True))
    assert 0 < layers < 81
    left = vram(30 * GB - layers * 500 * MB, shared=True)
    assert place_slots(layout, large, layers, left, 40 * GB) == 1
    half = 17  # 16 layers and the output
    assert slots(vram(800 * MB, shared=True), 8 * GB, half) == 1
    with pytest.raises(ModelLoadError, match=r"100 MB are free in the memory of the GPU \(H200\)"):
        slots(vram(100 * MB, shared=True), 8 * GB, half)
    with pytest.raises(ModelLoadError, match=r"1,000 MB are free in RAM\."):
        slots(vram(8 * GB, shared=True), 1 * GB, half)


def test_report_31_an_unknown_memory_refuses_nothing() -> None:
    assert slots(vram(None), 50 * MB) == 1
    assert slots(vram(None), 24 * GB) == 5
    assert slots(vram(None), 50 * MB, wanted=3) == 3


def test_report_31_the_memory_of_several_gpus_is_added() -> None:
    first, second = Gpu("A", 8 * GB, 10 * GB), Gpu("B", 2 * GB, 10 * GB)
    assert gpu_memory(()) is None
    assert gpu_memory((first, second)) == GpuMemory("A, B", 10 * GB, is_shared=False)
    assert gpu_memory((first, first)) == GpuMemory("A", 16 * GB, is_shared=False)
    assert gpu_memory((first, Gpu("C", 0, 0))) == GpuMemory("A, C", None, is_shared=False)
    shared = Gpu("M4", GB, GB, is_shared=True)
    assert gpu_memory((shared,)) == GpuMemory("M4", GB, is_shared=True)
    assert gpu_memory((shared, first)) == GpuMemory("M4, A", 9 * GB, is_shared=False)


class Ggml:
    """The devices of a computer: kind, name, backend, free and total bytes of each."""

    def __init__(self, *devices: tuple[int, str, str, int, int]) -> None:
        self._devices = devices

    def count(self) -> int:
        return len(self._devices)

    def get(self, index: int) -> int:
        return index

    def kind(self, device: int) -> int:
        return self._devices[device][0]

    def description(self, device: int) -> bytes:
        return self._devices[device][1].encode()

    def backend(self, device: int) -> int:
        return device

    def backend_name(self, device: int) -> bytes:
        return self._devices[device][2].encode()

    def memory(self, device: int, free: Any, total: Any) -> None:
        free._obj.value, total._obj.value = self._devices[device][3:]


CPU = (0, "AMD EPYC", "CPU", GB, GB)
NVIDIA = (1, "RTX 4090", "CUDA", 20 * GB, 24 * GB)
INTEGRATED = (2, "Radeon 780M", "Vulkan", 4 * GB, 8 * GB)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ((CPU,), ()),
        ((CPU, NVIDIA), (Gpu("RTX 4090", 20 * GB, 24 * GB),)),
        ((NVIDIA, INTEGRATED), (Gpu("RTX 4090", 20 * GB, 24 * GB),)),
        ((INTEGRATED, CPU), (Gpu("Radeon 780M", 4 * GB, 8 * GB, is_shared=True),)),
        ((NVIDIA, NVIDIA), (Gpu("RTX 4090", 20 * GB, 24 * GB),) * 2),
        ((NVIDIA, (1, "RTX 4090", "Vulkan", 1, 1)), (Gpu("RTX 4090", 20 * GB, 24 * GB),)),
    ],
    ids=["none", "one", "discrete", "integrated", "two", "two-backends"],
)
def test_report_31_the_gpus_are_those_that_llama_cpp_uses(
    monkeypatch: pytest.MonkeyPatch, devices: Any, expected: tuple[Gpu, ...]
) -> None:
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(gpus, "_Ggml", lambda: Ggml(*devices))
    monkeypatch.setattr(gpus, "_is_apple_silicon", lambda: False)
    assert list_gpus() == expected


def test_report_31_the_memory_of_a_gpu_of_apple_is_that_of_the_computer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(gpus, "_is_apple_silicon", lambda: True)
    devices = ((1, "Apple M4", "MTL", 12 * GB, 16 * GB), (1, "far", "RPC", GB, GB))
    monkeypatch.setattr(gpus, "_Ggml", lambda: Ggml(*devices))
    assert [gpu.is_shared for gpu in list_gpus()] == [True, False]


def test_report_31_the_devices_of_this_library_can_be_read() -> None:
    """The real library reports at least a CPU, whose memory is not counted as GPU memory."""
    ggml = gpus._Ggml()
    assert ggml.count() >= 1
    names = [ggml.description(ggml.get(index)) for index in range(ggml.count())]
    assert all(isinstance(name, bytes) and name for name in names)
    if not llama_cpp.llama_supports_gpu_offload():
        assert list_gpus() == ()


def test_report_31_a_library_without_the_functions_limits_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)

    def missing() -> None:
        raise AttributeError("undefined symbol: ggml_backend_dev_count")

    monkeypatch.setattr(gpus, "_Ggml", missing)
    assert list_gpus() == ()
    assert "The memory of the GPU is unknown" in caplog.text


Loading = Callable[..., ModelCard]


@pytest.fixture
def load(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loading:
    """Load the tiny model on a computer with this free RAM and these processors."""

    def load(ram: int, *found: Gpu, **values: Any) -> ModelCard:
        monkeypatch.setattr(loaded_model, "free_memory", lambda: ram)
        monkeypatch.setattr(loaded_model, "list_gpus", lambda: found)
        spec = ModelSpec(tiny_path, context_tokens=512, threads=1, **values)
        with NativeLog(logging.getLogger("test")) as log:
            loaded = LoadedModel(Load(spec, 2, 1), log, lambda _: True)
            loaded.close()
        return loaded.card

    return load


def test_report_31_a_load_with_little_ram_works_on_the_gpu(load: Loading) -> None:
    card = load(10 * MB, Gpu("H200", 100 * GB, 140 * GB))
    assert (card.slots, card.layers, card.cpu_layers, card.notice) == (3, 3, 0, "")
    with pytest.raises(ModelLoadError, match="10 MB are free in RAM"):
        load(10 * MB)


def test_report_31_a_load_beyond_the_memory_of_the_gpu_has_fewer_layers_and_says_so(
    load: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, layers = llama_cpp.llama_model_load_from_file, []

    def spied(path: bytes, params: Any) -> Any:
        layers.append(params.n_gpu_layers)
        return real(path, params)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", spied)
    small = Gpu("GT 710", 50 * MB, 1000 * MB)
    card = load(8 * GB, small)
    assert (card.cpu_layers, card.layers) == (3, 3)
    assert "3 of the 3 layers of tiny do not fit into the free memory of the GPU" in card.notice
    with pytest.raises(ModelLoadError, match=r"50 MB are free \(GT 710\)\. Use --gpu-layers 0"):
        load(8 * GB, small, gpu_layers=2)
    load(8 * GB, small, gpu_layers=0)
    load(8 * GB, Gpu("unknown", 0, 0))
    assert layers == [0, 0, -1]


def test_report_27_a_model_that_llama_cpp_reads_is_not_refused_for_its_header(
    load: Loading, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slots = load(8 * GB).slots
    monkeypatch.setattr(gguf_header, "_MAX_ELEMENTS", 10)  # less than the vocabulary has
    assert load(8 * GB).slots == slots
    assert "estimate: its header is damaged (" in caplog.text
    with pytest.raises(ModelLoadError, match="10 MB are free in RAM"):
        load(10 * MB)
    assert load(10 * MB, Gpu("H200", 100 * GB, 140 * GB)).slots == slots


def test_report_31_a_card_has_each_warning() -> None:
    card = ModelCard("m", 8192, 1, 0.1, trained_tokens=4096)
    assert "larger than the 4,096 that m was trained for" in card.notice
    assert ModelCard("m", 4096, 1, 0.1, layers=33).notice == ""
    both = replace(card, layers=33, cpu_layers=3, file_notice="Its adapter is not used.")
    assert both.notice.startswith(card.notice) and "3 of the 33 layers of m" in both.notice
    assert both.notice.endswith("Its adapter is not used.")
    alone = ModelCard("m", 4096, 1, 0.1, layers=33, cpu_layers=3, file_notice="Note.")
    assert alone.notice.startswith("3 of the 33") and alone.notice.endswith("Note.")


async def test_report_31_the_gpus_are_asked_on_the_thread_of_the_engine(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, threads = llama_cpp.llama_model_load_from_file, []

    def spied(path: bytes, params: Any) -> Any:
        threads.append(threading.get_ident())
        return real(path, params)

    def asked() -> tuple[Gpu, ...]:
        threads.append(threading.get_ident())
        return (Gpu("H200", 100 * GB, 140 * GB),)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", spied)
    monkeypatch.setattr(loaded_model, "list_gpus", asked)
    engine = await Engine.load(ModelSpec(tiny_path, context_tokens=512, threads=1))
    await engine.close()
    assert len(threads) == 3 and len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
