"""Citations in ChatGPT's answers: markers in the text, replaced by links or names.

A marker is `\\ue200kind\\ue202argument\\ue202argument\\ue201`, or `【11†source】` in older exports.
The metadata of the message may have its replacement.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from koel_tui.text import repair

_START, _END, _SEPARATOR = "\ue200", "\ue201", "\ue202"
_OLD_MARKER = r"【\d+(?::\d+)*†[^【】\n]*】"
_MARKER = re.compile(f"{_START}(?P<body>[^{_START}{_END}]*){_END}|{_OLD_MARKER}")
_INCOMPLETE = re.compile(  # of an answer that was cut off, or of a damaged marker
    rf"{_START}\w*(?:{_SEPARATOR}(?:turn\w+|L\d+(?:-L?\d+)?))*"
    rf"(?:{_SEPARATOR}[^\n{_START}]*\Z|{_SEPARATOR})?"
)
_STRAY = re.compile("[\ue200-\ue206]")
_REFERENCE = re.compile(r"turn\d+\w+|L\d+(?:-L?\d+)?")
_SOURCES_ONLY = frozenset(("cite", "filecite", "image_group", "i", "forecast", "finance"))
_LINK_SPECIAL = re.compile(r"([\\\[\]])")


def resolve_citations(text: str, metadata: object) -> str:
    """Return `text` with each marker replaced: by its text in `metadata`, by its name, or nothing.

    Without a replacement, the spaces before a marker are removed too.
    """
    if "†" not in text and _STRAY.search(text) is None:
        return text
    replacements = dict(_replacements(text, metadata))
    for marker in sorted(replacements, key=len, reverse=True):
        if _MARKER.fullmatch(marker) is None:  # a marker with the cited text, or several markers
            text = text.replace(marker, replacements[marker])
    text = _replace(
        _MARKER, text, lambda found: replacements.get(found[0]) or _name(found["body"] or "")
    )
    return _STRAY.sub("", _replace(_INCOMPLETE, text, lambda _: ""))


def _replace(marker: re.Pattern[str], text: str, shown: Callable[[re.Match[str]], str]) -> str:
    """Replace the markers; if nothing is shown for one, remove the spaces before it."""
    pieces: list[str] = []
    end = 0
    for found in marker.finditer(text):
        before, replacement = text[end : found.start()], shown(found)
        pieces += [before, replacement] if replacement else [before.rstrip(" \t")]
        end = found.end()
    return "".join([*pieces, text[end:]])


def _replacements(text: str, metadata: object) -> Iterator[tuple[str, str]]:
    if not isinstance(metadata, dict):
        return
    for citation in _mappings(metadata.get("citations")):
        start, end = citation.get("start_ix"), citation.get("end_ix")
        source = citation.get("metadata")
        if isinstance(start, int) and isinstance(end, int) and isinstance(source, dict):
            marker = text[max(0, start) : max(0, end)]
            if _is_marker(marker):
                yield marker, _link(source)
    for reference in _mappings(metadata.get("content_references")):
        marker = _text(reference.get("matched_text"))
        if _is_marker(marker):
            yield marker, _text(reference.get("alt"))


def _is_marker(text: str) -> bool:
    """Return whether text is a citation; ChatGPT also has a space as the matched text."""
    return _START in text or re.search(_OLD_MARKER, text) is not None


def _link(source: Mapping[str, Any]) -> str:
    title, url = " ".join(_text(source.get("title")).split()), _text(source.get("url"))
    if not re.fullmatch(r"https?://[^\s<>()]+", url):
        return f"({title})" if title else ""
    label = _LINK_SPECIAL.sub(r"\\\1", title) or url
    return f"([{label}]({url}))"


def _name(body: str) -> str:
    """Return the text that a marker without metadata represents, empty for a mere source."""
    kind, *arguments = body.split(_SEPARATOR)
    if kind in _SOURCES_ONLY:
        return ""
    for argument in arguments:
        if _REFERENCE.fullmatch(argument):
            continue
        try:
            value = json.loads(argument)
        except (ValueError, RecursionError):
            return argument.strip()
        if isinstance(value, list):  # a type or reference, the name, and more
            names = [name for name in value if isinstance(name, str)]
            return " ".join(names[1:2] or names[:1])
        return _formula(value)
    return ""


def _formula(value: object) -> str:
    """Return the formula of a widget for formulas; other widgets have nothing to read."""
    widgets = value.values() if isinstance(value, dict) else ()
    contents = (widget.get("content") for widget in widgets if isinstance(widget, dict))
    formula = next((content for content in contents if isinstance(content, str)), "")
    return f"$${formula}$$" if formula else ""


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _text(value: object) -> str:
    return repair(value) if isinstance(value, str) else ""
