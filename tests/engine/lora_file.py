"""LoRA adapter files that change the attention of every layer a little, or not at all."""

from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, RANK = 30, 576, 4  # SmolLM2-135M


def write_adapter(
    path: Path,
    *,
    strength: float,
    architecture: str = "llama",
    layers: int = LAYERS,
    shape: tuple[int, int] = (WIDTH, WIDTH),
) -> Path:
    """Write a LoRA adapter, by default for SmolLM2-135M; with strength 0 it changes nothing.

    `shape` is the width of the output of the attention, and of its input to the output projection.
    """
    numbers = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(RANK))
    for layer in range(layers):
        for half, size in (("lora_a", (RANK, shape[1])), ("lora_b", (shape[0], RANK))):
            weights = numbers.normal(0, 1 if half == "lora_a" else strength, size)
            name = f"blk.{layer}.attn_output.weight.{half}"
            writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
