"""The Markdown rules: all text of an answer stays visible."""

import html
import re
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it.token import Token

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.storage.interchange.html import to_html
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.ui.transcript.markdown_parser import create_parser
from tests.growth import grows_linearly
from tests.ui.window import opened

_BREAKS = {"hardbreak": "\n", "softbreak": "\n"}


def shown(text: str) -> str:
    """Return the text of the paragraphs and cells, one per line."""
    lines = [token.children or [] for token in create_parser().parse(text)]
    return "\n".join("".join(map(_shown_token, children)) for children in lines if children)


def _shown_token(token: Token) -> str:
    mark = "`" if token.type == "code_inline" else ""
    return _BREAKS.get(token.type, f"{mark}{token.content}{mark}")


def exported(text: str) -> str:
    """Return the text of the answer in the HTML export, without tags."""
    state = ChatState(messages=(Message("m", "assistant", text),))
    page = to_html(Thread("t", state, {}))
    article = page.partition("</time></header>")[2].partition("</article>")[0]
    return html.unescape(re.sub(r"<[^>]*>", "", article)).strip()


WRITTEN = [
    r"Inline \(a_1 * b_1\), \[ x \\ y \], $a*b*c$ and $$c_1 * d_1$$",
    "\\[\nx_1 = 1\n- y_1\n+ z\n# w\n= 4\n\\]",
    "$$\n> a * b * c\n1. d\n$$ and more",
    "\\begin{align}\na &= b \\\\\n- c &= d\n\\end{align}",
    r"\(not closed, \{1, 2\}, a \, b \; c",
    "It costs $5 and $6, or $5*2 to $10*2.",
    r"C:\{x} and \\server\share",
    "copy a \\\nb",
    "2*3*4, 2**3**4, a*b*c, f(x)*g(x)*h(x)",
    "x**2 + y**2 = z**2 + w**2, 10**n * 10**m, (a+b)**2, x**(1/2)**-1",
    "(a+b)*(c+d)*(e+f), x[0]*y[1]*[2]",
    "*.md,*.txt, src/**/*.py, */*, a/*/b/* and **/*.rs",
    "SELECT *, count(*) FROM t; the method __init__ of a class",
    "A note[^1].\n\n[^1]: https://e.org",
    "A note[^1].\n\n[^1]: word",
    "<details>\n<summary>More</summary>\n\nhidden *\n\n</details>",
    "<!-- a comment --> and <b>tag</b>",
    "An unused definition.\n\n[a]: https://e.org 'Title'",
    # formulas within a paragraph, with lines that would begin a block
    "We have \\[\nx_1 = a*b*c\n- y_1 * z *\n= 4\n\\] and more",
    "We have\nso \\[\nx_1\n+ y_1*z*\n\\]",
    "Let $$\na_1\n- b_1\n$$ end",
    "\\(a_1\n- b_1\\)\n\ntext",
    "So \\begin{align}\na_1\n> b_1\n\\end{align}",
    # empty lines
    "\\[\n\nx_1 * y_1 *\n\n\\\\ z_1\n\n\\]\n\nafter",
    "$$\n\nx_1 * y_1 *\n\n$$\n\nafter",
    # nested environments of the same name
    "\\begin{pmatrix}\n\\begin{pmatrix} a_1 \\\\ b_1\n\\end{pmatrix} & c_1*d_1*\n\\end{pmatrix}",
    r"$\$5 * a * b$ and $x$",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_report_28_formulas_and_all_that_is_written_stay_visible(text: str) -> None:
    for where in (shown, exported):
        assert where(text).split() == text.split()


def test_report_28_code_emphasis_and_escapes_work_as_before() -> None:
    text = r"`\(code\)` costs $5, *it* **bold** **Note**s 这是**重要**的 \*a\* 1\. \$5 \#"
    assert shown(text) == r"`\(code\)` costs $5, it bold Notes 这是重要的 *a* 1. $5 #"
    marks = [token.type for token in create_parser().parse(text)[1].children or []]
    assert marks.count("strong_open") == 3
    assert marks.count("em_open") == 1


def test_bold_text_is_bold_next_to_operators() -> None:
    text = "**Step**1 and **x**(a) and **2**n: **bold** x**2 + y**2, **src/** *a*(b)"
    assert shown(text) == "Step1 and x(a) and 2n: bold x**2 + y**2, src/ a(b)"
    marks = [token.type for token in create_parser().parse(text)[1].children or []]
    assert marks.count("strong_open") == 5 and marks.count("em_open") == 1


@pytest.mark.parametrize(
    ("text", "shown_text", "emphasized"),
    [
        ("**TCP**/**IP**", "TCP/IP", 2),
        ("*der*/*die*/*das*", "der/die/das", 3),
        ("*and*/*or*, (**a**/**b**)", "and/or, (a/b)", 4),
        ("**f(x)**/**g(x)**", "f(x)/g(x)", 2),
        ("`a`/*b*", "`a`/b", 1),
        ("src/**/*.py, */*, a/*/b/* and **/*.rs", "src/**/*.py, */*, a/*/b/* and **/*.rs", 0),
    ],
)
def test_emphasis_next_to_a_slash_is_not_a_pattern_of_files(
    text: str, shown_text: str, emphasized: int
) -> None:
    assert shown(text) == shown_text
    marks = [token.type for token in create_parser().parse(text)[1].children or []]
    assert marks.count("strong_open") + marks.count("em_open") == emphasized


def test_report_28_pipes_in_formulas_of_a_table_are_not_its_borders() -> None:
    rows = [
        r"| $|x|$ | norm \(\|y\|\) \[|z|\] |",
        "|---|---|",
        "| $P(A|B)$ | 2 |",
        "| $5 | $6 |",
        "| Price ($) | Cost ($) |",
        "| 1 | 2 | $|z|$ |",
    ]
    cells = [
        "$|x|$", r"norm \(\|y\|\) \[|z|\]", "$P(A|B)$", "2", "$5", "$6", "Price ($)", "Cost ($)",
        "1", "2 | $|z|$",
    ]  # fmt: skip
    assert shown("\n".join(rows)).split("\n") == cells
    assert shown("\n".join(f"> {row}" for row in rows)).split("\n") == cells
    assert [line for line in exported("\n".join(rows)).split("\n") if line] == cells


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("unclosed \\[ x_1\n- a\n- b", ["unclosed \\[ x_1", "a", "b"]),
        ("unclosed $$ x\n- a\n\n- b $$", ["unclosed $$ x", "a", "b $$"]),
        ("- item `\\[` and\n- x \\]", ["item `\\[` and", "x \\]"]),
        ("# Title \\[\n- a\n\\]", ["Title \\[", "a", "\\]"]),
        ("Costs $5.\n- a\n- b costs $6", ["Costs $5.", "a", "b costs $6"]),
        ("- item \\[\n  x_1\n  - y_1\n  \\]\n- b", ["item \\[", "x_1", "- y_1", "\\]", "b"]),
    ],
)
def test_report_28_only_a_formula_with_an_end_takes_lines_from_a_list(
    text: str, lines: list[str]
) -> None:
    assert shown(text).split("\n") == lines


def test_a_definition_of_a_link_is_visible_and_works() -> None:
    text = "See [a] and [text][b].\n\n[a]: https://e.org\n[b]: https://f.org"
    assert shown(text) == "See a and text.\n[a]: https://e.org\n[b]: https://f.org"


def test_tasks_and_surplus_cells_are_visible() -> None:
    assert shown("- [ ] open\n- [x] done") == "[ ] open\n[x] done"
    table = "| a | b |\n|---|---|\n| 1 | 2 | 3 | 4 |\n| `x || y` | z |"
    assert " ".join(shown(table).split()) == "a b 1 2 | 3 | 4 `x | y` | z"
    quoted = "> | a | b |\n> |---|---|\n> | 1 | 2 | 3 |"
    assert " ".join(shown(quoted).split()) == "a b 1 2 | 3"


pieces = st.lists(
    st.sampled_from(
        ["\\", "\\(", "\\)", "\\[", "\\]", "$", "$$", "a", "1", "*", "**", "_", "__", " ", "\n",
         "\n\n", "|", "|-|-|", "- ", "> ", "`", "[^1]:", "[a]: b", "\\begin{x}"]
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(pieces)
def test_no_letter_of_any_text_disappears(parts: list[str]) -> None:
    text = "".join(parts)
    found = "".join(_all_text(token) for token in create_parser().parse(text))
    assert not [char for char in "ab" if found.count(char) < text.count(char)]


def _all_text(token: Token) -> str:
    if token.children is None:
        return token.content + token.info
    return "".join(map(_shown_token, token.children))


async def test_report_28_a_formula_that_grows_is_shown_as_written_at_its_end() -> None:
    async with opened(storage=MemoryStorage(), size=(80, 24)) as window:
        turn = await window.ask("Formula")
        for piece in (
            "So \\(a_1 *",
            " b_1\\):\n\n\\[\nx_1 = 1\n",
            "- y_1 * z_1\n",
            "\\]\n\nEnd 2*3*4",
        ):
            turn.write(piece)
        turn.finish()
        await window.sees("End 2*3*4")
        for line in ("So \\(a_1 * b_1\\):", "\\[", "x_1 = 1", "- y_1 * z_1", "\\]"):
            await window.sees(line)


async def test_report_28_formulas_in_a_table_and_a_paragraph_grow() -> None:
    async with opened(storage=MemoryStorage(), size=(80, 24)) as window:
        turn = await window.ask("Formula")
        for piece in (
            "| a | b |\n|---|---|\n| $|x|$ | \\(P(A",
            "|B)\\) |\n\nWe have \\[\nx_1 = a*b*c\n- y_1",
            " * z\n\\] and so.\n\nEnd",
        ):
            turn.write(piece)
        turn.finish()
        for line in ("$|x|$", "\\(P(A|B)\\)", "x_1 = a*b*c", "- y_1 * z", "\\] and so.", "End"):
            await window.sees(line)


def test_a_formula_without_an_end_before_many_lines_needs_no_long_time() -> None:
    lines = "\n".join(f"{n}, value, {n * 7}" for n in range(5000))
    plain, opened = parse_time(lines), parse_time(f"$$\n{lines}")
    assert opened < 20 * plain + 1
    assert parse_time("\\( x\n" * 3000) < 20 * plain + 1
    assert parse_time(("\\( x\n" * 500 + "\\)\n") * 6) < 20 * plain + 1


@pytest.mark.parametrize(
    ("piece", "count", "end"),
    [
        (":-\n", 60, ""),
        ("a|b\n-|-\n$a|a$ $b|b$|c\n# q\n", 60, ""),
        ("-", 2000, "x"),
        # Formulas: the search for an end is limited to the longest formula.
        ("\\(\n", 60, ":x \\)\n"),
        ("> \\(\n", 60, "> :x \\)\n"),
        ("a \\[\n", 60, ":x \\]\n"),
        ("\\(\n", 60, "\n- a\n\\)\n"),
    ],
)
def test_the_time_of_tables_and_formulas_grows_with_the_text(
    piece: str, count: int, end: str
) -> None:
    assert grows_linearly(lambda text: create_parser().parse(f"a\n{text}"), piece, count, end)


def test_a_formula_after_one_that_takes_no_lines_is_found() -> None:
    text = "a \\(\nb \\(\nc \\) d \\[\nx_1\n- y_1 * z *\n\\]"
    assert shown(text) == text
    quoted = "> a \\(\n>\n> b \\(\n> c_1\n> - d_1 * e *\n> \\)"
    assert shown(quoted) == "a \\(\nb \\(\nc_1\n- d_1 * e *\n\\)"


def test_a_character_that_hides_pipes_is_replaced_in_a_text() -> None:
    assert exported("| a |\n|---|\n| x\ufdd0y |").split() == ["a", "x\ufffdy"]


def parse_time(text: str) -> float:
    begin = process_time()
    create_parser().parse(text)
    return process_time() - begin
