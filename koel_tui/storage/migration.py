"""Threads saved by an older version, brought to the schema of this one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from koel_tui.storage.errors import NotAThreadError

SCHEMA = 1
"""The schema that this version writes."""

Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""For a schema, the pure function that makes of a thread in it one in the next schema."""

MIGRATIONS: Migrations = MappingProxyType({})
"""The migrations to `SCHEMA`: none, since no version wrote anything older."""


def migrate(wire: dict[str, Any], schema: int, migrations: Migrations) -> dict[str, Any]:
    """Return the thread in this version's schema; one from the future comes back as it is.

    Raises `NotAThreadError` when no way leads here.
    """
    for step in range(schema, SCHEMA):
        if step not in migrations:
            raise NotAThreadError(f"nothing is known about its schema {step}")
        try:
            wire = migrations[step](wire)
        except Exception as error:  # whatever a damaged file makes of it: the others must open
            raise NotAThreadError(f"it is no thread of schema {step}: {error!r}") from error
    return wire
