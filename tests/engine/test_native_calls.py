"""Every call of llama.cpp's bindings in the package has the declared arguments."""

import importlib
import re
from pathlib import Path

import pytest

import koel_tui
from koel_tui.engine import Sampling
from tests.engine.native_calls import calls, faults

PACKAGE = Path(koel_tui.__file__).parent
USERS = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "llama_cpp" in path.read_text(encoding="utf-8")
]


def test_b1_the_modules_that_call_the_bindings_are_found() -> None:
    found = {str(path.relative_to(PACKAGE)): calls(path.read_text()) for path in USERS}
    assert found["engine/native/sampling/sampler.py"] > 5
    assert found["engine/native/context/llama_context.py"] > 10
    assert sum(found.values()) > 50


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_b1_every_call_of_the_bindings_has_the_declared_arguments(path: Path) -> None:
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    names = vars(importlib.import_module(module.removesuffix(".__init__")))
    assert faults(path.read_text(encoding="utf-8"), names) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("llama_cpp.llama_sampler_init_penalties(64, 1.1, 0.0, 0.0)", "takes 5 arguments, not 4"),
        ("llama_cpp.llama_cpp.llama_sampler_init_greedy(1)", "takes 0 arguments, not 1"),
        ("deep.llama_sampler_init_greedy(1)", "takes 0 arguments, not 1"),
        ("short.llama_decode(1)", "takes 2 arguments, not 1"),
        ("llama_n_ctx(1, 2)", "takes 1 arguments, not 2"),
        ("mtmd.mtmd_free()", "takes 1 arguments, not 0"),
        ("llama_cpp.llama_sampler_init_temp(temp=1.0)", "takes no keywords"),
        ("llama_cpp.llama_sampler_init_temp(*values)", r"called with \* or \*\*"),
        ("llama_cpp.llama_sampler_init_temp(**values)", r"called with \* or \*\*"),
        ("llama_cpp.llama_sampler_init_top_k(1.0)", r"is a c_int, not 1.0 \(float\)"),
        ("llama_cpp.llama_sampler_init_top_k(options.temperature)", r"\(float\)"),
        ("llama_cpp.llama_sampler_init_top_k(share)", r"\(float\)"),
        ("llama_cpp.llama_sampler_init_dist(-1)", r"c_uint, not -1"),
        ("llama_cpp.llama_sampler_init_temp('1')", r"c_float, not '1' \(str\)"),
        ("llama_cpp.llama_model_load_from_file('x', params)", r"c_char_p, not 'x' \(str\)"),
        ("llama_cpp.llama_model_load_from_file(f'{x}', params)", r"\(str\)"),
        (
            "llama_cpp.llama_model_load_from_file(b'x', llama_cpp.llama_context_default_params())",
            r"llama_model_params, not .*\(llama_context_params\)",
        ),
        ("llama_cpp.llama_sampler_init_grammar(vocab, x.encode(), 'root')", r"\(str\)"),
        ("llama_cpp.llama_no_such_function(1)", "does not exist"),
        ("llama_cpp.NO_SUCH_CONSTANT", "does not exist"),
        ("run = llama_cpp.llama_decode", "is used as a value"),
        ("map(llama_n_ctx, contexts)", "is used as a value"),
        ("getattr(llama_cpp, name)(1)", "getattr on the bindings"),
        ("llama_cpp.llama_log_callback(print, 2)", "takes one value"),
        ("grammar.json_schema_to_gbnf()", "missing a required argument"),
        ("params.n_ctxs = 5", "llama_context_params has no field n_ctxs"),
        ("from llama_cpp import *", "imports everything"),
        ("from llama_cpp import llama_gone", "does not exist"),
    ],
)  # fmt: skip
def test_b1_a_wrong_call_is_found(line: str, fault: str) -> None:
    source = f"""
import llama_cpp
import llama_cpp.llama_cpp as deep
import llama_cpp as short
from llama_cpp import llama_n_ctx
from llama_cpp import mtmd_cpp as mtmd
from llama_cpp import llama_grammar as grammar

def work(options: Sampling, share: float, size: int):
    params = llama_cpp.llama_context_default_params()
    {line}
"""
    (found,) = faults(source, {"Sampling": Sampling})
    assert re.search(fault, found)


@pytest.mark.parametrize(
    "line",
    [
        "llama_cpp.llama_sampler_init_penalties(100, 64, 1.1, 0, -2)",
        "llama_cpp.llama_sampler_init_temp(options.temperature)",
        "llama_cpp.llama_sampler_init_top_k(size)",
        "llama_cpp.llama_sampler_init_dist(options.seed)",
        "llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())",
        "(llama_cpp.llama_token * size)()",
        "mtmd.mtmd_free(None)",
        "llama_cpp.ggml_abort_callback()",
        "params.n_ctx = size",
        "other.anything(*values, **more)",
        "getattr(other, name)(1)",
    ],
)
def test_b1_a_valid_call_is_accepted(line: str) -> None:
    source = f"""
import llama_cpp
from llama_cpp import mtmd_cpp as mtmd

def work(options: Sampling, size: int):
    params = llama_cpp.llama_context_default_params()
    {line}
"""
    assert faults(source, {"Sampling": Sampling}) == []
