"""The README and the pages in docs/, and functions that read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
USER_TEXT = "\n".join((README, *PAGES.values()))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{name}.md" for name in PAGES))
README_LINES = 200
"""The maximum number of lines of the README; details belong in docs/."""


def section(page: str, title: str) -> str:
    """Return the text below a heading of any level, up to the next heading of that level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", page, re.M | re.S)
    assert found is not None, f"there is no heading {title!r}"
    return found[2]


def own_section(page: str, title: str) -> str:
    """Return the text below a heading without that below its own headings."""
    return re.split(r"^#", section(page, title), maxsplit=1, flags=re.M)[0]


def table(text: str) -> list[list[str]]:
    """Return the rows of all tables without their headers; an escaped bar belongs to its cell."""
    tables = re.findall(r"^\|.*\n\|-.*\n((?:\|.*(?:\n|\Z))+)", text, re.MULTILINE)
    rows = [
        re.split(r"(?<!\\)\|", line.strip())[1:-1] for each in tables for line in each.splitlines()
    ]
    return [[cell.strip() for cell in row] for row in rows]


def code_in(text: str) -> list[str]:
    """Return the texts in backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
