"""The weights of a model: loading, metadata and tokenizer."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp

from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.model_layout import Layer, ModelLayout
from koel_tui.engine.types import ModelSpec
from koel_tui.llama_log_parsing import parse_used_features
from koel_tui.models.ollama import explain_failure, models_of_blob
from koel_tui.system.regular_files import is_file

_RETYPED = frozenset({"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>"})
"""The control tokens of gpt-oss that llama.cpp loads as user-defined, so that they have text."""
_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token that llama.cpp parses from its spelling only where special tokens are allowed.

    `control` is False for the token of unknown text. `strips_right` removes the white space after
    it, as in Phi-3. The white space before it is removed only in models that do not generate text.
    """

    token: int
    control: bool
    strips_right: bool


def default_load_params() -> Any:
    """Return llama.cpp's parameters for loading weights, without its kernels for AMX.

    These kernels set up the matrix registers with code that GCC removes (seen with GCC 12, see
    ggml-org/llama.cpp#26954), so the first product of matrices ends the process by SIGILL. They run
    only on weights in the extra buffer types. Without those, prompts are read more slowly.
    """
    params = llama_cpp.llama_model_default_params()
    info = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    params.use_extra_bufts = "AMX_INT8" not in parse_used_features(info)
    return params


def _explain(path: Path, reason: str) -> str:
    """Return the reason of a failed load as a sentence, with the next step."""
    if explanation := explain_failure(path, reason):
        return (
            f"{explanation}. Download it as a GGUF file for llama.cpp: "
            "koel-chat models pull OWNER/NAME."
        )
    return f"{reason}. Choose another GGUF file or download it again."


def _user_name(path: Path) -> str:
    """Return the name of a model that its user knows; names in files are often internal."""
    return next((model.names[0] for model in models_of_blob(path)), path.stem)


class Model:
    """One set of weights in memory.

    Use it from the owner thread only, except the methods of the vocabulary, which never changes:
    `tokenize` and those that follow it may be called from any thread, until `close`.
    """

    def __init__(
        self, spec: ModelSpec, log: NativeLog, progress: Callable[[float], bool] | None = None
    ) -> None:
        """Load `spec.path`. `progress` is called with 0..1 and returns False to cancel.

        Raises `ModelLoadError` with the path and the reason llama.cpp logged.
        """
        if not is_file(spec.path):
            raise ModelLoadError(f"Cannot load {spec.path}: no such file. Check the path.")
        begin = time.perf_counter()
        params = default_load_params()
        params.n_gpu_layers = spec.gpu_layers
        params.load_mode = (
            llama_cpp.LLAMA_LOAD_MODE_MMAP if spec.mmap else llama_cpp.LLAMA_LOAD_MODE_NONE
        )
        callback = llama_cpp.llama_progress_callback(
            lambda fraction, _data: True if progress is None else progress(fraction)
        )
        params.progress_callback = callback
        log.clear_errors()
        self._model = llama_cpp.llama_model_load_from_file(bytes(spec.path), params)
        if not self._model:
            reason = log.reason() or "llama.cpp gave no reason"
            raise ModelLoadError(f"Cannot load {spec.path}: {_explain(spec.path, reason)}")
        self.load_s = time.perf_counter() - begin
        self.name = _user_name(spec.path)
        try:
            self._read_properties()
        except BaseException:
            self.close()
            raise

    @property
    def handle(self) -> Any:
        """The native pointer, used to create contexts."""
        return self._model

    @property
    def vocabulary_size(self) -> int:
        """The number of tokens in the vocabulary."""
        return int(llama_cpp.llama_vocab_n_tokens(self._vocab))

    @property
    def is_recurrent(self) -> bool:
        """True if the model's memory, or a part of it, is a state that cannot be truncated."""
        return self.is_hybrid or bool(llama_cpp.llama_model_is_recurrent(self._model))

    @property
    def is_hybrid(self) -> bool:
        """True if only a part of the model's memory is a state that cannot be truncated."""
        return bool(llama_cpp.llama_model_is_hybrid(self._model))

    def approximate_layout(self) -> ModelLayout:
        """Return the layout without weights as if all layers had the same attention."""
        length = self.metadata(f"{self.metadata('general.architecture')}.attention.key_length")
        heads = max(1, llama_cpp.llama_model_n_head(self._model))
        default = llama_cpp.llama_model_n_embd(self._model) // heads
        key = int(length) if length.isdecimal() else default
        layer = Layer(token_values=2 * key * llama_cpp.llama_model_n_head_kv(self._model))
        return ModelLayout((layer,) * llama_cpp.llama_model_n_layer(self._model))

    def metadata(self, key: str) -> str:
        """Return a metadata value of the file as text, '' if it is missing."""
        length = llama_cpp.llama_model_meta_val_str(self._model, key.encode(), None, 0)
        if length < 0:
            return ""
        buffer = ctypes.create_string_buffer(length + 1)
        llama_cpp.llama_model_meta_val_str(self._model, key.encode(), buffer, length + 1)
        return buffer.value.decode("utf-8", "replace")

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """Return the tokens of `text`. Raises `EngineError`.

        `special` parses control tokens spelled in the text; `start` adds the tokens that the
        vocabulary puts at the start of a text.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        for _ in range(2):
            tokens = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(
                self._vocab, data, len(data), tokens, size, start, special
            )
            if count >= 0:
                return tokens[:count]
            size = -count  # the size that llama.cpp needs
        raise EngineError(f"The tokenizer of {self.name} failed on a text of {len(data)} bytes.")

    def special_tokens(self) -> dict[str, SpecialToken]:
        """Return the control and unknown tokens of the vocabulary, by their spelling."""
        return {
            text: SpecialToken(
                token,
                not kind & llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN,
                bool(kind & llama_cpp.LLAMA_TOKEN_ATTR_RSTRIP),
            )
            for token, kind, text in self._marked_tokens
            if kind & _CONTROL or text in _RETYPED
        }

    def user_defined_spellings(self) -> list[str]:
        """Return the spellings of the tokens that llama.cpp parses in any text."""
        return [
            text
            for _, kind, text in self._marked_tokens
            if not (kind & _CONTROL or text in _RETYPED)
        ]

    @cached_property
    def _marked_tokens(self) -> list[tuple[int, int, str]]:
        """The special and user-defined tokens: number, attributes and spelling."""
        marked: list[tuple[int, int, str]] = []
        for token in range(self.vocabulary_size):
            kind = llama_cpp.llama_vocab_get_attr(self._vocab, token)
            if kind & (_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED):
                text = self._text(token)
                if text:
                    marked.append((token, kind, text))
        return marked

    def text_edges(self) -> tuple[list[int], list[int]]:
        """Return the tokens that the vocabulary puts before and after a text."""
        vocab = self._vocab
        before, after = [], []
        if llama_cpp.llama_vocab_get_add_bos(vocab):
            before.append(llama_cpp.llama_vocab_bos(vocab))
        if llama_cpp.llama_vocab_get_add_eos(vocab):
            after.append(llama_cpp.llama_vocab_eos(vocab))
        return before, after

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token; those of a control token are empty without `special`."""
        size = 64
        for _ in range(2):
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count  # the size that llama.cpp needs
        raise EngineError(f"The vocabulary of {self.name} cannot spell token {token}.")

    def ends_answer(self, token: int) -> bool:
        """Return whether a token ends the answer."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def close(self) -> None:
        """Free the weights; close every context of the model before."""
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def _read_properties(self) -> None:
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.weights_bytes = int(llama_cpp.llama_model_size(self._model))
        # llama.cpp returns a negative number if the value in the file overflows its integer.
        self.trained_tokens = max(0, int(llama_cpp.llama_model_n_ctx_train(self._model)))
        self.sliding_window = int(llama_cpp.llama_model_n_swa(self._model))
        self.chat_template = self.metadata("tokenizer.chat_template")
        self.bos = self._text(llama_cpp.llama_vocab_bos(self._vocab))
        self.eos = self._text(llama_cpp.llama_vocab_eos(self._vocab))

    def _text(self, token: int) -> str:
        if token < 0:  # the vocabulary has no such token
            return ""
        text = llama_cpp.llama_vocab_get_text(self._vocab, token)
        return text.decode("utf-8", "replace") if text else ""
