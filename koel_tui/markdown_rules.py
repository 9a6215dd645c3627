"""Rules for markdown-it that keep visible what Markdown would remove from an answer.

Formulas are shown as written, also with list markers at the start of a line, empty lines, or pipes
in a table. So are operators (`2*3*4`), backslashes that escape no markup,
footnotes, definitions of links and surplus cells of a table.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

LATE_CHANGE = re.compile(
    r"^ {0,3}\[[^\]\n]+\]:|\\\]|^(?:(?!\\\().)*\\\)|\$\$|\\end\{", re.MULTILINE
)
"""The end of what may change the rendering of text before it: a reference or a formula."""

_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_MAX_FORMULA = 4000  # characters; limits the time for openings without an end
_INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]
"""The blocks that a formula or a footnote ends without a blank line."""
_DOLLAR = re.compile(r"(?<!\\)\$")
_OPENING = re.compile(r"(?<!\\)(?:\\[(\[]|\$\$|\\begin\{)")
_BLOCK_START = re.compile(r"[-+*#>~`|<_\[\d=:]|\$\$")
"""The first character of a line that may begin a block; it saves time."""
_LINE_START = re.compile(rf"\n[ \t>]*(?:{_BLOCK_START.pattern})")
_UNDERLINE = re.compile(r"[ \t>]*(?:=+|-+)[ \t]*")
_HIDDEN_PIPE = "\ufdd0"
"""Replaces a pipe in a formula while a table is split; `safe_text` replaces it in any text."""
_ROW_FORMULA = re.compile(r"(?<!\\)(?:\\[(\[]|\$)")
_DELIMITERS = re.compile(r"[-:| \t]+")
_HIDDEN, _REJECTED = "koel_hidden_pipes", "koel_rejected_lines"
"""Names of what is remembered of a text while it is parsed, so that its time stays linear."""
_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}")
_MARKUP = "`*_#+-.!|~<>[]$&"
"""Characters whose backslash is removed, because Markdown gives them a meaning."""
_SPACED_LETTER = re.compile("[A-Za-z0-9\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]")
"""A letter of a script with spaces between words; in others, `**` within a line is emphasis."""
_DUNDER = re.compile(r"(?<!\w)__[a-z0-9_]*[a-z0-9]__(?!\w)")
_GLOB = re.compile(r"(?<![\w)\]])\*\*?(?:/\*\*?)+|\*\.\w{1,10}(?![\w*])")
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
    from markdown_it.rules_block import reference, table

    def formula_table(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
        if not _may_begin_table(state, start, end):
            return False
        source = state.src
        state.src = _hide_all_pipes(state)
        try:
            return table(state, start, end, silent)
        finally:
            state.src = source

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
    markdown.block.ruler.at("table", formula_table, {"alt": ["paragraph", "reference"]})
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
        return _environment_end(text, start, limit, found[1]) if found else -1
    if closing is not None:
        end = text.find(closing, start + 2, limit)
        return end + len(closing) if end > start + 2 else -1
    return _dollar_end(text, start, limit) if text[start] == "$" else -1


def _environment_end(text: str, start: int, limit: int, name: str) -> int:
    """Return the end of an environment, which may contain others of its name; -1 without one."""
    depth = 0
    for mark in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(text, start, limit):
        depth += 1 if mark[1] == "begin" else -1
        if depth == 0:
            return mark.end()
    return -1


def _dollar_end(text: str, start: int, limit: int) -> int:
    """Return the end of a formula between single dollar signs; -1 for a price or a variable."""
    found = _DOLLAR.search(text, start + 1, limit)
    end = found.start() if found else -1
    content = text[start + 1 : end]
    is_formula = (
        end > 0
        and content == content.strip() != ""
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
    if before == "/" and end == start + 1 and not after.isalnum():
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
    line = state.src[begin : state.eMarks[start]]
    opening = _open_formula(line)
    if opening < 0 or state.is_code_block(start):
        return False
    # The source has the marks of quotes too, and is as long as the formula or longer.
    stop = _formula_end(state.src, begin + opening)
    last = start + 1 + state.src.count("\n", begin, max(stop, begin))
    if last == start + 1 or last > end:
        return False  # a formula of one line can be a part of a paragraph
    is_alone = line.startswith(("\\[", "$$", "\\begin{"))
    may_be_empty = line.rstrip() in ("\\[", "$$")
    if not is_alone and last <= _remembered(state, start, "unbroken"):
        return False
    if not is_alone and _begins_block(state, start, end):
        return False  # the formula is within that block
    if _has_limit(state, start, last, may_be_empty=may_be_empty):
        return False
    if not is_alone and not _breaks_formula(state, start, last, end):
        return False
    if not silent:
        content = state.getLines(start, last, state.blkIndent, False).strip()
        _push_paragraph(state, start, last, content)
    return True


def _open_formula(line: str) -> int:
    """Return the index of a formula that a line begins and does not end; -1 if there is none."""
    position = 0
    while found := _OPENING.search(line, position):
        position = _formula_end(line, found.start())
        if position < 0:
            return -1 if line.count("`", 0, found.start()) % 2 else found.start()
    return -1


def _has_limit(state: "StateBlock", start: int, last: int, *, may_be_empty: bool) -> bool:
    """Return whether a line before `last` ends a formula: an empty one, or one outside its list.

    If the formula begins with `\\[` or `$$` alone in a line, it may have empty lines.
    """
    kind = f"limit {may_be_empty}"
    limit = _remembered(state, start, kind)
    if limit:
        return limit < last
    for line in range(start, last):
        is_empty = state.isEmpty(line)
        is_outside = not is_empty and state.sCount[line] < state.blkIndent
        if is_outside or (is_empty and not may_be_empty):
            _remember(state, start, kind, line)
            return True
    return False


def _breaks_formula(state: "StateBlock", start: int, last: int, end: int) -> bool:
    """Return whether a line of a formula after its first one begins a block."""
    is_broken = _LINE_START.search(state.src, state.bMarks[start], state.eMarks[last - 1])
    if is_broken is None or not any(
        _begins_block(state, line, end)
        or _UNDERLINE.fullmatch(state.src, state.bMarks[line], state.eMarks[line])
        for line in range(max(start + 1, _remembered(state, start, "unbroken")), last)
    ):
        _remember(state, start, "unbroken", last)
        return False
    return True


def _begins_block(state: "StateBlock", line: int, end: int) -> bool:
    """Return whether a line begins a block that is not a formula."""
    begin = state.bMarks[line] + state.tShift[line]
    if _BLOCK_START.match(state.src, begin) is None:
        return False
    rules = state.md.block.ruler.getRules("paragraph")
    return any(rule(state, line, end, True) for rule in rules if rule != _formula_block)


def _remembered(state: "StateBlock", start: int, kind: str) -> int:
    """Return the line up to which a result of an earlier line applies to this line too; or 0."""
    key = kind, state.blkIndent, state.lineMax, state.parentType
    first, last, begin = state.env.get(_REJECTED, {}).get(key, (0, 0, 0))
    return last if first <= start < last and state.bMarks[first] == begin else 0


def _remember(state: "StateBlock", start: int, kind: str, last: int) -> None:
    key = kind, state.blkIndent, state.lineMax, state.parentType
    state.env.setdefault(_REJECTED, {})[key] = (start, last, state.bMarks[start])


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


def _may_begin_table(state: "StateBlock", start: int, end: int) -> bool:
    """Return whether the line after `start` looks like the one below the heading of a table."""
    following = start + 1
    if following >= end or state.isEmpty(following):
        return False
    begin = state.bMarks[following] + state.tShift[following]
    line = state.src[begin : state.eMarks[following]]
    return "-" in line and _DELIMITERS.fullmatch(line) is not None


def _hide_all_pipes(state: "StateBlock") -> str:
    """Return the source with the pipes in its formulas hidden, which is done once for a text."""
    source: str
    hidden: str
    source, hidden = state.env.get(_HIDDEN, ("", ""))
    if source is not state.src:
        hidden = "\n".join(map(_hide_pipes, state.src.split("\n")))
        state.env[_HIDDEN] = (state.src, hidden)
    return hidden


def _hide_pipes(row: str) -> str:
    """Return a row of a table with the pipes in its formulas replaced by another character."""
    parts: list[str] = []
    position = done = 0
    while found := _ROW_FORMULA.search(row, position):
        start = found.start()
        end = _formula_end(row, start)
        if end < 0 or (row[start] == "$" and not _may_have_pipes(row[start + 1 : end - 1])):
            position = start + 1
            continue
        parts += [row[done:start], row[start:end].replace("|", _HIDDEN_PIPE)]
        position = done = end
    return "".join([*parts, row[done:]])


def _may_have_pipes(formula: str) -> bool:
    """Return whether pipes between dollar signs belong to a formula, not to the table."""
    depth = outer = 0
    for char in formula:
        depth += (char in "([{") - (char in ")]}")
        outer += char == "|" and depth == 0
        if depth < 0:
            return False
    return depth == 0 and outer % 2 == 0 and any(char.isalpha() for char in formula)


def _keep_surplus_cells(state: "StateCore") -> None:
    """Append the cells of a row that has more than the heading to its last cell."""
    from markdown_it.rules_block.table import escapedSplit

    lines: list[str] = []
    for index, token in enumerate(state.tokens):
        if token.type in ("th_close", "td_close"):
            cell = state.tokens[index - 1]
            cell.content = cell.content.replace(_HIDDEN_PIPE, "|")
        if token.type != "tr_close" or state.tokens[index - 1].type != "td_close":
            continue
        last = state.tokens[index - 2]
        columns = 1
        while state.tokens[index - 1 - 3 * columns].type == "td_close":
            columns += 1
        lines = lines or state.src.split("\n")
        if last.map is not None:
            row = lines[last.map[0]].lstrip(" \t>").strip().removeprefix("|").removesuffix("|")
            cells = escapedSplit(_hide_pipes(row))[columns:]
            surplus = [cell.strip().replace(_HIDDEN_PIPE, "|") for cell in cells]
            last.content = " | ".join([last.content, *surplus])
