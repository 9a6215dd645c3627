"""The code blocks of an answer. Pure."""

from dataclasses import dataclass

from koel_tui.ui import markup


@dataclass(frozen=True, slots=True)
class Code:
    """A fenced or indented block: its text and the language it names, which may be empty."""

    text: str
    language: str

    @property
    def words(self) -> str:
        """What it is, in few words."""
        lines = self.text.count("\n") + (not self.text.endswith("\n"))
        size = "1 line" if lines == 1 else f"{lines} lines"
        return f"{self.language}, {size}" if self.language else size


def code_blocks(text: str) -> list[Code]:
    """Return the code blocks of a Markdown text, first to last."""
    tokens = markup.parser().parse(text)
    return [
        Code(token.content, token.info.split()[0] if token.info.split() else "")
        for token in tokens
        if token.type in ("fence", "code_block")
    ]
