"""Weights are loaded with parameters that work on every processor."""

import llama_cpp
import pytest

from koel_tui.engine.native.weights import default_load_params


@pytest.mark.parametrize(("amx", "expected"), [("AMX_INT8 = 1", False), ("AMX_INT8 = 0", True)])
def test_the_amx_kernels_are_not_used(
    monkeypatch: pytest.MonkeyPatch, amx: str, expected: bool
) -> None:
    info = f"CPU : AVX2 = 1 | {amx} | REPACK = 1 | ".encode()
    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: info)
    assert default_load_params().use_extra_bufts is expected
