"""Migration of threads from older schemas."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from koel_tui.storage.errors import NotAThreadError

SCHEMA = 2
"""The schema that this version writes."""

Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""Maps a schema to the pure function that converts a thread to the next schema."""

MIGRATIONS: Migrations = MappingProxyType({1: lambda wire: wire})
"""The migrations to `SCHEMA`: schema 1 has no head, which is not part of the parsed thread."""


def migrate(wire: dict[str, Any], schema: int, migrations: Migrations) -> dict[str, Any]:
    """Return the thread in this version's schema; one in a newer schema is returned unchanged.

    Raises `NotAThreadError` if a migration is missing or fails.
    """
    steps = {**MIGRATIONS, **migrations}
    for step in range(schema, SCHEMA):
        if step not in steps:
            raise NotAThreadError(f"its schema {step} is unknown")
        try:
            wire = steps[step](wire)
        except Exception as error:  # a damaged file may raise anything; other files must open
            raise NotAThreadError(f"it is not a thread of schema {step}: {error!r}") from error
    return wire
