"""The line editor: keys, history and pastes."""

import pytest

from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.plain.line_editor import LineEditor


@pytest.fixture
def pastes() -> PastePlaceholders:
    return PastePlaceholders()


@pytest.fixture
def editor(pastes: PastePlaceholders) -> LineEditor:
    return LineEditor(pastes)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["backspace"], "one two thre"),
        (["home", "delete", "end", "backspace"], "ne two thre"),
        (["word left", "delete to end"], "one two "),
        (["word left", "word left", "delete word right"], "one  three"),
        (["delete word left", "home", "yank"], "threeone two "),
        (["left", "left", "delete to start", "end", "yank"], "eeone two thr"),
        (["home", "word right", "right", "delete to end", "left", "left"], "one "),
        (["home", "left", "backspace", "end", "right", "delete", "redraw", "up", "down"],
         "one two three"),
    ],
)  # fmt: skip
def test_keys_edit_the_text(editor: LineEditor, keys: list[str], text: str) -> None:
    editor.type("one two three")
    for key in keys:
        editor.press(key)
    assert editor.text == text


def test_a_grapheme_cluster_is_deleted_as_one_character(editor: LineEditor) -> None:
    for text in ("e\u0301", "👩\u200d💻", "❤\ufe0f"):
        editor.type(f"a{text}")
        editor.press("backspace")
        assert editor.text == "a"
        editor.type(text)
        editor.press("left")
        assert editor.cursor == 1
        editor.press("delete")
        assert editor.take() == "a"


def test_up_and_down_show_the_history_and_return(editor: LineEditor) -> None:
    editor.add_history(["one", "two\nlines", "two\nlines", " "])
    editor.type("new")
    editor.press("up")
    assert editor.text == "two\nlines"
    for shown in ("two\nlines", "one", "one"):  # the first press moves to the first line
        editor.press("up")
        assert editor.text == shown
    for _ in range(4):
        editor.press("down")
    assert editor.text == "new"


def test_an_edited_text_of_the_history_is_kept_until_one_is_entered(editor: LineEditor) -> None:
    editor.add_history(["one", "two"])
    editor.type("new")
    editor.press("up")
    editor.type(" edited")
    editor.press("up")
    assert editor.text == "one"
    for shown in ("two edited", "new"):
        editor.press("down")
        assert editor.text == shown
    editor.press("up")
    assert editor.take() == "two edited"
    for shown in ("two edited", "two", "one"):
        editor.press("up")
        assert editor.text == shown
    editor.press("delete to start")
    editor.press("down")
    editor.press("up")
    assert editor.text == ""


def test_ctrl_r_finds_entries_that_contain_the_typed_text(editor: LineEditor) -> None:
    editor.add_history(["the sea", "a tree", "sea salt", "salt"])
    editor.type("sea")
    for found in ("sea salt", "the sea", "the sea"):
        editor.press("search")
        assert editor.text == found


def test_report_10_a_small_paste_is_shown_and_a_large_one_is_a_placeholder(
    editor: LineEditor, pastes: PastePlaceholders
) -> None:
    editor.type("see: ")
    editor.paste("one\r\n/quit\rthree\x1b[31m\x03")
    assert editor.take() == "see: one\n/quit\nthree␛[31m␃"
    large = "\n".join(map(str, range(50_000)))
    editor.paste(large)
    assert len(editor.text) < 40
    assert pastes.expand(editor.text) == large
    editor.press("backspace")
    assert editor.text == ""


@pytest.mark.parametrize("pasted", ["/quit\nnow", "/quit\n", "/edit all\nof it", "C:\\\ndir\\"])
def test_report_10_lines_that_would_be_obeyed_are_a_placeholder(
    editor: LineEditor, pastes: PastePlaceholders, pasted: str
) -> None:
    editor.paste(pasted)
    assert editor.text.startswith("[pasted ") and pastes.expand(editor.text) == pasted


def test_a_pasted_command_of_one_line_equals_a_typed_one(editor: LineEditor) -> None:
    editor.paste("/open The sea")
    assert editor.take() == "/open The sea"


def test_control_characters_are_never_in_the_text(editor: LineEditor) -> None:
    editor.type("a\x9bb\u202ec")
    assert "\x9b" not in editor.text and "\u202e" not in editor.text
    editor.take()
    editor.begin("a\x1b]0;x\x07b")
    assert editor.text == "a␛]0;x␇b" and editor.cursor == 8
    editor.add_history(["c\x1bd"])
    editor.press("up")
    assert editor.text == "c␛d"


def test_returned_text_is_not_joined_with_a_typed_word(editor: LineEditor) -> None:
    editor.type("hello")
    editor.press("left")
    editor.begin("Why?")
    assert editor.text == "Why?\nhello" and editor.cursor == 9
    editor.begin("")
    assert editor.take() == "Why?\nhello"
    editor.begin("Why?")
    assert editor.text == "Why?"
