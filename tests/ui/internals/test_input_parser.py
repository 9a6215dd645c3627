"""Tests of the parser of terminal input: key reports, and invalid input."""

import logging
from random import Random

import pytest
from textual import events
from textual.message import Message

from koel_tui.ui.internals.input_parser import InputParser
from tests.fuzzed_input import sequence

PAUSE = 1.1
"""Seconds of silence after which the next key must be recognized, after any input."""


class Clock:
    """The clock of the parser under test."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("textual._parser.get_time", clock)
    monkeypatch.setattr("koel_tui.ui.internals.input_parser.monotonic", clock)
    return clock


def named(found: list[Message]) -> list[str]:
    """Return the names of the keys, and the pasted texts in quotation marks."""
    return [
        repr(event.text) if isinstance(event, events.Paste) else event.key
        for event in found
        if isinstance(event, events.Paste | events.Key)
    ]


def paused(parser: InputParser, clock: Clock) -> list[Message]:
    clock.seconds += PAUSE
    return [*parser.tick()]


def parse(*data: str) -> list[Message]:
    parser = InputParser()
    return [event for part in data for event in parser.feed(part)]


def keys(*data: str) -> list[tuple[str, str | None]]:
    """Return the names and characters of the keys; fail on other events."""
    found = []
    for event in parse(*data):
        assert isinstance(event, events.Key)
        found.append((event.key, event.character))
    return found


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b[1089::99;5u", [("ctrl+c", None)]),
        ("\x1b[97:65;2:1u", [("A", "A")]),
        ("\x1b[97;2u", [("A", "A")]),
        ("\x1b[49:33;2u", [("exclamation_mark", "!")]),
        ("\x1b[60u", [("less_than_sign", "<")]),
        ("\x1b[32;2u", [("shift+space", " ")]),
        ("\x1b[13;2u", [("shift+enter", None)]),
        ("\x1b[97:65;2;65u", [("A", "A")]),
        ("\x1b[97;1:1u", [("a", "a")]),
        ("\x1b[97;1:2u", [("a", "a")]),
        ("\x1b[97;1:3u", []),
        ("\x1b[97;5:u", [("ctrl+a", None)]),
        ("\x1b[1;1:3A", []),
        ("\x1b[1;5:1A", [("ctrl+up", None)]),
        ("\x1b[3;5:1~", [("ctrl+delete", None)]),
        ("\x1b[1114112;5u", []),
        ("\x1b[97;;1114112u", [("a", "a")]),
        ("\x1b[55296;;55296u", []),
        ("\x1b[97;;27:98u", [("b", "b")]),
        ("\x1b[97;;97:0:10:55296:1114112:98u", [("a", "a"), ("b", "b")]),
        ("\x1b[97;;0:10:0:0u", [("a", "a")]),
        (f"\x1b[0;;{'9' * 50}:98u", [("b", "b")]),
        (f"\x1b[{'9' * 50};5u\x1b[{'1;' * 50}~", []),
        ("\x1b[57344;;u\x1b[57499;3u", []),  # functional keys without a meaning
        ("\x1b[999~", []),
        ("\x1b[;u", []),
        ("\x1b[25~", [("f13", None)]),
        ("\x1b[27;3;99~", [("alt+c", None)]),
    ],
)
def test_report_34_key_reports_with_sub_fields(
    data: str, key: list[tuple[str, str | None]]
) -> None:
    assert keys(f"{data}x") == [*key, ("x", "x")]


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_report_34_no_sequence_ends_the_parser(
    count: int, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    """No sequence makes the parser fail, and ctrl+c still arrives after a pause."""
    random = Random(count)
    parser = InputParser()
    with caplog.at_level(logging.WARNING):
        for _ in range(count):
            data = sequence(random)
            cut = random.randrange(1, len(data) + 1)
            found = [*parser.feed(data[:cut])]
            if data[cut:]:
                found += parser.feed(data[cut:])
            clock.seconds += PAUSE
            found += parser.tick()
            after = [*parser.feed("\x03"), *parser.feed("x"), *paused(parser, clock)]
            assert named(after)[-2:] == ["ctrl+c", "x"], repr(data)
            assert caplog.records == [], repr(data)
            for event in found:
                if isinstance(event, events.Key):
                    f"{event.key}{event.character}".encode()  # no lone surrogate
                if isinstance(event, events.Resize):
                    assert 0 < event.size.area <= 2_000_000, repr(data)


def test_report_34_an_error_drops_one_sequence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(InputParser, "parse_mouse_code", fail)
    assert keys("a\x1b[<0;1;1Mbc") == [("a", "a"), ("b", "b"), ("c", "c")]
    assert "ZeroDivisionError" in caplog.text and "secret" not in caplog.text


def test_report_34_a_size_that_no_terminal_has_is_ignored() -> None:
    events_ = parse("\x1b[48;24;80;0;0t\x1b[48;99999;80;0;0t\x1b[48;0;0;0;0t\x1b[<0;3;4M")
    assert [type(event) for event in events_] == [events.Resize, events.MouseDown]
    assert isinstance(events_[1], events.MouseDown) and events_[1].x == 2


def test_report_34_a_mouse_position_beyond_any_screen_is_ignored() -> None:
    found = parse("\x1b[<0;99999999999999;3M\x1b[<0;3;4M")
    assert [event.x for event in found if isinstance(event, events.MouseDown)] == [2]


@pytest.mark.parametrize("cut", range(24))
def test_report_34_an_escape_character_in_a_paste_executes_no_keys(cut: int) -> None:
    data = "k\x1b[200~a\x1b\r\x11\x1b[20\x1b[201~z"
    pasted = [("k", "k"), "a␛\r\x11␛[20", ("z", "z")]
    parser = InputParser()
    found = [*parser.feed(data[:cut]), *parser.feed(data[cut:])] if cut else parse(*data)
    assert [
        event.text if isinstance(event, events.Paste) else (event.key, event.character)
        for event in found
        if isinstance(event, events.Paste | events.Key)
    ] == pasted


@pytest.mark.parametrize(
    "key", ["\x03", "\x11", "\x1b[99;5u", "\x1b[1089::99;69u", "\x1b[27;5;99~", "\x03\x03"]
)
def test_report_34_a_held_ctrl_c_ends_a_paste_without_an_end(key: str, clock: Clock) -> None:
    parser = InputParser()
    found = [*parser.feed("\x1b[200~one\x1b[20")]
    for _ in range(6):
        clock.seconds += 0.3
        found += [*parser.feed(key), *parser.tick()]
    pasted, *after = named(found)
    assert pasted.startswith("'one") and after and after[0].startswith("ctrl+")
    assert named([*parser.feed("x")]) == ["x"]


@pytest.mark.parametrize("key", ["\x1b", "\r", "\x1b[A", "\x1b[120;;120u", "x", "\x1bx", "é"])
def test_report_34_a_single_key_after_a_pause_ends_a_paste_without_an_end(
    key: str, clock: Clock
) -> None:
    parser = InputParser()
    assert named([*parser.feed("\x1b[200~one\r/quit")]) == []
    assert named(paused(parser, clock)) == ["'one\\r/quit'"]
    assert len(named([*parser.feed(key), *paused(parser, clock)])) == 1
    assert named([*parser.feed("\x03")]) == ["ctrl+c"]


def test_report_34_the_rest_of_a_late_paste_is_not_read_as_keys(clock: Clock) -> None:
    parser = InputParser()
    parts = [*parser.feed("\x1b[200~one\x1b[2"), *paused(parser, clock)]
    parts += [*parser.feed("\x11two\r"), *paused(parser, clock), *parser.feed("three\x1b[201~")]
    assert named(parts) == ["'one'", r"'␛[2\x11two\r'", "'three'"]
    assert named([*parser.feed("\x11")]) == ["ctrl+q"]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("\x1b\x1b[A", "alt+up"),
        ("\x1b\x1bOB", "alt+down"),
        ("\x1b\x1b[D", "alt+left"),
        ("\x1b\x1b[5~", "alt+pageup"),
    ],
)
def test_report_26_escape_before_a_key_is_alt(data: str, key: str) -> None:
    """PuTTY, rxvt and macOS Terminal send alt as escape; the key esc would stop the answer."""
    assert keys(f"{data}x") == [(key, None), ("x", "x")]
    assert [name for name, _ in keys("\x1b[27u", "\x1b[A")] == ["escape", "up"]


@pytest.mark.parametrize(
    ("sequence", "key"),
    [
        ("\x1b[27;2;33~", ("exclamation_mark", "!")),  # modifyOtherKeys names the shifted character
        ("\x1b[27;2;63~", ("question_mark", "?")),
        ("\x1b[38:49:49;4u", ("alt+1", None)),  # the AZERTY key that types 1 with shift
    ],
)
def test_a_shifted_character_is_reported_as_the_key(
    sequence: str, key: tuple[str, str | None]
) -> None:
    (found,) = keys(sequence)
    assert found[1] == key[1] and found[0].removeprefix("shift+") == key[0]
