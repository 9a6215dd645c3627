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

MAX_SCHEMA_CHARACTERS = 256 * 1024
"""The maximum length of a schema in characters of JSON."""

MAX_COUNT = 1000
"""The maximum of minItems, maxLength and similar: each unit nests the grammar one level deeper."""

_MAX_DEPTH = 64

Schema = dict[str, Any]

_ANY: Schema = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_ANNOTATIONS = {
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


def rewrite_schema(schema: Mapping[str, Any]) -> str:
    """Return the schema as JSON for the converter.

    Raises `UnsupportedError` naming the location in the schema that cannot be converted.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedError(f"The schema is not JSON: {error}. Correct it.") from error
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise UnsupportedError(
            f"The schema has {len(text)} characters, at most {MAX_SCHEMA_CHARACTERS} are allowed. "
            "Use a smaller one."
        )
    return json.dumps(_SchemaRewriter(json.loads(text), text).rewrite())


class _SchemaRewriter:
    """A rewriter of one schema; definitions get names that occur nowhere else in it."""

    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Schema] = {}
        self._prefix = "definition"
        while self._prefix in text:
            self._prefix += "x"

    def rewrite(self) -> Schema:
        rewritten = self._schema(self._root, "#", 0)
        # The converter ignores definitions next to a reference, so wrap it.
        rewritten = {"anyOf": [rewritten]} if "$ref" in rewritten else rewritten
        return {**rewritten, "$defs": self._definitions}

    def _schema(self, schema: Any, location: str, depth: int) -> Schema:
        if depth > _MAX_DEPTH:
            raise _unsupported_error(location, f"is nested more than {_MAX_DEPTH} levels deep")
        if schema is True:
            return _ANY
        if not isinstance(schema, dict):
            raise _unsupported_error(location, "is not a schema that a value can match")
        fields = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        for keyword in ("const", "enum"):
            if keyword in fields:
                return {keyword: _constant(fields[keyword], keyword, location)}
        if "$ref" in fields:
            _check_alone(fields, "$ref", location)
            return {"$ref": f"#/$defs/{self._definition(fields['$ref'], location, depth)}"}
        if "allOf" in fields:
            _check_alone(fields, "allOf", location)
            parts = _check_list(fields["allOf"], f"{location}/allOf")
            if len(parts) > 1:
                raise _unsupported_error(f"{location}/allOf", "has more than one part")
            return self._schema(parts[0], f"{location}/allOf/0", depth + 1)
        for keyword in _ALTERNATIVES:
            if keyword in fields:
                _check_alone(fields, keyword, location)
                return {"anyOf": self._rewrite_all(fields[keyword], f"{location}/{keyword}", depth)}
        return self._rewrite_typed(fields, location, depth)

    def _rewrite_all(self, schemas: Any, location: str, depth: int) -> list[Schema]:
        return [
            self._schema(each, f"{location}/{index}", depth + 1)
            for index, each in enumerate(_check_list(schemas, location))
        ]

    def _rewrite_typed(self, fields: Schema, location: str, depth: int) -> Schema:
        kinds: Any = fields.pop("type", None)
        if kinds is None:
            kinds = next(
                (kind for kind, keywords in _OF_TYPE.items() if keywords & fields.keys()), None
            )
            if kinds is None and not fields:
                return _ANY
        if isinstance(kinds, list):
            known = set[str]().union(*(_OF_TYPE.get(str(kind), set()) for kind in kinds))
            _check_allowed(fields, known, location)
            return {
                "anyOf": [
                    self._rewrite_typed(
                        {**_select(fields, _OF_TYPE.get(str(kind), set())), "type": kind},
                        location,
                        depth,
                    )
                    for kind in _check_list(kinds, f"{location}/type")
                ]
            }
        if kinds is not None and (not isinstance(kinds, str) or kinds not in _OF_TYPE):
            raise _unsupported_error(f"{location}/type", f"is {kinds!r}, which is not a type")
        _check_allowed(fields, _OF_TYPE.get(kinds or "", set()), location)
        _check_counts(fields, location)
        convert = {"object": self._object, "array": self._array, "string": _string}.get(kinds or "")
        return {"type": kinds, **(convert(fields, location, depth) if convert else {})}

    def _object(self, fields: Schema, location: str, depth: int) -> Schema:
        properties = fields.get("properties", {})
        required = fields.get("required", [])
        additional = fields.get("additionalProperties")
        if not isinstance(properties, dict):
            raise _unsupported_error(f"{location}/properties", "is not an object")
        if not isinstance(required, list) or not {*map(str, required)} <= properties.keys():
            raise _unsupported_error(
                f"{location}/required", "names a property that is not in `properties`"
            )
        rewritten: Schema = {"required": [*map(str, required)]} if properties else {}
        if properties or additional is False:
            rewritten["properties"] = {
                name: self._schema(each, f"{location}/properties/{name}", depth + 1)
                for name, each in properties.items()
            }
        if isinstance(additional, dict):
            additional = self._schema(additional, f"{location}/additionalProperties", depth + 1)
        return (
            rewritten if additional is None else {**rewritten, "additionalProperties": additional}
        )

    def _array(self, fields: Schema, location: str, depth: int) -> Schema:
        counts = _select(fields, _COUNTS)
        if "prefixItems" in fields:
            _check_alone(fields, "prefixItems", location)
            return {
                "prefixItems": self._rewrite_all(
                    fields["prefixItems"], f"{location}/prefixItems", depth
                )
            }
        if "items" in fields:
            return {
                "items": self._schema(fields["items"], f"{location}/items", depth + 1),
                **counts,
            }
        return {"items": _ANY, **counts} if counts else {}

    def _definition(self, reference: Any, location: str, depth: int) -> str:
        """Return the name of the referenced definition, which is rewritten at its first use."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise _unsupported_error(
                f"{location}/$ref", f"is {reference!r}, which is not in this schema"
            )
        if reference not in self._names:
            self._names[reference] = name = f"{self._prefix}{len(self._names)}"
            target = self._root
            for part in reference.split("/")[1:]:
                part = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or part not in target:
                    raise _unsupported_error(
                        f"{location}/$ref", f"is {reference!r}, which does not exist"
                    )
                target = target[part]
            self._definitions[name] = self._schema(target, reference, depth + 1)
        return self._names[reference]


def _string(fields: Schema, location: str, _depth: int) -> Schema:
    rewritten = _select(fields, _COUNTS)
    if str(fields.get("format")) in _FORMATS:  # others are annotations
        rewritten["format"] = fields["format"]
    if "pattern" in fields:
        rewritten["pattern"] = pattern = fields["pattern"]
        if not isinstance(pattern, str):
            raise _unsupported_error(f"{location}/pattern", "is not a string")
        counts = [int(count[:9] or 1) for count in _REPEATS.findall(pattern)]
        if math.prod(counts) > MAX_COUNT:  # nested repetitions multiply
            raise _unsupported_error(f"{location}/pattern", f"repeats more than {MAX_COUNT} times")
    if len(rewritten.keys() - {"minLength", "maxLength"}) + bool(rewritten.keys() & _COUNTS) > 1:
        raise _unsupported_error(location, "has more than one of a pattern, a format and a length")
    return rewritten


def _constant(value: Any, keyword: str, location: str) -> Any:
    if keyword == "enum":
        _check_list(value, f"{location}/enum")
    if '"$ref"' in json.dumps(value):  # the converter would treat it as a reference
        raise _unsupported_error(f"{location}/{keyword}", "has a value with `$ref` in it")
    return value


def _check_counts(fields: Schema, location: str) -> None:
    for keyword in _COUNTS & fields.keys():
        count = fields[keyword]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
            raise _unsupported_error(
                f"{location}/{keyword}", f"is not a number from 0 to {MAX_COUNT}"
            )
    for noun in ("Items", "Length"):
        if fields.get(f"min{noun}", 0) > fields.get(f"max{noun}", MAX_COUNT):
            raise _unsupported_error(f"{location}/min{noun}", f"is larger than max{noun}")


def _select(fields: Schema, keywords: set[str]) -> Schema:
    return {key: value for key, value in fields.items() if key in keywords}


def _check_list(value: Any, location: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _unsupported_error(location, "is not a list, or is empty")
    return value


def _check_alone(fields: Schema, keyword: str, location: str) -> None:
    _check_allowed(fields, {keyword, "type"}, location)


def _check_allowed(fields: Schema, allowed: set[str], location: str) -> None:
    for keyword in fields.keys() - allowed:
        raise _unsupported_error(f"{location}/{keyword}", "is not supported")


def _unsupported_error(location: str, problem: str) -> UnsupportedError:
    short_location = location if len(location) <= 200 else f"…{location[-200:]}"
    return UnsupportedError(
        f"The schema at {short_location} {problem}. Remove that and check the answer yourself."
    )
