"""The check of model files: the chosen one, and the others on this computer."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.chat_templates import OWN_TEMPLATE, TEMPLATE_CHOICES
from koel_tui.cli.doctor.findings import Finding, format_names, problem, warning
from koel_tui.cli.exit_codes import Exit
from koel_tui.formatting import format_bytes

if TYPE_CHECKING:
    from koel_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class Models:
    """The available models; `chosen` is the file to run, `error` the reason if it is unusable.

    `found` has the number of models of each source, `unusable` the names of unusable ones.
    `lacks_template` is whether the chosen file is known to have no chat template and none is set,
    `fitting_template` the built-in one that fits it, '' if none does.
    """

    starter: Path | None
    configured: bool
    chosen: Path | None
    error: str = ""
    size: int = 0
    has_passed: bool = False
    lacks_template: bool = False
    fitting_template: str = ""
    found: tuple[tuple[str, int], ...] = ()
    unusable: tuple[str, ...] = ()


def inspect(settings: "Settings") -> Models:
    """Find the models and check the header of each."""
    from koel_tui.models import ModelFileError, NoModelError, check_gguf, choose_model
    from koel_tui.models.discovery import find_models
    from koel_tui.models.downloaded import model_files
    from koel_tui.models.probe import verified_models
    from koel_tui.models.starter import starter_model

    chosen, error, size, properties = None, "", 0, None
    try:
        chosen = choose_model(settings.model, settings.model_folders)
        for file in model_files(chosen):
            check_gguf(file)
            size += file.stat().st_size
        properties = verified_models().find(model_files(chosen))
    except (ModelFileError, NoModelError) as found:
        error = str(found)
    all_found = find_models(settings.model_folders)
    unusable = []
    for model in all_found:
        try:
            check_gguf(model.path)
        except ModelFileError:
            unusable.append(model.name)
    return Models(
        starter=starter_model(),
        configured=settings.model is not None,
        chosen=chosen,
        error=error,
        size=size,
        has_passed=properties is not None,
        lacks_template=not (
            properties is None
            or properties.has_template
            or settings.chat_template not in (None, OWN_TEMPLATE)
        ),
        fitting_template="" if properties is None else properties.fitting_template,
        found=tuple(Counter(str(model.source) for model in all_found).items()),
        unusable=tuple(unusable),
    )


def evaluate(models: Models) -> tuple[Finding, ...]:
    """Return the findings about the models."""
    return (_starter(models), _chosen(models), _found(models))


def _starter(models: Models) -> Finding:
    if models.starter is not None:
        return Finding("starter", f"{models.starter.name} is installed")
    advice = 'To install it: pip install "koel-tui[starter]"'
    return Finding("starter", "not installed", advice=advice)


def _chosen(models: Models) -> Finding:
    name = "model" if models.configured else "model (none chosen)"
    if models.error or models.chosen is None:
        advice = (
            "Download one: koel-chat models pull OWNER/NAME. Or choose one: koel-chat config edit"
        )
        return problem(name, models.error, advice, Exit.NO_MODEL)
    tried = "works" if models.has_passed else "not tested with `models probe`"
    found = f"{models.chosen}: {format_bytes(models.size)}, valid header, {tried}"
    if models.lacks_template:
        names = models.fitting_template or "|".join(TEMPLATE_CHOICES)
        advice = f"Set chat_template in config.toml, or use --chat-template {names}."
        return warning(name, f"{found}, no chat template", advice)
    return Finding(name, found)


def _found(models: Models) -> Finding:
    total = sum(count for _, count in models.found)
    counts = ", ".join(f"{count} {source}" for source, count in models.found)
    found = f"{total} on this computer" + (f": {counts}" if counts else "")
    if not models.unusable:
        return Finding("found", found)
    found = f"{found}; unusable: {format_names(models.unusable)}"
    return warning("found", found, "Download them again, or remove them.")
