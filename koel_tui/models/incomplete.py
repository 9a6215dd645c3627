"""Models that are not complete: why a name that the user knows is not found."""

from collections.abc import Iterator
from pathlib import Path

from koel_tui.models.directory_walk import walk_files
from koel_tui.models.downloaded import partial_downloads
from koel_tui.models.ollama import missing_weights
from koel_tui.models.split_files import parse_part
from koel_tui.text import match_key, safe_line

CONTROL_ENDINGS = (".aria2", ".st")
"""The endings of files next to a download that is not complete, of aria2 and axel."""
_ENDINGS = (*CONTROL_ENDINGS, ".part", ".incomplete", ".downloadinprogress", ".crdownload")


def is_downloading(path: Path) -> bool:
    """Return whether another program has not yet downloaded the whole file at `path`."""
    return any(path.with_name(path.name + ending).exists() for ending in CONTROL_ENDINGS)


def why_incomplete(name: str, folder: Path) -> str:
    """Return why the model `name` in a folder cannot be used, as a sentence; '' if unknown."""
    wanted = match_key(name).removesuffix(".gguf")
    for found, reason in _incomplete(folder):
        if match_key(found) == wanted:
            return f"{safe_line(found)} is not complete: {reason}. Download the rest of it."
    return ""


def why_unfinished(name: str, directory: Path) -> str:
    """Return a sentence if `name` is an unfinished download of koel-chat, '' if it is not."""
    wanted = match_key(name).removesuffix(".gguf")
    found = (each.name for each in partial_downloads(directory) if match_key(each.name) == wanted)
    for each in found:
        return (
            f"{safe_line(each)} is not complete. The command `koel-chat models pull` with its "
            "repository continues the download."
        )
    return ""


def why_missing_in_ollama(name: str, root: Path) -> str:
    """Return why the model `name` of Ollama cannot be used, as sentences; '' if unknown."""
    blob = missing_weights(root, name)
    if blob is None:
        return ""
    return (
        f"Ollama has no weights for {safe_line(name)}: the file {blob} is missing. "
        f"`ollama pull {safe_line(name)}` downloads it again."
    )


def _incomplete(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each incomplete model, and the reason as a clause."""
    files = set(walk_files(folder))
    for path in sorted(files):
        name = path.name.removeprefix("downloading_")
        ending = next((each for each in _ENDINGS if name.lower().endswith(f".gguf{each}")), "")
        if ending:
            yield name[: -len(f".gguf{ending}")], f"{path} is a download that has not ended"
        part = parse_part(path.name)
        if part is not None:
            missing = [each for each in part.names() if path.with_name(each) not in files]
            if missing:
                verb = "is" if len(missing) == 1 else "are"
                yield (
                    part.base,
                    f"{len(missing)} of its {part.total} parts {verb} missing ({missing[0]})",
                )
