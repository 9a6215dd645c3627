"""Grammars that constrain an answer to a JSON schema."""

from collections.abc import Mapping
from typing import Any

import llama_cpp
from llama_cpp.llama_grammar import json_schema_to_gbnf

from koel_tui.engine.errors import EngineError, UnsupportedError
from koel_tui.engine.native.sampling.json_schema import rewrite_schema
from koel_tui.engine.native.weights import Model

MAX_GRAMMAR_CHARACTERS = 4 * 1024 * 1024
"""The maximum length of a grammar in characters; a short schema can give a very long one."""


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """Return a grammar, in llama.cpp's GBNF, of the JSON texts that are valid for the schema.

    Raises `UnsupportedError` naming the part of the schema that cannot be converted.
    """
    rewritten = rewrite_schema(schema)
    try:
        grammar = json_schema_to_gbnf(rewritten)
    except Exception as error:  # the converter trusts its input and may raise anything
        reason = str(error)[:200] or type(error).__name__
        raise UnsupportedError(
            f"The schema cannot be converted to a grammar: {reason}. Use a simpler one."
        ) from error
    if len(grammar) > MAX_GRAMMAR_CHARACTERS:
        raise UnsupportedError(
            f"The schema makes a grammar of {len(grammar)} characters, at most "
            f"{MAX_GRAMMAR_CHARACTERS} are allowed. Use a smaller schema."
        )
    return str(grammar)


def grammar_stage(grammar: str, model: Model) -> Any:
    """Return the sampler stage that allows only texts of the grammar.

    It must be the first stage of its chain, because another stage may leave no token that the
    grammar allows. Raises `EngineError` when llama.cpp rejects the grammar.
    """
    vocab = llama_cpp.llama_model_get_vocab(model.handle)
    stage = llama_cpp.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
    if not stage:
        raise EngineError(
            "llama.cpp rejects the grammar of the schema. Use a simpler schema; "
            "the log has the reason."
        )
    return stage
