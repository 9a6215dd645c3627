"""The command `koel-chat models probe`."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.cli.exit_codes import Exit
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.models.probe import ProbeResult


@click.command()
@click.argument("model", metavar="FILE|NAME", type=click.Path(path_type=Path))
@click.option("--again", is_flag=True, help="Test the model even if it worked before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def probe(model: Path, again: bool, as_json: bool) -> int:
    """Test in a separate process whether a model loads and writes."""
    from koel_tui.cli.models.resolve import model_folders
    from koel_tui.models import ModelFileError
    from koel_tui.models.choose import model_path
    from koel_tui.models.ollama import (
        describe_unused_adapters,
        describe_unused_layers,
        models_of_blob,
    )
    from koel_tui.models.probe import probe_model, verified_models

    path = model_path(model, model_folders())
    result = asyncio.run(probe_model(path, verified_models(), again=again))
    notes = [*filter(None, (describe_unused_layers(path), describe_unused_adapters(path)))]
    if as_json:
        report = {"path": str(path), **dataclasses.asdict(result), "notes": notes}
        click.echo(json.dumps(report))
        return Exit.OK if result.ok else Exit.NO_MODEL
    if not result.ok:
        raise ModelFileError(path, safe_line(result.reason, 500))
    test_note = "it worked before" if result.remembered else f"tested in {result.seconds:.1f} s"
    name = next((model.names[0] for model in models_of_blob(path)), path.name)
    click.echo(
        f"{safe_line(name)} works: {safe_line(result.architecture)}, trained on "
        f"{result.context_tokens:,} tokens; {test_note}."
    )
    click.echo(_template_message(result))
    for note in notes:
        click.echo(safe_line(note, 2000))
    return Exit.OK


def _template_message(result: "ProbeResult") -> str:
    """Return a message about the chat template of a model."""
    if result.has_template:
        return "It has a chat template."
    if result.fitting_template:
        return (
            "It has no chat template. The built-in one that fits its vocabulary is "
            f"{result.fitting_template}: --chat-template {result.fitting_template}."
        )
    return (
        "It has no chat template and no built-in one fits its vocabulary. "
        f"--chat-template {RAW_COMPLETION} sends text without one."
    )
