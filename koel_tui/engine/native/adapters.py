"""LoRA adapters: loaded once per file, applied to the whole context."""

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp

from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.context.kv_snapshot import file_id
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
        self._file_ids: dict[Path, str] = {}
        self._applied: Path | None = None
        self._revision = context.revision
        self._is_applied_certain = True  # False after a failed change

    def load(self, path: Path) -> None:
        """Load an adapter file unless it is loaded. Raises `ModelLoadError` with the reason."""
        if path in self._loaded:
            return
        self._log.clear_errors()
        try:
            identifier = file_id(path)
        except OSError as error:
            raise self._load_error(path, str(error.strerror)) from error
        handle = llama_cpp.llama_adapter_lora_init(self._model.handle, bytes(path))
        if not handle:
            raise self._load_error(path, self._log.reason() or "llama.cpp gave no reason")
        self._loaded[path] = handle
        self._file_ids[path] = identifier

    def file_id(self, path: Path | None) -> str:
        """Return the identifier of a loaded adapter, even if its file was deleted; '' for None."""
        return "" if path is None else self._file_ids[path]

    def apply(self, path: Path | None) -> None:
        """Set the adapter for decoding; None for no adapter. Raises `EngineError`."""
        if self._revision != self._context.revision:  # a new native context has no adapter
            self._revision = self._context.revision
            self._applied, self._is_applied_certain = None, True
        if path == self._applied and self._is_applied_certain:
            return
        self._is_applied_certain = False
        handles = [] if path is None else [self._loaded[path]]
        count = len(handles)
        result = llama_cpp.llama_set_adapters_lora(
            self._context.handle,
            (llama_cpp.llama_adapter_lora_p_ctypes * count)(*handles),
            count,
            (ctypes.c_float * count)(*([1.0] * count)),
        )
        if result != 0:
            raise EngineError(
                f"llama.cpp cannot apply the adapter {path} (code {result}). Use another adapter."
            )
        self._applied, self._is_applied_certain = path, True

    def _load_error(self, path: Path, reason: str) -> ModelLoadError:
        return ModelLoadError(
            f"Cannot load the adapter {path}: {reason}. Use an adapter made for {self._model.name}."
        )
