"""Rewriting of JSON schemas, so that llama.cpp converts them to grammars faithfully.

The converter silently ignores unknown keywords, some combinations of known ones, and a definition
with the name of a property. Here all of these are either rewritten to a supported form or rejected
by name, so an answer that fits the grammar is valid for the schema.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from koel_tui.engine.errors import UnsupportedError

SCHEMA_LIMIT = 256 * 1024
"""The maximum length of a schema in characters of JSON."""

COUNT_LIMIT = 1000
"""The maximum of minItems, maxLength and the like: each unit nests the grammar one level deeper."""

_DEPTH_LIMIT = 64

Schema = dict[str, Any]

_ANY: Schema = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_NOTES = {
    *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"),
    *("examples", "deprecated", "readOnly", "writeOnly"),
}
_ALTERNATIVES = ("anyOf", "oneOf")
_COUNTS = {"minItems", "maxItems", "minLength", "maxLength"}
_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"pattern", "format", "minLength", "maxLength"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}
_FORMATS = {"date", "time", "date-time", "uuid"}
_REPEATS = re.compile(r"\{(?:\d*,)?(\d*)\}")


def plain_schema(schema: Mapping[str, Any]) -> str:
    """Return the schema as JSON for the converter.

    Raises `UnsupportedError` naming the location in the schema that cannot be converted.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedError(f"The schema is not JSON: {error}. Correct it.") from error
    if len(text) > SCHEMA_LIMIT:
        raise UnsupportedError(
            f"The schema has {len(text)} characters, at most {SCHEMA_LIMIT} are allowed. "
            "Use a smaller one."
        )
    return json.dumps(_Reader(json.loads(text), text).read())


class _Reader:
    """A rewriter of one schema; definitions get names that occur nowhere else in it."""

    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Schema] = {}
        self._prefix = "definition"
        while self._prefix in text:
            self._prefix += "x"

    def read(self) -> Schema:
        plain = self._schema(self._root, "#", 0)
        # The converter ignores definitions next to a reference, so wrap it.
        plain = {"anyOf": [plain]} if "$ref" in plain else plain
        return {**plain, "$defs": self._definitions}

    def _schema(self, schema: Any, place: str, depth: int) -> Schema:
        if depth > _DEPTH_LIMIT:
            raise _refusal(place, f"is nested more than {_DEPTH_LIMIT} levels deep")
        if schema is True:
            return _ANY
        if not isinstance(schema, dict):
            raise _refusal(place, "is no schema that a value can fit")
        said = {key: value for key, value in schema.items() if key not in _NOTES}
        for keyword in ("const", "enum"):
            if keyword in said:
                return {keyword: _constant(said[keyword], keyword, place)}
        if "$ref" in said:
            _alone(said, "$ref", place)
            return {"$ref": f"#/$defs/{self._definition(said['$ref'], place, depth)}"}
        if "allOf" in said:
            _alone(said, "allOf", place)
            parts = _list(said["allOf"], f"{place}/allOf")
            if len(parts) > 1:
                raise _refusal(f"{place}/allOf", "has more than one part")
            return self._schema(parts[0], f"{place}/allOf/0", depth + 1)
        for keyword in _ALTERNATIVES:
            if keyword in said:
                _alone(said, keyword, place)
                return {"anyOf": self._each(said[keyword], f"{place}/{keyword}", depth)}
        return self._typed(said, place, depth)

    def _each(self, schemas: Any, place: str, depth: int) -> list[Schema]:
        return [
            self._schema(each, f"{place}/{index}", depth + 1)
            for index, each in enumerate(_list(schemas, place))
        ]

    def _typed(self, said: Schema, place: str, depth: int) -> Schema:
        kinds: Any = said.pop("type", None)
        if kinds is None:
            kinds = next((kind for kind, own in _OF_TYPE.items() if own & said.keys()), None)
            if kinds is None and not said:
                return _ANY
        if isinstance(kinds, list):
            known = set[str]().union(*(_OF_TYPE.get(str(kind), set()) for kind in kinds))
            _only(said, known, place)
            return {
                "anyOf": [
                    self._typed(
                        {**_part(said, _OF_TYPE.get(str(kind), set())), "type": kind}, place, depth
                    )
                    for kind in _list(kinds, f"{place}/type")
                ]
            }
        if kinds is not None and (not isinstance(kinds, str) or kinds not in _OF_TYPE):
            raise _refusal(f"{place}/type", f"is {kinds!r}, which is no type")
        _only(said, _OF_TYPE.get(kinds or "", set()), place)
        _check_counts(said, place)
        read = {"object": self._object, "array": self._array, "string": _string}.get(kinds or "")
        return {"type": kinds, **(read(said, place, depth) if read else {})}

    def _object(self, said: Schema, place: str, depth: int) -> Schema:
        properties = said.get("properties", {})
        required = said.get("required", [])
        more = said.get("additionalProperties")
        if not isinstance(properties, dict):
            raise _refusal(f"{place}/properties", "is no object")
        if not isinstance(required, list) or not {*map(str, required)} <= properties.keys():
            raise _refusal(f"{place}/required", "names what is not in `properties`")
        plain: Schema = {"required": [*map(str, required)]} if properties else {}
        if properties or more is False:
            plain["properties"] = {
                name: self._schema(each, f"{place}/properties/{name}", depth + 1)
                for name, each in properties.items()
            }
        if isinstance(more, dict):
            more = self._schema(more, f"{place}/additionalProperties", depth + 1)
        return plain if more is None else {**plain, "additionalProperties": more}

    def _array(self, said: Schema, place: str, depth: int) -> Schema:
        counts = _part(said, _COUNTS)
        if "prefixItems" in said:
            _alone(said, "prefixItems", place)
            return {"prefixItems": self._each(said["prefixItems"], f"{place}/prefixItems", depth)}
        if "items" in said:
            return {"items": self._schema(said["items"], f"{place}/items", depth + 1), **counts}
        return {"items": _ANY, **counts} if counts else {}

    def _definition(self, reference: Any, place: str, depth: int) -> str:
        """Return the name of the referenced definition, which is rewritten at its first use."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise _refusal(f"{place}/$ref", f"is {reference!r}, which is not in this schema")
        if reference not in self._names:
            self._names[reference] = name = f"{self._prefix}{len(self._names)}"
            target = self._root
            for part in reference.split("/")[1:]:
                part = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or part not in target:
                    raise _refusal(f"{place}/$ref", f"is {reference!r}, which leads nowhere")
                target = target[part]
            self._definitions[name] = self._schema(target, reference, depth + 1)
        return self._names[reference]


def _string(said: Schema, place: str, _depth: int) -> Schema:
    plain = _part(said, _COUNTS)
    if str(said.get("format")) in _FORMATS:  # others are annotations
        plain["format"] = said["format"]
    if "pattern" in said:
        plain["pattern"] = pattern = said["pattern"]
        if not isinstance(pattern, str):
            raise _refusal(f"{place}/pattern", "is no text")
        counts = [int(count[:9] or 1) for count in _REPEATS.findall(pattern)]
        if math.prod(counts) > COUNT_LIMIT:  # nested repetitions multiply
            raise _refusal(f"{place}/pattern", f"repeats more than {COUNT_LIMIT} times")
    if len(plain.keys() - {"minLength", "maxLength"}) + bool(plain.keys() & _COUNTS) > 1:
        raise _refusal(place, "has more than one of a pattern, a format and a length")
    return plain


def _constant(value: Any, keyword: str, place: str) -> Any:
    if keyword == "enum":
        _list(value, f"{place}/enum")
    if '"$ref"' in json.dumps(value):  # the converter would treat it as a reference
        raise _refusal(f"{place}/{keyword}", "has a value with `$ref` in it")
    return value


def _check_counts(said: Schema, place: str) -> None:
    for keyword in _COUNTS & said.keys():
        count = said[keyword]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= COUNT_LIMIT:
            raise _refusal(f"{place}/{keyword}", f"is not a number from 0 to {COUNT_LIMIT}")
    for noun in ("Items", "Length"):
        if said.get(f"min{noun}", 0) > said.get(f"max{noun}", COUNT_LIMIT):
            raise _refusal(f"{place}/min{noun}", f"is larger than max{noun}")


def _part(said: Schema, keywords: set[str]) -> Schema:
    return {key: value for key, value in said.items() if key in keywords}


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _refusal(place, "is no list with something in it")
    return value


def _alone(said: Schema, keyword: str, place: str) -> None:
    _only(said, {keyword, "type"}, place)


def _only(said: Schema, allowed: set[str], place: str) -> None:
    for keyword in said.keys() - allowed:
        raise _refusal(f"{place}/{keyword}", "cannot be held by a grammar here")


def _refusal(place: str, problem: str) -> UnsupportedError:
    shown = place if len(place) <= 200 else f"…{place[-200:]}"
    return UnsupportedError(
        f"The schema at {shown} {problem}. Leave that out and check the answer yourself."
    )
