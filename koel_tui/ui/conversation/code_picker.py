"""Saves one of the code blocks of an answer to a file."""

from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from koel_tui.ui.conversation.code_blocks import NO_CODE, CodeBlock, code_blocks, suggest_file_name
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel


class CodePicker(Picker[SimpleChoice[int]]):
    """Picker of a code block to save. Returns its number, counted from 1."""

    TEXTS = PickerTexts("Code blocks", "Type to find a block", "There is no code block", "saves it")
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("save.code")]


def save_code(app: App[int], answer: str, title: str) -> None:
    """Save a code block to a file; if the answer has several, the user chooses one."""
    blocks = dict(enumerate(code_blocks(answer), 1))

    def ask_name(number: int) -> None:
        block = blocks[number]

        def on_saved(path: Path | None) -> None:
            if path is not None:
                app.notify(f"Saved code block {number} of {len(blocks)} in {path}")

        app.push_screen(SaveAsPanel(suggest_file_name(block, title, number), block.text), on_saved)

    def on_chosen(choice: SimpleChoice[int] | None) -> None:
        if choice is not None:
            ask_name(choice.value)

    if not blocks:
        app.notify(NO_CODE)
    elif len(blocks) == 1:
        ask_name(1)
    else:
        app.push_screen(CodePicker([_choice(*each) for each in blocks.items()]), on_chosen)


def _choice(number: int, block: CodeBlock) -> SimpleChoice[int]:
    """Return the list entry of a block: number, first line, language and size."""
    title = f"{number} {block.text.strip().partition(chr(10))[0]}"
    return SimpleChoice(number, title, block.description, f"{block.language} {block.text}")
