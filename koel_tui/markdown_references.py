"""Labels of links and footnotes when several Markdown texts become one document."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

_DEFINITION = re.compile(r"(?<!\\)\[(?:[^\[\]\\\n]|\\.)+\]:")
_NOTE_DEFINITION = re.compile(r"^[ \t>]*\[(\^[^\[\]\s]+)\]:", re.MULTILINE)
_LABEL = re.compile(r"\\.|\[((?:[^\[\]\\]|\\.)+)\]", re.DOTALL)
_PART = re.compile(
    r"\\.|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|^ {0,3}(?P<fence>~{3,})[^\n]*\n.*?^ {0,3}(?P=fence)~*[ \t]*$"
    r"|\[(?P<label>(?:[^\[\]\\`]|\\.)+)\](?P<after>:|\[\]|\[(?P<target>(?:[^\[\]\\]|\\.)+)\])?",
    re.MULTILINE | re.DOTALL,
)
"""An escape, code, or a label with what makes it a definition or a reference."""
_BEFORE_DEFINITION = re.compile(r"[ \t>*+-]*(?:\d+[.)][ \t]+)?")


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A text, its HTML as a separate document, and its definitions by normalized label."""

    text: str
    html: str = ""
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    notes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of a text to rename, by normalized label, and those that are only text in it."""

    renamed: Mapping[str, str]
    foreign: frozenset[str]


class _Taken:
    """The labels that a document has."""

    def __init__(self, labels: set[str]) -> None:
        self._labels = labels
        self._numbers: dict[str, Iterator[int]] = {}

    def new_label(self, label: str) -> str:
        """Return a label that no text defines, and add it."""
        numbers = self._numbers.setdefault(label, count(2))
        candidates = (f"{label}-{number}" for number in numbers)
        new = next(each for each in candidates if _normalize(each) not in self._labels)
        self._labels.add(_normalize(new))
        return new.lower()


def separate_references(texts: Sequence[str]) -> list[str]:
    """Return Markdown texts of which the links and footnotes are the same in one document.

    In a document, the first definition of a label applies everywhere. Therefore a text that defines
    it differently gets another label, and a text without a definition gets an escaped bracket.
    """
    if not any(map(_DEFINITION.search, texts)):
        return list(texts)
    parsed = list(map(_parse, texts))
    links: dict[str, tuple[str, str]] = {}
    notes: dict[str, int] = {}
    for index, each in enumerate(parsed):
        for label, link in each.links.items():
            links.setdefault(label, link)
        for label in each.notes:
            notes.setdefault(label, index)
    known = frozenset((*links, *notes))
    taken = _Taken(set(known))
    result: list[str] = []
    for index, each in enumerate(parsed):
        own = {label for label in each.links if each.links[label] == links[label]}
        own |= {label for label in each.notes if notes[label] == index}
        used = _used(each.text) & known
        if used <= own:
            result.append(each.text)
            continue
        renamed = {
            label: taken.new_label(label) for label in sorted(used - own)
            if label in each.links or label in each.notes
        }  # fmt: skip
        labels = _Labels(renamed, frozenset(used - own - renamed.keys()))
        result.append(_separated(each, labels, links))
    return result


def _parse(text: str) -> _Parsed:
    if "[" not in text:
        return _Parsed(text)
    env: dict[str, Any] = {}
    html = _render(text, env)
    found = env.get("references", {})
    links = {
        label: (each["href"], each["title"])
        for label, each in found.items()
        if not label.startswith("^")
    }
    return _Parsed(text, html, links, frozenset(map(_normalize, _NOTE_DEFINITION.findall(text))))


def _separated(parsed: _Parsed, labels: _Labels, links: Mapping[str, tuple[str, str]]) -> str:
    """Return the text with other labels; unchanged if its code or its links would change."""
    text = _PART.sub(partial(_replace, labels), parsed.text)
    has_notes = any(label.startswith("^") for label in (*labels.renamed, *labels.foreign))
    if has_notes:
        return text if _code(text) == _code(parsed.text) else parsed.text
    known = {
        label: {"href": links[label][0], "title": links[label][1]}
        for label in _used(text) & links.keys()
    }
    return text if _render(text, {"references": known}) == parsed.html else parsed.text


def _replace(labels: _Labels, found: "re.Match[str]") -> str:
    label, after, target = found["label"], found["after"] or "", found["target"]
    if label is None or found.string.startswith("(", found.end()):
        return found[0]  # code, an escape, or a link with its address
    line = found.string.rfind("\n", 0, found.start()) + 1
    is_definition = after == ":" and _BEFORE_DEFINITION.fullmatch(found.string, line, found.start())
    is_note = label.startswith("^")
    key = _normalize(target if target is not None and not is_note else label)
    if key in labels.foreign:
        return f"[{label}]\\[{target}]" if target is not None else f"\\{found[0]}"
    if key not in labels.renamed:
        return found[0]
    new = labels.renamed[key]
    if is_note or is_definition:
        return f"[{new}]{after}"
    return f"[{label}][{new}]{':' if after == ':' else ''}"


def _used(text: str) -> set[str]:
    """Return all that may be a label in a text, normalized."""
    return {_normalize(label) for label in _LABEL.findall(text) if label}


def _normalize(label: str) -> str:
    from markdown_it.common.utils import normalizeReference

    return normalizeReference(label)


def _render(text: str, env: dict[str, Any]) -> str:
    from markdown_it import MarkdownIt  # imported lazily, because it is slow

    return str(MarkdownIt("commonmark").enable("table").render(text, env))


def _code(text: str) -> list[str]:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text)
    return [
        part.content
        for token in tokens
        for part in (token, *(token.children or ()))
        if part.type in ("fence", "code_block", "code_inline")
    ]
