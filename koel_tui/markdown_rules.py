"""Rules for markdown-it that keep visible what Markdown would remove from an answer.

Formulas are shown as written, and so are operators (`2*3*4`), backslashes that escape no markup,
footnotes, definitions of links and surplus cells of a table.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

LATE_CHANGE = re.compile(r"^ {0,3}\[[^\]\n]+\]:|\\\]|\$\$|\\end\{", re.MULTILINE)
"""The end of what may change the rendering of text before it: a reference or a formula."""

_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_MAX_FORMULA = 4000  # characters; limits the time for openings without an end
_INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]
"""The blocks that a formula or a footnote ends without a blank line."""
_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}")
_MARKUP = "`*_#+-.!|~<>[]$&"
"""Characters whose backslash is removed, because Markdown gives them a meaning."""
_SPACED_LETTER = re.compile("[A-Za-z0-9\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]")
"""A letter of a script with spaces between words; in others, `**` within a line is emphasis."""
_DUNDER = re.compile(r"(?<!\w)__[a-z0-9_]*[a-z0-9]__(?!\w)")
_GLOB = re.compile(r"\*\*?(?:/\*\*?)+|\*\.\w{1,10}(?![\w*])")
"""A pattern of file names, for example `src/**/*.py`; also the media type `*/*`."""
_POWER = re.compile(r"[\w)\]][\d(-]|\d\w")
"""The characters before and after `**` in `x**2`, `10**n` and `x**(-1)`."""
_PRODUCT = re.compile(r"[)\]][\w(\[]")
"""The characters before and after `*` in `(a + b)*(c + d)`."""
_BOLD = re.compile(r"(?<!\*)\*\*(?!\*)")
_BOLD_BEGIN = re.compile(r"(?<![\w)\]])\*\*(?!\s)")
_MAX_BOLD = 400  # characters; limits the time for many operators
_NOTE = re.compile(r"\[\^[^\]\s]+\]:")


def add_rules(markdown: "MarkdownIt") -> None:
    """Add the rules to a parser."""
    from markdown_it.rules_block import reference

    def visible_reference(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
        if not reference(state, start, end, silent):
            return False
        if not silent:
            text = state.getLines(start, state.line, state.blkIndent, False).strip()
            _push_paragraph(state, start, state.line, text.replace("[", "&#91;", 1))
        return True

    markdown.block.ruler.before("table", "koel_formula", _formula_block, {"alt": _INTERRUPTED})
    markdown.block.ruler.before("reference", "koel_footnote", _note_block, {"alt": _INTERRUPTED})
    markdown.block.ruler.at("reference", visible_reference)
    markdown.inline.ruler.before("escape", "koel_formula", _formula)
    markdown.inline.ruler.before("escape", "koel_backslash", _backslash)
    markdown.inline.ruler.before("emphasis", "koel_operator", _operator)
    markdown.core.ruler.before("inline", "koel_surplus_cells", _keep_surplus_cells)


def _formula_end(text: str, start: int) -> int:
    """Return the end of the formula that begins at `start`; -1 if none does."""
    limit = start + _MAX_FORMULA
    closing = _CLOSING.get(text[start : start + 2])
    if closing is None and text.startswith("\\b", start):
        found = _ENVIRONMENT.match(text, start)
        closing = f"\\end{{{found[1]}}}" if found else None
    if closing is not None:
        end = text.find(closing, start + 2, limit)
        return end + len(closing) if end > start + 2 else -1
    return _dollar_end(text, start, limit) if text[start] == "$" else -1


def _dollar_end(text: str, start: int, limit: int) -> int:
    """Return the end of a formula between single dollar signs; -1 for a price or a variable."""
    end = text.find("$", start + 1, limit)
    content = text[start + 1 : end]
    is_formula = (
        end > 0
        and content == content.strip() != ""
        and not content.endswith("\\")
        and "`" not in content
        and not text[end + 1 : end + 2].isalnum()
        and not (start > 0 and text[start - 1].isalnum())
    )
    return end + 1 if is_formula else -1


def _formula(state: "StateInline", silent: bool) -> bool:
    if state.src[state.pos] not in "\\$":
        return False
    end = _formula_end(state.src, state.pos)
    if end < 0 or end > state.posMax:
        return False
    if not silent:
        first, *lines = state.src[state.pos : end].split("\n")
        state.pending += first
        for line in lines:
            state.push("hardbreak", "br", 0)
            state.pending += line
    state.pos = end
    return True


def _backslash(state: "StateInline", silent: bool) -> bool:
    """Keep a backslash that escapes no markup."""
    if state.src[state.pos] != "\\" or state.pos + 1 >= state.posMax:
        return False
    escaped = state.src[state.pos + 1]
    if escaped in _MARKUP and escaped not in "[]":
        return False
    kept = "\\" if escaped == "\n" else f"\\{escaped}"
    if not silent:
        state.pending += kept
    state.pos += len(kept)
    return True


def _operator(state: "StateInline", silent: bool) -> bool:
    """Keep `*` and `**` between operands, in `count(*)` and `*.py`, and names like `__init__`."""
    if state.src[state.pos] == "*":
        end = _operator_end(state.src, state.pos, state.posMax)
    else:
        found = _DUNDER.match(state.src, state.pos, state.posMax)
        end = found.end() if found else -1
    if end < 0:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


def _operator_end(text: str, start: int, limit: int) -> int:
    """Return the end of asterisks that are not emphasis; -1 if they can be."""
    if (glob := _GLOB.match(text, start, limit)) is not None:
        return glob.end()
    end = start
    while end < limit and text[end] == "*":
        end += 1
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before == "/" and end == start + 1:
        return end  # `src/*`; the end of bold text is `**`
    if end == start + 1 and _PRODUCT.match(before + after):
        return end
    if end == start + 2 and _POWER.match(before + after) and not _is_bold(text, start):
        return end
    if _SPACED_LETTER.match(before) and _SPACED_LETTER.match(after):
        return end if end == start + 1 or (before + after).isdigit() else -1
    return end if before in ("", " ", "\n", "(") and after in (")", ",", ";") else -1


def _is_bold(text: str, position: int) -> bool:
    """Return whether bold text that began before a position may end there."""
    is_bold = False
    for mark in _BOLD.finditer(text, max(0, position - _MAX_BOLD), position):
        if is_bold:
            is_bold = text[mark.start() - 1].isspace()
        else:
            is_bold = _BOLD_BEGIN.match(text, mark.start()) is not None
    return is_bold


def _formula_block(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
    """Parse the lines of a formula as a paragraph, also if one of them begins like a list."""
    begin = state.bMarks[start] + state.tShift[start]
    if state.is_code_block(start) or not state.src.startswith(("\\[", "$$", "\\begin{"), begin):
        return False
    last = start
    while (
        last < end
        and not state.isEmpty(last)
        and state.sCount[last] >= state.blkIndent
        and state.bMarks[last] - begin <= _MAX_FORMULA
    ):
        last += 1
    text = state.getLines(start, last, state.blkIndent, False).strip()
    stop = _formula_end(text, 0) if text else -1
    last = start + 1 + text.count("\n", 0, max(stop, 0))
    if stop <= 0 or last == start + 1:
        return False  # a formula of one line can be a part of a paragraph
    if not silent:
        content = state.getLines(start, last, state.blkIndent, False).strip()
        _push_paragraph(state, start, last, content)
    return True


def _note_block(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
    """Parse a footnote as a paragraph; for Markdown it is a definition, which is not shown."""
    if state.is_code_block(start):
        return False
    if not _NOTE.match(state.src, state.bMarks[start] + state.tShift[start]):
        return False
    if silent:
        return True
    last = start + 1
    rules = state.md.block.ruler.getRules("paragraph")
    while last < end and not state.isEmpty(last):
        if any(rule(state, last, end, True) for rule in rules):
            break
        last += 1
    text = state.getLines(start, last, state.blkIndent, False).strip()
    _push_paragraph(state, start, last, text)
    return True


def _push_paragraph(state: "StateBlock", start: int, end: int, content: str) -> None:
    state.line = end
    state.push("paragraph_open", "p", 1).map = [start, end]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = content, [start, end], []
    state.push("paragraph_close", "p", -1)


def _keep_surplus_cells(state: "StateCore") -> None:
    """Append the cells of a row that has more than the heading to its last cell."""
    from markdown_it.rules_block.table import escapedSplit

    lines: list[str] = []
    for index, token in enumerate(state.tokens):
        if token.type != "tr_close" or state.tokens[index - 1].type != "td_close":
            continue
        last = state.tokens[index - 2]
        columns = 1
        while state.tokens[index - 1 - 3 * columns].type == "td_close":
            columns += 1
        lines = lines or state.src.split("\n")
        if last.map is not None:
            row = lines[last.map[0]].lstrip(" \t>").strip().removeprefix("|").removesuffix("|")
            surplus = [cell.strip() for cell in escapedSplit(row)[columns:]]
            last.content = " | ".join([last.content, *surplus])
