"""The parsing of typed values, which is the same in every form and command."""

import math

import pytest

from koel_tui.chat_templates import CHAT_TEMPLATES
from koel_tui.conversation.thread_settings_form import FieldError, parse_settings
from koel_tui.protocol.turn_settings import Range
from koel_tui.setting_sources import Origin
from koel_tui.settings import load_settings
from koel_tui.typed_values import parse_number, parse_switch, parse_template
from koel_tui.ui.settings.setting import list_settings


def program_value(name: str, text: str) -> object:
    settings = load_settings()
    origins = dict.fromkeys(type(settings).model_fields, Origin.DEFAULT)
    return next(each for each in list_settings(settings, origins, ()) if each.name == name).parse(
        text
    )


@pytest.mark.parametrize("text", ["yes", "On", "TRUE", "no", "off", "False"])
def test_a_switch_accepts_the_same_words_for_a_thread_and_the_program(text: str) -> None:
    on = text.casefold() in ("yes", "on", "true")
    assert parse_switch(text) is on
    assert program_value("titles", text) is on
    assert parse_settings({"thinking": text}, "").thinking is on


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_a_template_is_known_in_any_case_for_a_thread_and_the_program(name: str) -> None:
    assert parse_template(name.upper()) == name
    assert program_value("chat_template", name.upper()) == name
    assert parse_settings({"chat_template": name.upper()}, "").chat_template == name


def test_other_words_are_refused_with_those_there_are() -> None:
    for word in ("", "maybe", "1"):
        with pytest.raises(ValueError, match=r"^yes or no$"):
            parse_switch(word)
    with pytest.raises(ValueError, match=r"^one of own, "):
        parse_template("mine")
    with pytest.raises(FieldError, match="Thinking must be off, on, or a whole number"):
        parse_settings({"thinking": "maybe"}, "")


def test_a_range_without_an_end_says_so_and_takes_any_number_from_its_start() -> None:
    allowed = Range(256, math.inf, whole=True)
    assert str(allowed) == "a whole number from 256 up"
    assert parse_number("9" * 40, allowed) == int("9" * 40)
    for text in ("255", "1e9", "9" * 41, "inf"):
        with pytest.raises(ValueError, match="from 256 up"):
            parse_number(text, allowed)
