"""The words of a message that name its thread while it has no title. Pure."""

import re

_MAX_CHARACTERS = 8000
"""Characters of a message in which its words are searched."""
_ATTACHMENT = re.compile(r"([^\n]{1,255}\.\w{1,8}|\S{0,255}/[^\n]{1,255}):\n(`{3,})\n")
"""The name of an attached file, and the beginning of the code fence with its text."""
_CODE_BLOCK = re.compile(
    r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n(.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_BLOCK_MARK = re.compile(
    r"^[ \t]*(?:(?:#{1,6}|>|[-*+]|\d{1,3}[.)])[ \t]+)+(?=[^\W\d_]|[*_`\"])", re.MULTILINE
)
"""Marks of headings, quotes and items before words; a dash before a number is a minus."""
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")


def first_words(text: str) -> str:
    """Return the beginning of a message without the marks of Markdown, over several lines.

    Attached files and code blocks are left out if there is anything else. If there is nothing
    else, the names of the files are returned, or the code.
    """
    text, names = _skip_attachments(text.lstrip())
    text = text[:_MAX_CHARACTERS]
    prose = _CODE_BLOCK.sub("\n", text)
    if not prose.strip():
        prose = ", ".join(names) or _CODE_BLOCK.sub(r"\2", text)
    return _BOLD.sub(r"\1", _BLOCK_MARK.sub("", prose))


def _skip_attachments(text: str) -> tuple[str, list[str]]:
    """Return the text after the files attached at its beginning, and their names."""
    names: list[str] = []
    while found := _ATTACHMENT.match(text):
        name, fence = found.groups()
        closing = f"\n{fence}\n"
        end = text.find(closing, found.end() - 1)
        if end < 0:
            break
        names.append(name.rpartition("/")[2] or name)
        text = text[end + len(closing) :].lstrip()
    return text, names
