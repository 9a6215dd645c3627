"""Rich's rendering of Markdown, in which each text has a mark of the line it was written in."""

from typing import TYPE_CHECKING, ClassVar

from markdown_it.token import Token
from rich.markdown import CodeBlock, Heading, Markdown, Paragraph, TableElement
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from koel_tui.ui.transcript import markdown_parser
from koel_tui.ui.transcript.row_sources import TAB_SIZE, Source, source_of, style_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


def marked_document(text: str, sources: list[Source]) -> Markdown:
    """Return the document of a Markdown text; `sources` is filled while it is rendered."""

    class MarkedParagraph(Paragraph):
        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            _mark_lines(self.text, sources)
            yield from super().__rich_console__(console, options)

    class MarkedHeading(Heading):
        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            _mark_lines(self.text, sources)
            yield from super().__rich_console__(console, options)

    class MarkedCode(CodeBlock):
        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            code = self.text.plain.rstrip()
            yield Padding(_marked_code(code, self.lexer_name, self.theme, sources), 1)

    class MarkedTable(TableElement):
        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            header = [self.header.row] if self.header is not None and self.header.row else []
            for row in (*header, *(self.body.rows if self.body is not None else ())):
                number = len(sources)
                for cell in row.cells:
                    _mark_cell(cell.content, number, sources)
            yield from super().__rich_console__(console, options)

    class MarkedDocument(Markdown):
        elements: ClassVar = {
            **Markdown.elements,
            "paragraph_open": MarkedParagraph,
            "heading_open": MarkedHeading,
            "fence": MarkedCode,
            "code_block": MarkedCode,
            "table_open": MarkedTable,
        }

    document = MarkedDocument("", hyperlinks=False, code_theme="ansi_dark")
    # Rich's own parser does not sanitize.
    document.parsed = _without_automatic_links(markdown_parser.create_parser().parse(text))
    return document


def _without_automatic_links(tokens: list[Token]) -> list[Token]:
    """Return tokens in which an address is text, because Rich writes an address after each link."""
    for token in tokens:
        if token.children:
            token.children = [child for child in token.children if child.info != "auto"]
    return tokens


def _mark_lines(text: Text, sources: list[Source]) -> None:
    """Mark each line of a text as one source."""
    text.tab_size = TAB_SIZE
    begin = 0
    for line in text.plain.split("\n"):
        text.stylize(style_of(len(sources)), begin, begin + len(line))
        sources.append(source_of(line))
        begin += len(line) + 1


def _marked_code(code: str, lexer: str, theme: str, sources: list[Source]) -> Text:
    """Return highlighted code whose lines are marked; an empty line is a space with a mark."""
    syntax = Syntax("", lexer, theme=theme, word_wrap=True)
    lines = syntax.highlight(code.expandtabs(TAB_SIZE)).split("\n", allow_blank=True)
    marked: list[Text] = []
    for line, written in zip(lines, code.split("\n"), strict=False):
        shown = line if line.plain else Text(" ")
        shown.stylize(style_of(len(sources)))
        sources.append(source_of(written, is_code=True))
        marked.append(shown)
    return Text("\n").join(marked)


def _mark_cell(cell: Text, row: int, sources: list[Source]) -> None:
    """Mark a cell, which is shown completely in a narrow column, too."""
    cell.overflow = "fold"
    cell.tab_size = TAB_SIZE
    if not cell.plain:
        cell.append(" ")
        cell.justify = "left"  # Rich removes the spaces of other cells
    sources.append(source_of(cell.plain.strip(), row=row))
    cell.stylize(style_of(len(sources) - 1))
