"""Adapter files for SmolLM2-135M: the attention of every layer turned a little, or not at all."""

from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, RANK = 30, 576, 4


def write_adapter(path: Path, *, strength: float, layers: int = LAYERS, width: int = WIDTH) -> Path:
    """Write a LoRA adapter; one of strength 0 changes nothing.

    With other `layers` or another `width` it is that of another model.
    """
    numbers = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(RANK))
    for layer in range(layers):
        for half, shape in (("lora_a", (RANK, width)), ("lora_b", (width, RANK))):
            weights = numbers.normal(0, 1 if half == "lora_a" else strength, shape)
            name = f"blk.{layer}.attn_output.weight.{half}"
            writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
