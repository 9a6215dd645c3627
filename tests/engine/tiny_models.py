"""Tiny model files for architectures whose context memory is not a plain KV cache.

The files have a few hundred kilobytes. The weights and the text are random, but each written token
depends on every earlier token, as tests of the memory require. Each token is one byte.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import gguf
import numpy as np
from numpy.typing import NDArray

from koel_tui.chat_templates import BUILT_IN_TEMPLATES, CHATML

CONTROL = ["<unk>", "<|im_start|>", "<|im_end|>"]
WIDTH, CONTEXT = 64, 4096
SLIDING_WINDOW = 32


class _ModelFile:
    """A GGUF file that is being written."""

    def __init__(
        self,
        path: Path,
        architecture: str,
        layers: int,
        words: Mapping[str, gguf.TokenType],
        *,
        edges: bool = False,
        norm: str = "output_norm",
    ) -> None:
        self._numbers = np.random.default_rng(7)
        self.writer = writer = gguf.GGUFWriter(path, architecture)
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(WIDTH)
        writer.add_block_count(layers)
        writer.add_layer_norm_rms_eps(1e-6)
        tokens = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
        kinds = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.BYTE] * 256
        kinds += words.values()
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * len(tokens))
        writer.add_token_types(kinds)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(edges)
        writer.add_add_eos_token(edges)
        writer.add_add_space_prefix(False)
        self._add_embedding(len(tokens))
        self.add(norm + ".weight", np.ones(WIDTH))

    def _add_embedding(self, tokens: int) -> None:
        self.add_random("token_embd.weight", tokens, WIDTH)
        said = self._numbers.normal(0, 1, (tokens, WIDTH))
        letters = range(len(CONTROL) + ord("a"), len(CONTROL) + ord("z") + 1)
        said[[token for token in range(tokens) if token not in letters]] = 0  # prefer letters
        self.add("output.weight", said)

    def add(self, name: str, weights: NDArray[np.float64]) -> None:
        self.writer.add_tensor(name, weights.astype(np.float32))

    def add_random(self, name: str, *shape: int, scale: float = 1.0) -> None:
        """Add random weights whose outputs are about as large as their inputs, times `scale`."""
        size = scale / np.sqrt(shape[-1])
        self.add(name, self._numbers.normal(0, size, shape))

    def add_attention(self, block: str, size: int) -> None:
        """Add the weights of an attention layer with `size` values for each of its parts."""
        for part in "qkv":
            self.add_random(f"{block}attn_{part}.weight", size, WIDTH, scale=4)
        self.add_random(block + "attn_output.weight", WIDTH, size, scale=4)

    def add_feed_forward(self, block: str) -> None:
        self.add(block + "ffn_norm.weight", np.ones(WIDTH))
        self.add_random(block + "ffn_gate.weight", 2 * WIDTH, WIDTH)
        self.add_random(block + "ffn_up.weight", 2 * WIDTH, WIDTH)
        self.add_random(block + "ffn_down.weight", WIDTH, 2 * WIDTH)

    def write(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def write_recurrent_model(path: Path, template: str = BUILT_IN_TEMPLATES[CHATML]) -> Path:
    """Write a Mamba model: its memory is one state, from which tokens cannot be removed."""
    layers, inner, state, rank = 2, 2 * WIDTH, 16, 8
    file = _ModelFile(path, "mamba", layers, {})
    file.writer.add_chat_template(template)
    file.writer.add_feed_forward_length(0)
    file.writer.add_head_count(0)
    file.writer.add_ssm_conv_kernel(4)
    file.writer.add_ssm_inner_size(inner)
    file.writer.add_ssm_state_size(state)
    file.writer.add_ssm_time_step_rank(rank)
    for layer in range(layers):
        block = f"blk.{layer}."
        file.add(block + "attn_norm.weight", np.ones(WIDTH))
        file.add_random(block + "ssm_in.weight", 2 * inner, WIDTH, scale=2)
        file.add_random(block + "ssm_conv1d.weight", inner, 4)
        file.add(block + "ssm_conv1d.bias", np.zeros(inner))
        file.add_random(block + "ssm_x.weight", rank + 2 * state, inner)
        file.add_random(block + "ssm_dt.weight", inner, rank)
        file.add(block + "ssm_dt.bias", np.full(inner, -5.0))  # it forgets slowly
        file.add(block + "ssm_a", -np.tile(np.linspace(0.01, 0.5, state), (inner, 1)))
        file.add(block + "ssm_d", np.ones(inner))
        file.add_random(block + "ssm_out.weight", WIDTH, inner, scale=2)
    file.write()
    return path


def write_lfm2_model(path: Path, template: str = BUILT_IN_TEMPLATES[CHATML]) -> Path:
    """Write an LFM2 model: a layer of short convolution, then one of attention."""
    heads = 4
    file = _ModelFile(path, "lfm2", 2, {}, norm="token_embd_norm")
    file.writer.add_chat_template(template)
    file.writer.add_feed_forward_length(2 * WIDTH)
    file.writer.add_head_count(heads)
    file.writer.add_head_count_kv([0, heads])
    file.writer.add_shortconv_l_cache(3)
    file.writer.add_rope_freq_base(10_000)
    file.add_random("blk.0.shortconv.conv.weight", WIDTH, 3)
    file.add_random("blk.0.shortconv.in_proj.weight", 3 * WIDTH, WIDTH, scale=2)
    file.add_random("blk.0.shortconv.out_proj.weight", WIDTH, WIDTH, scale=2)
    file.add_attention("blk.1.", WIDTH)
    for norm in ("attn_q_norm", "attn_k_norm"):
        file.add(f"blk.1.{norm}.weight", np.full(WIDTH // heads, 2.0))  # sharper attention
    for block in ("blk.0.", "blk.1."):
        file.add(block + "attn_norm.weight", np.ones(WIDTH))
        file.add_feed_forward(block)
    file.write()
    return path


def write_granite_hybrid_model(path: Path, template: str = BUILT_IN_TEMPLATES[CHATML]) -> Path:
    """Write a Granite 4 model: a Mamba-2 layer, then one of attention."""
    heads, inner, state, rank = 4, 2 * WIDTH, 16, 8
    file = _ModelFile(path, "granitehybrid", 2, {})
    file.writer.add_chat_template(template)
    file.writer.add_feed_forward_length(2 * WIDTH)
    file.writer.add_head_count(heads)
    file.writer.add_head_count_kv([0, heads])
    file.writer.add_ssm_conv_kernel(4)
    file.writer.add_ssm_inner_size(inner)
    file.writer.add_ssm_state_size(state)
    file.writer.add_ssm_time_step_rank(rank)
    file.writer.add_ssm_group_count(1)
    file.add_random("blk.0.ssm_in.weight", 2 * inner + 2 * state + rank, WIDTH, scale=2)
    file.add_random("blk.0.ssm_conv1d.weight", inner + 2 * state, 4)
    file.add("blk.0.ssm_conv1d.bias", np.zeros(inner + 2 * state))
    file.add("blk.0.ssm_dt.bias", np.full(rank, -5.0))  # it forgets slowly
    file.add("blk.0.ssm_a", -np.linspace(0.01, 0.5, rank).reshape(rank, 1))
    file.add("blk.0.ssm_d", np.ones((rank, 1)))
    file.add("blk.0.ssm_norm.weight", np.ones((1, inner)))
    file.add_random("blk.0.ssm_out.weight", WIDTH, inner, scale=2)
    file.add_attention("blk.1.", WIDTH)
    for block in ("blk.0.", "blk.1."):
        file.add(block + "attn_norm.weight", np.ones(WIDTH))
        file.add_feed_forward(block)
    file.write()
    return path


def write_sliding_model(
    path: Path,
    template: str = BUILT_IN_TEMPLATES[CHATML],
    words: Mapping[str, gguf.TokenType] = MappingProxyType({}),
    *,
    name: str = "tiny",
    edges: bool = False,
    vision: bool = False,
) -> Path:
    """Write a Gemma 3 model: one layer sees the last `SLIDING_WINDOW` tokens, one sees all.

    An empty `template` omits the chat template. The vocabulary contains `words`. With `edges`, the
    tokenizer adds `<|im_start|>` before each text and `<|im_end|>` after it. `name` matters because
    llama.cpp treats some tokens by model name. `vision` adds image tensors, as Ollama writes them.
    """
    layers, heads, head = 2, 4, 32
    file = _ModelFile(path, "gemma3", layers, words, edges=edges)
    file.writer.add_name(name)
    if template:
        file.writer.add_chat_template(template)
    file.writer.add_feed_forward_length(2 * WIDTH)
    file.writer.add_head_count(heads)
    file.writer.add_head_count_kv(1)
    file.writer.add_key_length(head)
    file.writer.add_value_length(head)
    file.writer.add_sliding_window(SLIDING_WINDOW)
    file.writer.add_sliding_window_pattern(layers)
    file.writer.add_rope_freq_base(10_000)
    if vision:
        file.writer.add_uint32("gemma3.vision.block_count", 1)
        file.add("v.patch_embedding.weight", np.ones(WIDTH))
    for layer in range(layers):
        block = f"blk.{layer}."
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            file.add(f"{block}{norm}.weight", np.ones(WIDTH))
        for norm in ("attn_q_norm", "attn_k_norm"):
            file.add(f"{block}{norm}.weight", np.ones(head))
        file.add_random(block + "attn_q.weight", heads * head, WIDTH, scale=2)
        file.add_random(block + "attn_k.weight", head, WIDTH, scale=2)
        file.add_random(block + "attn_v.weight", head, WIDTH, scale=2)
        file.add_random(block + "attn_output.weight", WIDTH, heads * head)
        file.add_random(block + "ffn_gate.weight", 2 * WIDTH, WIDTH)
        file.add_random(block + "ffn_up.weight", 2 * WIDTH, WIDTH)
        file.add_random(block + "ffn_down.weight", WIDTH, 2 * WIDTH)
    file.write()
    return path
