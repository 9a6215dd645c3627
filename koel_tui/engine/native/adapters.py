"""LoRA adapters: loaded once per file, applied to the whole context."""

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp

from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.context.kv_snapshot import file_mark
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model


class Adapters:
    """The adapters of one model. llama.cpp frees them with the model."""

    def __init__(self, model: Model, context: Context, log: NativeLog) -> None:
        self._model = model
        self._context = context
        self._log = log
        self._loaded: dict[Path, Any] = {}
        self._marks: dict[Path, str] = {}
        self._applied: Path | None = None
        self._certain = True  # False after a failed change

    def load(self, path: Path) -> None:
        """Load an adapter file unless it is loaded. Raises `ModelLoadError` with the reason."""
        if path in self._loaded:
            return
        self._log.forget_errors()
        try:
            mark = file_mark(path)
        except OSError as error:
            raise self._refusal(path, str(error.strerror)) from error
        handle = llama_cpp.llama_adapter_lora_init(self._model.handle, bytes(path))
        if not handle:
            raise self._refusal(path, self._log.reason() or "llama.cpp gave no reason")
        self._loaded[path] = handle
        self._marks[path] = mark

    def mark(self, path: Path | None) -> str:
        """Return the identifier of a loaded adapter, even if its file was deleted; '' for None."""
        return "" if path is None else self._marks[path]

    def apply(self, path: Path | None) -> None:
        """Set the adapter for decoding; None for no adapter. Raises `EngineError`."""
        if path == self._applied and self._certain:
            return
        self._certain = False
        handles = [] if path is None else [self._loaded[path]]
        count = len(handles)
        result = llama_cpp.llama_set_adapters_lora(
            self._context.handle,
            (llama_cpp.llama_adapter_lora_p_ctypes * count)(*handles),
            count,
            (ctypes.c_float * count)(*([1.0] * count)),
        )
        if result != 0:
            raise EngineError(f"llama.cpp does not apply the adapter {path} (code {result}).")
        self._applied, self._certain = path, True

    def _refusal(self, path: Path, reason: str) -> ModelLoadError:
        return ModelLoadError(
            f"Cannot load the adapter {path}: {reason}. Use an adapter made for {self._model.name}."
        )
