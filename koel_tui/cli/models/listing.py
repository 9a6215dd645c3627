"""The command `koel-chat models list`."""

import json
from typing import TYPE_CHECKING, Any

import click

from koel_tui.cli.models.resolve import all_models
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.formatting import format_bytes
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.models.discovery import FoundModel
    from koel_tui.models.downloaded import PartialDownload


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_models(as_json: bool) -> None:
    """List the models on this computer, also those of other programs.

    "works" marks a model that `probe` has tested. A model of Ollama has a note about what Ollama
    uses with it and koel-chat does not.
    """
    from koel_tui import paths
    from koel_tui.models.downloaded import model_files, partial_downloads
    from koel_tui.models.probe import verified_models

    found = all_models()
    known = verified_models().find_each(model_files(model.path) for model in found)
    for model, properties in zip(found, known, strict=True):
        works = properties is not None
        click.echo(json.dumps(_as_json(model, works)) if as_json else _format_line(model, works))
    for download in partial_downloads(paths.models_dir()):
        print_notice(_format_unfinished(download))
    if not found:
        print_notice("There is no model. Download one: koel-chat models pull OWNER/NAME")


def _as_json(model: "FoundModel", works: bool) -> dict[str, Any]:
    return {
        "name": model.name,
        "path": str(model.path),
        "size": model.size_bytes,
        "source": model.source,
        "works": works,
        "aliases": list(model.aliases),
        "note": model.note,
    }


def _format_line(model: "FoundModel", works: bool) -> str:
    also = [f"also {', '.join(model.aliases)}"] if model.aliases else []
    notes = [*(["works"] if works else []), *also, *([model.note] if model.note else [])]
    note = f"  ({safe_line('; '.join(notes), 300)})" if notes else ""
    return f"{format_bytes(model.size_bytes):>8}  {model.source:12}  {safe_line(model.name)}{note}"


def _format_unfinished(download: "PartialDownload") -> str:
    return f"{format_bytes(download.size_bytes):>8}  unfinished    {safe_line(download.name)}"
