"""Saves one of the code blocks of an answer to a file."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from koel_tui.ui.conversation.code_blocks import NO_CODE, CodeBlock, code_blocks, name_for
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel


class CodePicker(Picker[SimpleChoice[int]]):
    """Picker of a code block to save. Returns its number, counted from 1."""

    WORDING = PickerTexts("Code blocks", "Type to find a block", "There is no code block", "saves")
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("save.code")]


def save_code(app: App[int], answer: str, title: str, tell: Callable[[str], None]) -> None:
    """Save a code block to a file; if the answer has several, the user chooses one."""
    blocks = dict(enumerate(code_blocks(answer), 1))

    def name(number: int) -> None:
        block = blocks[number]

        def done(path: Path | None) -> None:
            if path is not None:
                tell(f"Saved code block {number} of {len(blocks)} in {path}")

        app.push_screen(SaveAsPanel(name_for(block, title, number), block.text), done)

    def take(choice: SimpleChoice[int] | None) -> None:
        if choice is not None:
            name(choice.value)

    if not blocks:
        tell(NO_CODE)
    elif len(blocks) == 1:
        name(1)
    else:
        app.push_screen(CodePicker([_choice(*each) for each in blocks.items()]), take)


def _choice(number: int, block: CodeBlock) -> SimpleChoice[int]:
    """Return the list entry of a block: number, first line, language and size."""
    title = f"{number} {block.text.strip().partition(chr(10))[0]}"
    return SimpleChoice(number, title, block.words, f"{block.language} {block.text}")
