"""Tool calls as models write them: where one begins and ends, and what it says."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_MARKS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_NAME = re.compile(r"[\w.:/-]{1,256}")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that was read: the tool's name and its arguments as JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallFormat:
    """A way to write calls: what stands before them and what after.

    `end` None: the JSON value after `start` is all there is. `read` gets what is between.
    """

    start: str
    end: str | None
    read: "Callable[[str], list[Call]]"


class NoCallError(ValueError):
    """A text that looked like a call is none."""


class EndFinder:
    """Finds where a call ends in a text that is still growing; each character is read once."""

    def __init__(self, form: CallFormat, start: int) -> None:
        """Look in texts whose call's own part begins at `start`."""
        self._end = form.end
        self._begin = self._read = start
        self._depth = 0
        self._quoted = False

    def end(self, text: str) -> int | None:
        """Return where the call in `text` ends, None while it does not.

        Raises `NoCallError` when what has come can be no call.
        """
        return self._value_end(text) if self._end is None else self._tag_end(text, self._end)

    def _tag_end(self, text: str, tag: str) -> int | None:
        found = text.find(tag, self._read)
        self._read = max(self._begin, len(text) - len(tag) + 1)
        return None if found < 0 else found + len(tag)

    def _value_end(self, text: str) -> int | None:
        if self._depth == 0:
            if not text[self._begin :].strip():
                return None
            if text[self._begin :].lstrip()[0] not in "{[":
                raise NoCallError
        for mark in _MARKS.finditer(text, self._read):
            self._read = mark.end()
            character = mark.group()
            if character == '"':
                self._quoted = not self._quoted
            elif not self._quoted and character in "{[":
                self._depth += 1
            elif not self._quoted and character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return self._read
        # A backslash at the very end is still to meet the character it escapes.
        rest = text[self._read :]
        self._read = len(text) - rest.endswith("\\")
        return None


def _from_json(text: str) -> list[Call]:
    """Read one call or a list of them."""
    value = _parse(text)
    calls = [_call(each) for each in (value if isinstance(value, list) else [value])]
    if not calls:
        raise NoCallError
    return calls


def _from_bare_json(text: str) -> list[Call]:
    """Read a call that only its shape sets apart from other JSON: it must say all."""
    value = _parse("{" + text)
    if not isinstance(value, dict) or not ({"arguments", "parameters"} & value.keys()):
        raise NoCallError
    return [_call(value)]


def _from_function_tag(text: str) -> list[Call]:
    """Read `name>{arguments}`."""
    name, bracket, arguments = text.partition(">")
    if not bracket:
        raise NoCallError
    return [_call({"name": name.strip(), "arguments": arguments.strip() or {}})]


BARE = CallFormat("{", None, _from_bare_json)
"""JSON with nothing around it, as Llama 3 writes calls; an answer that begins so may be one."""

TAGGED = (
    CallFormat("<tool_call>", "</tool_call>", _from_json),
    CallFormat("[TOOL_CALLS]", None, _from_json),
    CallFormat("<|python_tag|>", None, _from_json),
    CallFormat("<function=", "</function>", _from_function_tag),
)
"""The formats with a tag in front: Hermes and Qwen, Mistral, Llama 3.1, Llama 3.2."""


def read_calls(form: CallFormat, text: str, *, ended: bool) -> list[Call]:
    """Return the calls in `text`, which begins with the tag of the format.

    `ended` says whether the end tag is there too. Raises `NoCallError` when there are none.
    """
    end = len(text) - (len(form.end) if ended and form.end else 0)
    return form.read(text[len(form.start) : end])


def _call(value: object) -> Call:
    if not isinstance(value, dict):
        raise NoCallError
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # some write the arguments as JSON within JSON
        arguments = _parse(arguments)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(arguments, dict):
        raise NoCallError
    return Call(name, _as_text(arguments))


def _parse(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NoCallError from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _as_text(arguments: dict[str, object]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, written as an escape: keep it one
        return json.dumps(arguments)
    return text
