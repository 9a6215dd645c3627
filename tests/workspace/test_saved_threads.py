"""Lookup of a saved thread by its title."""

import threading
import unicodedata
from dataclasses import replace

import pytest

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.text import match_key, search_words
from koel_tui.workspace import saved_threads
from koel_tui.workspace.saved_threads import SavedThread, find_thread

CAFE = unicodedata.normalize("NFC", "Café")


@pytest.mark.parametrize(
    ("title", "query"),
    [
        (CAFE, unicodedata.normalize("NFD", CAFE)),
        (unicodedata.normalize("NFD", CAFE), CAFE),
        ("\uff21\uff22\uff23 list", "ABC list"),
        (unicodedata.normalize("NFD", "한국어"), "한국어"),
        (CAFE, "CAFÉ"),
    ],
)
def test_report_11_a_title_is_found_in_any_unicode_form(title: str, query: str) -> None:
    thread = SavedThread("1", title)
    assert find_thread([SavedThread("2", "Other"), thread], query) == thread
    assert thread.matches(search_words(query))
    assert not thread.matches(["cage"])


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Donau\u00addampf", "Donaudampf"),  # a title is shown without its invisible characters
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("Don\u2019t", "don't"),
        ("\u201cHome\u201d", '"home"'),
        ("İstanbul", "istanbul"),
        ("می\u200cخواهم", "میخواهم"),  # noqa: RUF001
        ("❤\ufe0f", "❤"),
        ("a\x07b", "a\u2407b"),
        ("a\u202eb", "a\u27e6RLO\u27e7b"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("ﻛﺘﺎﺏ", "كتاب"),
    ],
)
def test_report_11_a_title_is_found_as_it_is_shown(title: str, query: str) -> None:
    thread = SavedThread("1", title)
    assert find_thread([SavedThread("2", "Other"), thread], query) == thread


def test_report_11_a_list_is_filtered_by_a_turkish_word() -> None:
    for title in ("İstanbul", "istanbul", "ISTANBUL"):
        for typed in ("İstanbul", "istanbul", "ISTANBUL", "ıstanbul"):  # noqa: RUF001
            assert SavedThread("1", title).matches(search_words(typed))


def test_a_title_is_prepared_once_for_a_list_that_is_filtered_at_every_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[str] = []

    def noted(text: str) -> str:
        prepared.append(text)
        return match_key(text)

    monkeypatch.setattr(saved_threads, "match_key", noted)
    threads = [SavedThread(str(n), f"{CAFE} {n}") for n in range(20)]
    for typed in ("", "c", "CAFE\u0301", "café 1"):
        words = search_words(typed)
        assert len([each for each in threads if each.matches(words)]) in (20, 11)
    assert prepared == [each.title for each in threads]
    moved = replace(threads[0], title="Other")
    assert moved.matches(["other"]) and not moved.matches(["caf"])
    assert find_thread(threads, "7") == threads[7]
    assert prepared[20:] == ["Other", "7"]


async def test_many_titles_are_prepared_outside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = MemoryStorage()
    for number in range(3):
        await storage.save(str(number), ChatState(messages=(Message("u", "user", CAFE),)))
    preparing: list[threading.Thread] = []

    def noted(text: str) -> str:
        preparing.append(threading.current_thread())
        return match_key(text)

    monkeypatch.setattr(saved_threads, "match_key", noted)
    monkeypatch.setattr(saved_threads, "_MANY", 2)
    threads = await saved_threads.saved_threads(storage)
    assert all(each.matches(["café"]) for each in threads)
    assert len(preparing) == 3 and threading.main_thread() not in preparing


def test_an_equal_title_comes_before_one_in_another_form() -> None:
    threads = [SavedThread("1", "cafe"), SavedThread("2", "Cafe")]
    assert find_thread(threads, "Cafe") == threads[1]
    assert find_thread(threads, "CAFE") == "2 saved threads match 'CAFE'."
    assert find_thread([SavedThread("1", "")], " ") == "No saved thread is called ' '."
