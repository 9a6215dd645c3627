"""The input decoder: keys, typed text and pastes from terminal bytes, in any chunks."""

from time import process_time

import pytest

from koel_tui.plain.input_decoder import (
    PASTE_END,
    PASTE_START,
    InputDecoder,
    InputEvent,
    Key,
    Paste,
    Typed,
)

ENTER = Key("enter")


def decoded(*chunks: str, has_paste_markers: bool = True) -> list[InputEvent]:
    """Return the events of chunks that arrive without a pause, and the events after a pause."""
    decoder = InputDecoder(has_paste_markers=has_paste_markers)
    events = [event for chunk in chunks for event in decoder.feed(chunk.encode())]
    while decoder.timeout is not None:
        events += decoder.flush()
    return events


def joined(events: list[InputEvent]) -> list[InputEvent]:
    """Return the events with adjacent typed texts merged."""
    result: list[InputEvent] = []
    for event in events:
        if isinstance(event, Typed) and result and isinstance(result[-1], Typed):
            result[-1] = Typed(result[-1].text + event.text)
        else:
            result.append(event)
    return result


def marked(text: str) -> str:
    return f"{PASTE_START}{text}{PASTE_END}"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("\r\n", "enter enter"), ("\x1b[A\x1bOA\x10", "up up up"),
        ("\x1b[3~\x7f", "delete backspace"),
        ("\x1b[1;5D\x1bb", "word left|word left"), ("\x03\x1a\x1c", "interrupt suspend quit"),
        ("\x1b\x1b[H", "home"), ("\x1b[[A\x1b[99;3R\x00\x1b[", ""),
    ],
)  # fmt: skip
def test_key_sequences_are_decoded(data: str, names: str) -> None:
    wanted = names.split("|") if "|" in names else names.split()
    assert decoded(data) == [Key(name) for name in wanted]


def test_the_escape_key_before_a_letter_loses_no_letter() -> None:
    assert joined(decoded("\x1b", "hé\tllo")) == [Typed("hé\tllo")]


@pytest.mark.parametrize(
    ("key", "name"),
    [("\x03", "interrupt"), ("\x04", "ctrl+d"), ("\x1a", "suspend"), ("\x15", "delete to start")],
)
def test_report_34_the_escape_key_before_a_control_key_loses_no_key(key: str, name: str) -> None:
    for chunks in (("\x1b", key), (f"\x1b{key}",), ("\x1b", "\x1b", key)):
        assert decoded(*chunks) == [Key(name)]


def test_report_34_the_escape_key_and_a_pause_change_no_later_key() -> None:
    decoder = InputDecoder()
    assert decoder.feed(b"\x1b") == [] and decoder.timeout is not None
    assert decoder.flush() == [] and decoder.timeout is None
    assert decoder.feed(b"do") == [Typed("do")]


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ("\x1b[99;5u", Key("interrupt")), ("\x1b[1089::99;69u", Key("interrupt")),
        ("\x1b[27;5;99~", Key("interrupt")), ("\x1b[100;5u", Key("ctrl+d")),
        ("\x1b[92;5u", Key("quit")), ("\x1b[13u", ENTER), ("\x1b[13;2:1u", ENTER),
        ("\x1bOM", ENTER), ("\x1b[127u", Key("backspace")), ("\x1b[98;3u", Key("word left")),
        ("\x1b[97;;97u", Typed("a")), ("\x1b[97:65;2;65u", Typed("A")), ("\x1b[1078u", Typed("ж")),
        ("\x1b[9u", Typed("\t")), ("\x1bOp", Typed("0")), ("\x1bOk", Typed("+")),
    ],
)  # fmt: skip
def test_report_34_keys_that_the_terminal_reports(data: str, event: InputEvent) -> None:
    assert decoded(data) == decoded(*data) == [event]


@pytest.mark.parametrize(
    "data",
    [
        "\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", "\x1b]52;c;YWJj\x07", "\x1bP1$r0m\x1b\\",
        "\x1b_Gi=1;OK\x1b\\", "\x1b[M !!", "\x1b[99;5:3u", "\x1b[27u", "\x1b[57441;2u",
        "\x1b[1114112u", "\x1b[55296u", "\x1b[?1u",
    ],
)  # fmt: skip
def test_report_34_replies_and_mouse_reports_type_nothing(data: str) -> None:
    assert decoded(data) == decoded(*data) == []
    assert joined(decoded(f"a{data}b")) == joined(decoded("a", *data, "b")) == [
        *joined([Typed("a"), Typed("b")])
    ]  # fmt: skip


@pytest.mark.parametrize("letter", "]P_^X")
def test_report_34_the_escape_key_before_a_letter_that_begins_a_reply(letter: str) -> None:
    assert joined(decoded("\x1b", f"{letter}lease")) == [Typed(f"{letter}lease")]
    assert joined(decoded(f"\x1b{letter}x\r")) == [Typed(f"{letter}x"), ENTER]
    assert decoded(f"\x1b{letter}\x03")[-1] == Key("interrupt")


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_report_10_a_paste_is_one_event_in_any_chunks(line_end: str) -> None:
    text = line_end.join(["one", "/quit", "é\x1b[A\x03", ""])
    data = (f"a{marked(text)}\rb").encode()
    wanted = [Typed("a"), Paste(text), ENTER, Typed("b")]
    for size in (1, 2, 3, 5, 7, len(data)):
        decoder = InputDecoder()
        events = []
        for start in range(0, len(data), size):
            events += decoder.feed(data[start : start + size])
        while decoder.timeout is not None:
            events += decoder.flush()
        assert joined(events) == wanted, size


def test_report_10_an_end_marker_within_a_paste_does_not_end_it() -> None:
    inner = f"one{PASTE_END}/quit\r\x03two"
    assert decoded(marked(inner)) == [Paste(inner)]
    assert decoded(*marked(inner)) == [Paste(inner)]
    nested = f"one{PASTE_END}/quit\r{PASTE_START}two"
    assert decoded(marked(nested), "\r") == [Paste(nested), ENTER]


def test_report_10_pastes_that_arrive_together_are_distinguished() -> None:
    assert decoded(marked("a\nb"), "\r", marked("c"), marked("d"), "\r/quit\r") == [
        Paste("a\nb\nc"), Paste("d"), ENTER, Typed("/quit"), ENTER,
    ]  # fmt: skip


def test_report_10_pasted_markers_press_no_enter_key() -> None:
    inner = f"/quit{PASTE_END}\r{PASTE_START}x"
    assert decoded(marked(inner)) == decoded(*marked(inner)) == [Paste("/quit\nx")]


def test_report_10_a_paste_without_an_end_is_inserted_and_a_key_ends_it() -> None:
    decoder = InputDecoder()
    assert decoder.feed(f"{PASTE_START}one\n/quit\n".encode()) == []
    assert decoder.feed(b"\x03") == [], "a part of the paste"
    assert decoder.flush() == [Paste("one\n/quit\n\x03")]
    assert decoder.timeout is None and decoder.is_pasting
    assert decoder.feed(b"/open\ntwo") == [] and decoder.flush() == [Paste("/open\ntwo")]
    assert decoder.feed(b"\r") == [ENTER] and not decoder.is_pasting
    assert decoder.feed(b"x") == [Typed("x")]


@pytest.mark.parametrize("rest", ["/quit", "\x11q", "xé", "\x1b[Aa", "\x1b[3"])
def test_report_10_the_rest_of_a_late_paste_is_not_read_as_keys(rest: str) -> None:
    decoder = InputDecoder()
    decoder.feed(f"{PASTE_START}one\n".encode())
    decoder.flush()
    assert decoder.feed(rest.encode()) == []
    assert decoder.flush() == [Paste(rest)]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_report_10_an_end_marker_with_a_pause_in_it_types_nothing(size: int) -> None:
    decoder = InputDecoder()
    decoder.feed(f"{PASTE_START}one\n{PASTE_END[:size]}".encode())
    assert decoder.flush() == [Paste("one\n")]
    assert decoder.feed(PASTE_END[size:].encode()) == []
    assert decoder.flush() == [] and not decoder.is_pasting


@pytest.mark.parametrize("key", ["x", "é", "\x1b", "\x1b[A", "\x1bOA", "\x1bb", "\x03\x03"])
def test_report_10_a_single_key_after_a_pause_ends_a_paste(key: str) -> None:
    decoder = InputDecoder()
    decoder.feed(f"{PASTE_START}one\n".encode())
    decoder.flush()
    for byte in key.encode() if key == "é" else ():
        assert decoder.feed(bytes([byte])) in ([], [Typed(key)])
    decoder.feed(key.encode())
    assert not decoder.is_pasting


def test_report_10_a_late_end_marker_types_nothing() -> None:
    decoder = InputDecoder()
    decoder.feed(f"{PASTE_START}one\n".encode())
    assert decoder.flush() == [Paste("one\n")]
    decoder.feed(PASTE_END[:3].encode())
    assert decoder.feed(b"") == []
    again = InputDecoder()
    again.feed(f"{PASTE_START}one\n".encode())
    again.flush()
    assert again.feed(f"two{PASTE_END}".encode()) == [] and again.flush() == [Paste("two")]
    assert again.feed(b"\r") == [ENTER]


def test_report_10_the_next_paste_ends_one_without_an_end() -> None:
    decoder = InputDecoder()
    decoder.feed(f"{PASTE_START}one\n".encode())
    decoder.flush()
    assert decoder.feed(marked("two\nthree").encode()) == []
    assert decoder.flush() == [Paste("two\nthree")]


def test_report_10_lines_that_arrive_together_without_markers_are_a_paste() -> None:
    for line_end in ("\n", "\r", "\r\n"):
        text = line_end.join(["one", "/quit", "three"])
        assert decoded(text, has_paste_markers=False) == [Paste(text)]
    assert decoded("/quit\r", has_paste_markers=False) == [Typed("/quit"), ENTER]
    assert decoded("\r\r", has_paste_markers=False) == [ENTER, ENTER]
    assert decoded(marked("a\nb"), "\r", has_paste_markers=False) == [Paste("a\nb"), ENTER]


def test_broken_utf_8_is_replaced_and_split_characters_are_joined() -> None:
    decoder = InputDecoder()
    events = [event for byte in "é€🎉".encode() for event in decoder.feed(bytes([byte]))]
    assert joined(events) == [Typed("é€🎉")]
    assert joined(decoder.feed(b"\xff!")) == [Typed("\ufffd!")]


def test_a_paste_of_many_chunks_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        decoder = InputDecoder()
        begun = process_time()
        decoder.feed(PASTE_START.encode())
        for _ in range(count):
            decoder.feed(b"x" * 1000)
        decoder.feed(PASTE_END.encode())
        assert decoder.flush() == [Paste("x" * count * 1000)]
        return process_time() - begun

    small, large = (min(seconds(count) for _ in range(3)) for count in (500, 4000))
    assert large < 8 * 4 * small


@pytest.mark.parametrize("has_paste_markers", [True, False])
def test_a_long_run_of_text_is_a_paste(has_paste_markers: bool) -> None:
    """A placeholder replaces the text; otherwise every key would be slow."""
    assert decoded("x" * 2001, has_paste_markers=has_paste_markers) == [Paste("x" * 2001)]
    assert decoded("x" * 2000, "\r", has_paste_markers=has_paste_markers) == [
        Typed("x" * 2000), ENTER,
    ]  # fmt: skip
