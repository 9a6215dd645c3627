"""Grammars of schemas: answers match the schema, and unsupported keywords are refused by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine import ChatMessage, EngineError, ModelSpec, Sampling, UnsupportedError
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from koel_tui.engine.native.sampling.grammar import grammar_stage, schema_grammar
from koel_tui.engine.native.sampling.json_schema import MAX_SCHEMA_CHARACTERS
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.native.weights import Model

MOOD: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "score": {"type": "integer"}},
    "required": ["mood", "score"],
}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/Tree_Node",
    "$defs": {
        "Tree_Node": {
            "title": "Tree_Node",
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 8},
                "left": {"anyOf": [{"$ref": "#/$defs/Tree_Node"}, {"type": "null"}]},
            },
            "required": ["name", "left"],
        }
    },
}


@pytest.fixture
def context(model: Model, starter_path: Path, native_log: NativeLog) -> Iterator[Context]:
    spec = ModelSpec(starter_path, batch_tokens=256, threads=1)
    made = Context(model, spec, native_log, slots=1, context_tokens=512)
    yield made
    made.close()


def answer(model: Model, context: Context, question: str, sampling: Sampling, grammar: str) -> str:
    template = ChatTemplate(model.chat_template, model=model.name, bos=model.bos, eos=model.eos)
    prompt = template.render([ChatMessage("user", question)]).text
    template.close()
    sampler = Sampler(sampling, model, grammar)
    tokens, position, answered = model.tokenize(prompt, special=True, start=False), 0, b""
    try:
        for _ in range(60):
            (row,) = context.decode([Chunk(0, position, tokens, wants_logits=True)])
            position += len(tokens)
            token = sampler.sample(context, row)
            if model.ends_answer(token):
                break
            answered += model.piece(token)
            tokens = [token]
    finally:
        sampler.close()
    return answered.decode()


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=1.5, seed=7)])
def test_grammar_constrains_an_answer_to_its_schema(
    model: Model, context: Context, sampling: Sampling
) -> None:
    text = answer(model, context, "How are you? Write freely.", sampling, schema_grammar(MOOD))
    value = json.loads(text)
    assert value.keys() == {"mood", "score"}
    assert value["mood"] in ("glad", "sad")
    assert type(value["score"]) is int


@pytest.mark.parametrize(
    "schema",
    [
        {},
        MOOD,
        TREE,
        {"type": "array", "items": True, "minItems": 2, "maxItems": 1000},
        {"type": ["string", "null"], "maxLength": 1000},
        {"prefixItems": [{"const": 1}, {"type": "number"}]},
        {"properties": {"a b": {}, "string": {"format": "date"}}, "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "boolean"}},
        {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
        {"allOf": [{"type": "string", "format": "uuid"}]},
        {"oneOf": [{"type": "object"}, {"type": "array"}]},
        {"type": "object", "properties": {f"p{i}": {"type": "null"} for i in range(200)}},
    ],
    ids=lambda schema: json.dumps(schema)[:40],
)
def test_grammar_is_one_that_the_sampler_takes(model: Model, schema: dict[str, Any]) -> None:
    Sampler(Sampling(), model, schema_grammar(schema)).close()


def test_grammar_a_definition_is_not_mistaken_for_a_property_of_its_name() -> None:
    grammar = schema_grammar(
        {
            "properties": {"item": {"const": 1}, "other": {"$ref": "#/$defs/item"}},
            "$defs": {"item": {"const": 2}},
        }
    )
    assert 'item ::= "1"' in grammar
    assert 'definition0 ::= "2"' in grammar


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "integer", "minimum": 3}, "#/minimum is not supported"),
        ({"properties": {"a": {"type": "word"}}}, "#/properties/a/type is 'word'"),
        ({"properties": []}, "#/properties is not an object"),
        ({"properties": {"a": "string"}}, "#/properties/a is not a schema"),
        ({"type": "object", "required": ["a"]}, "#/required names a property that is not"),
        ({"enum": []}, "#/enum is not a list"),
        ({"anyOf": []}, "#/anyOf is not a list"),
        ({"anyOf": [False]}, "#/anyOf/0 is not a schema"),
        ({"anyOf": [{}], "minLength": 1}, "#/minLength is not supported"),
        ({"allOf": [{}, {}]}, "#/allOf has more than one part"),
        ({"not": {}}, "#/not is not supported"),
        ({"$ref": "https://example.org/schema"}, "#/\\$ref is 'https://example.org/schema', which"),
        ({"items": {"$ref": "#/$defs/a"}}, "#/items/\\$ref is '#/\\$defs/a', which does not exist"),
        ({"type": "array", "minItems": 10**7}, "#/minItems is not a number from 0 to 1000"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "#/minItems is larger than maxItems"),
        ({"type": "string", "maxLength": 10**9}, "#/maxLength is not a number"),
        ({"type": "string", "maxLength": True}, "#/maxLength is not a number"),
        ({"type": "string", "pattern": "^(a{0,999}){999}$"}, "#/pattern repeats"),
        (
            {"type": "string", "pattern": "abc"},
            "The schema cannot be converted to a grammar: Pattern",
        ),
        ({"type": "string", "pattern": "^a$", "minLength": 3}, "# has more than one of"),
        ({"type": ["string", "word"]}, "#/type is 'word'"),
        ({"const": float("nan")}, "is not JSON"),
        ({"const": {1, 2}}, "is not JSON"),
        ({"description": "x" * MAX_SCHEMA_CHARACTERS}, "at most 262144 are allowed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_grammar_an_unsupported_constraint_is_named(schema: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        schema_grammar(schema)


def test_grammar_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UnsupportedError, match="nested more than 64 levels"):
        schema_grammar(schema)


@pytest.mark.parametrize("grammar", ["root ::= missing", 'other ::= "a"', "root ::= root"])
def test_grammar_that_llama_cpp_does_not_take_is_an_error(model: Model, grammar: str) -> None:
    with pytest.raises(EngineError, match="rejects the grammar"):
        grammar_stage(grammar, model)


def test_grammar_a_definition_of_nothing_but_itself_is_an_error(model: Model) -> None:
    grammar = schema_grammar({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})
    with pytest.raises(EngineError, match="rejects the grammar"):
        grammar_stage(grammar, model)


KEYWORDS = (
    *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems"),
    *("maxItems", "minLength", "maxLength", "pattern", "format", "enum", "const", "anyOf", "oneOf"),
    *("allOf", "$ref", "$defs", "title", "not"),
)
WORDS = ("object", "array", "string", "null", "a", "^a{2}$", "date", "#", "#/$defs/a", "#/items")
anything = st.recursive(
    st.sampled_from([*WORDS, 0, 2, -1, 1.5, True, False, None]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), anything, max_size=4))
def test_grammar_of_any_schema_is_made_or_refused(schema: dict[str, Any]) -> None:
    try:
        assert "root ::= " in schema_grammar(schema)
    except UnsupportedError as error:
        assert "chema" in str(error)
