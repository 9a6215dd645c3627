"""Saving a code block: which one, and under which name."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from koel_tui.text import safe_line
from koel_tui.ui.code import NO_CODE, Code, code_blocks
from koel_tui.ui.keys import leaving
from koel_tui.ui.new_file import name_for, write_new
from koel_tui.ui.picker import Picker, Wording
from koel_tui.ui.saved import has_words


@dataclass(frozen=True, slots=True)
class CodeChoice:
    """A code block in the list."""

    code: Code
    number: int
    takeable: bool = True

    @property
    def title(self) -> str:
        """The number of the block and its first line."""
        return f"{self.number} {self.code.text.strip().partition(chr(10))[0]}"

    @property
    def aside(self) -> str:
        """Its language and size."""
        return self.code.words

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the block has these words in it."""
        return has_words(f"{self.number} {self.code.language} {self.code.text}", words)


class CodePicker(Picker[CodeChoice]):
    """The code blocks of an answer, to save one."""

    WORDING = Wording("Code blocks", "Type to find a block", "There is no code block", "saves")
    BINDINGS: ClassVar[list[BindingType]] = [leaving("save.code")]


class NamePanel(ModalScreen[Path]):
    """Asks for the name of a file until it is written. Returns its path, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Leave"),
        leaving("save.code"),
    ]

    def __init__(self, name: str, text: str, directory: Path | None = None) -> None:
        """Make the panel; `name` is proposed, `text` is what is written.

        It goes to the `directory`, the one the program was started in unless given.
        """
        super().__init__()
        self._text = text
        self._directory = directory or Path()
        self._field = Input(name, placeholder="Name of the file", id="name", compact=True)
        self._problem = Static(id="problem")
        self._panel = Vertical(self._field, self._problem, id="panel")

    def compose(self) -> ComposeResult:
        """Yield the field for the name, and what is wrong with it."""
        yield self._panel

    def on_mount(self) -> None:
        """Say what the panel is and how to leave it."""
        self._panel.border_title = "Save as"
        self._panel.border_subtitle = "enter saves · esc leaves"

    @on(Input.Submitted)
    async def _save(self) -> None:
        name = self._field.value.strip()
        if not name:
            self._tell("Type the name of a file.")
            return
        try:
            path = self._path(name)
            await asyncio.to_thread(write_new, path, self._text)
        except FileExistsError:
            self._tell(f"{name} is there already. Type another name.")
        # A name with a zero byte is the second, one of an unknown user's home the third.
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            self._tell(f"{name} cannot be written: {why}. Type another name.")
        else:
            if self.is_current:
                self.dismiss(path)

    def _path(self, name: str) -> Path:
        return (self._directory / Path(name).expanduser()).absolute()

    def _tell(self, problem: str) -> None:
        self._problem.update(Content.styled(safe_line(problem, 400), "$text-error"))


def save_code(app: App[int], answer: str, title: str, tell: Callable[[str], None]) -> None:
    """Let the user choose a code block of an answer, where there are several, and save it."""
    blocks = code_blocks(answer)

    def name(choice: CodeChoice | None) -> None:
        if choice is not None:
            proposed = name_for(choice.code, title, choice.number)
            app.push_screen(NamePanel(proposed, choice.code.text), lambda path: done(choice, path))

    def done(choice: CodeChoice, path: Path | None) -> None:
        if path is not None:
            tell(f"Saved code block {choice.number} of {len(blocks)} in {path}")

    choices = [CodeChoice(block, number) for number, block in enumerate(blocks, 1)]
    if not choices:
        tell(NO_CODE)
    elif len(choices) == 1:
        name(choices[0])
    else:
        app.push_screen(CodePicker(choices), name)
