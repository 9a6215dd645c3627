"""The code blocks of an answer. Pure."""

import re
from dataclasses import dataclass

from koel_tui.ui.transcript import markdown_parser

NO_CODE = "There is no code block in the last answer."

_EXTENSION = re.compile(r"[a-z][a-z0-9]{0,5}")
_EXTENSIONS = {
    "bash": "sh", "c#": "cs", "c++": "cpp", "clojure": "clj", "console": "txt", "csharp": "cs",
    "docker": "dockerfile", "elixir": "ex", "erlang": "erl", "f#": "fs", "fsharp": "fs",
    "golang": "go", "haskell": "hs", "javascript": "js", "julia": "jl", "kotlin": "kt",
    "latex": "tex", "make": "mk", "makefile": "mk", "markdown": "md", "matlab": "m", "ocaml": "ml",
    "objective-c": "m", "pascal": "pas", "perl": "pl", "plain": "txt", "plaintext": "txt",
    "powershell": "ps1", "prolog": "pl", "python": "py", "python3": "py", "ruby": "rb",
    "rust": "rs", "scheme": "scm", "shell": "sh", "sh-session": "txt", "solidity": "sol",
    "terraform": "tf", "text": "txt", "typescript": "ts", "viml": "vim", "zsh": "sh",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced or indented block: its text and its language, which may be empty."""

    text: str
    language: str

    @property
    def description(self) -> str:
        """Short description: language and number of lines."""
        lines = self.text.count("\n") + (not self.text.endswith("\n"))
        size = "1 line" if lines == 1 else f"{lines} lines"
        return f"{self.language}, {size}" if self.language else size

    @property
    def extension(self) -> str:
        """File name extension; for unknown languages the language name if it fits, else `txt`."""
        language = self.language.lower()
        return _EXTENSIONS.get(language, language if _EXTENSION.fullmatch(language) else "txt")


def suggest_file_name(code: CodeBlock, title: str, number: int) -> str:
    """Return a safe file name for a code block, derived from the thread title."""
    from koel_tui.storage.interchange import file_name

    return file_name(title, f"-{number}.{code.extension}")


def code_blocks(text: str) -> list[CodeBlock]:
    """Return the code blocks of a Markdown text in order."""
    tokens = markdown_parser.create_parser().parse(text)
    return [
        CodeBlock(token.content, token.info.split()[0] if token.info.split() else "")
        for token in tokens
        if token.type in ("fence", "code_block")
    ]
