"""Random terminal input for the decoder, the editor and the display of the plain mode."""

import re
from random import Random

import pytest

from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.plain.input_decoder import InputDecoder, Key, Paste
from koel_tui.plain.line_display import LineDisplay
from koel_tui.plain.line_editor import LineEditor
from koel_tui.text import safe_text
from tests.fuzzed_input import sequence


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("can_move", [True, False])
@pytest.mark.parametrize("has_paste_markers", [True, False])
def test_report_34_no_terminal_input_ends_plain_mode(
    count: int, has_paste_markers: bool, can_move: bool
) -> None:
    random = Random(count)
    written: list[str] = []
    decoder = InputDecoder(has_paste_markers=has_paste_markers)
    editor = LineEditor(PastePlaceholders())
    display = LineDisplay(
        written.append, lambda: (random.randint(1, 9), random.randint(1, 9)), can_move=can_move
    )
    for _ in range(count):
        data = sequence(random).encode("utf-8", "surrogatepass")
        cut = random.randint(0, len(data))
        events = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]
        if decoder.timeout is not None and random.random() < 0.5:
            events += decoder.flush()
        for event in events:
            if isinstance(event, Paste):
                editor.paste(event.text)
            elif isinstance(event, Key):
                editor.press(event.name)
            else:
                editor.type(event.text)
        assert 0 <= editor.cursor <= len(editor.text)
        display.show("You: ", editor.text, editor.cursor)
        if len(editor.text) > 60:
            display.leave()
            editor.take()
    output = "".join(written).replace("\b", "")
    if can_move:
        output = re.sub(r"\r|\x1b\[\d*[ABCJ]", "", output)
    assert safe_text(output) == output, "no control characters but backspaces and moves"


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("has_paste_markers", [True, False])
def test_report_34_ctrl_c_arrives_after_any_sequence_and_a_pause(
    count: int, has_paste_markers: bool
) -> None:
    random = Random(count)
    for _ in range(count):
        data = sequence(random).encode("utf-8", "surrogatepass")
        for key, event in ((b"\x03", Key("interrupt")), (b"\x04", Key("ctrl+d"))):
            decoder = InputDecoder(has_paste_markers=has_paste_markers)
            decoder.feed(data)
            while decoder.timeout is not None:
                decoder.flush()
            events = decoder.feed(key)
            while decoder.timeout is not None:
                events += decoder.flush()
            assert events[-1:] == [event], data
