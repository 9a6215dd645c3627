"""Parsers of tool calls: the start and end of a call, its name and its arguments."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_JSON_TOKENS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_GEMMA_QUOTE = '<|"|>'
_BARE_KEY = re.compile(r"([{,]\s*)([\w$-]+)\s*:")
_FUNCTION = "<function="
_NAME = re.compile(r"[\w.:/-]{1,256}")


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed tool call: the tool's name and its arguments as JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallFormat:
    """A format of tool calls: its start tag, end tag and parser.

    With `end` None, the call ends with the JSON value after `start`. `parse` gets the text between.
    `quote` is the tag around strings, '' if they are written as in JSON.
    """

    start: str
    end: str | None
    parse: "Callable[[str], list[Call]]"
    quote: str = ""

    def lacks_arguments(self, text: str) -> bool:
        """Return whether `text`, the beginning of a call, ends before the arguments.

        A call in JSON is then no complete value, so only the format with a tag around them can.
        """
        return self.start == _FUNCTION and not text.partition(">")[2].strip()


class NoCallError(ValueError):
    """A text that looked like a call is not a valid call."""


class EndFinder:
    """A search for the end of a call in a growing text; it reads each character once."""

    def __init__(self, call_format: CallFormat, start: int) -> None:
        """`start` is the index in the text at which the content of the call begins."""
        self._end = call_format.end
        self._start = self._position = start
        self._depth = 0
        self._is_quoted = False

    def end(self, text: str) -> int | None:
        """Return the index of the end of the call in `text`, None while it is incomplete.

        Raises `NoCallError` when the text so far cannot be a call.
        """
        return self._value_end(text) if self._end is None else self._tag_end(text, self._end)

    def _tag_end(self, text: str, tag: str) -> int | None:
        index = text.find(tag, self._position)
        self._position = max(self._start, len(text) - len(tag) + 1)
        return None if index < 0 else index + len(tag)

    def _value_end(self, text: str) -> int | None:
        if self._depth == 0:
            if not text[self._start :].strip():
                return None
            if text[self._start :].lstrip()[0] not in "{[":
                raise NoCallError
        for mark in _JSON_TOKENS.finditer(text, self._position):
            self._position = mark.end()
            character = mark.group()
            if character == '"':
                self._is_quoted = not self._is_quoted
            elif not self._is_quoted and character in "{[":
                self._depth += 1
            elif not self._is_quoted and character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return self._position
        # The character that a trailing backslash escapes is still missing, so read both later.
        rest = text[self._position :]
        self._position = len(text) - rest.endswith("\\")
        return None


def _from_json(text: str) -> list[Call]:
    """Parse one call or a list of calls."""
    value = _parse(text)
    calls = [to_call(each) for each in (value if isinstance(value, list) else [value])]
    if not calls:
        raise NoCallError
    return calls


def _from_bare_json(text: str) -> list[Call]:
    """Parse a call without tags; it must have arguments, unlike other JSON."""
    value = _parse("{" + text)
    if not isinstance(value, dict) or not ({"arguments", "parameters"} & value.keys()):
        raise NoCallError
    return [to_call(value)]


def _from_function_tag(text: str) -> list[Call]:
    """Parse `name>{arguments}`."""
    name, bracket, arguments = text.partition(">")
    if not bracket:
        raise NoCallError
    return [to_call({"name": name.strip(), "arguments": arguments.strip() or {}})]


def _from_gemma(text: str) -> list[Call]:
    """Parse `name{key:<|"|>text<|"|>,other:1}`."""
    name, bracket, rest = text.partition("{")
    parts = (bracket + rest).split(_GEMMA_QUOTE)
    arguments = "".join(
        json.dumps(part) if index % 2 else _BARE_KEY.sub(r'\1"\2":', part)
        for index, part in enumerate(parts)
    )
    return [to_call({"name": name.strip(), "arguments": arguments})]


BARE = CallFormat("{", None, _from_bare_json)
"""JSON without tags, as Llama 3 writes calls; an answer that begins with `{` may be one."""

TAGGED = (
    CallFormat("<tool_call>", "</tool_call>", _from_json),
    CallFormat("[TOOL_CALLS]", None, _from_json),
    CallFormat("<|python_tag|>", None, _from_json),
    CallFormat(_FUNCTION, "</function>", _from_function_tag),
    CallFormat("<|tool_call>call:", "<tool_call|>", _from_gemma, _GEMMA_QUOTE),
)
"""The formats with a start tag: Hermes and Qwen, Mistral, Llama 3.1, Llama 3.2, Gemma 4."""


def parse_calls(call_format: CallFormat, text: str, *, ended: bool) -> list[Call]:
    """Return the calls in `text`, which begins with the start tag of the format.

    `is_ended` is whether the end tag is present. Raises `NoCallError` if there is no valid call.
    """
    end = len(text) - (len(call_format.end) if ended and call_format.end else 0)
    return call_format.parse(text[len(call_format.start) : end])


def to_call(value: object) -> Call:
    """Return the call that a JSON value describes. Raises `NoCallError`."""
    if not isinstance(value, dict):
        raise NoCallError
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # some models write the arguments as a JSON string
        arguments = _parse(arguments)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(arguments, dict):
        raise NoCallError
    return Call(name, _dump_arguments(arguments))


def _parse(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise NoCallError from error


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _dump_arguments(arguments: dict[str, object]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which must stay an escape
        return json.dumps(arguments)
    return text
