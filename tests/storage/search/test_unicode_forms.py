"""Search for text in equivalent Unicode forms, and for symbols."""

import unicodedata
from functools import partial

import pytest

from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.storage.helpers import saying

NFD = partial(unicodedata.normalize, "NFD")


@pytest.mark.parametrize(
    ("said", "query", "marked"),
    [
        (NFD("한국어 회의록"), "한국어", "한국어"),
        ("한국어 회의록", NFD("회의"), "회의"),
        (NFD("データベース"), "データ", "データ"),
        ("ｶﾀｶﾅ ﾃﾞｰﾀ", "データ", "データ"),
        ("\uff21\uff22\uff23 \uff11\uff12", "abc", "ABC"),
        ("abc", "\uff21\uff22\uff23", "abc"),
        ("the \ufb01le", "file", "file"),
        (NFD("Das Café"), "café", "Café"),
        ("Die Straße", "STRASSE", "Straße"),
        ("don\u2019t", "don't", "don\u2019t"),
        ("οδός νύξ", "οδος", "οδός"),
        ("νύξ", "νυξ", "νύξ"),
        ("ещё её", "еще", "ещё"),
        ("ещё её", "ее", "её"),  # noqa: RUF001
        ("за\u0301мок", "амок", "за\u0301мок"),  # noqa: RUF001
        ("об\u02bcєкт", "об'єкт", "об\u2019єкт"),  # noqa: RUF001
        ("Maß", "mass", "Maß"),
        ("İstanbul", "istanbul", "İstanbul"),
        ("Łódź", "lodz", "Łódź"),
        ("كِتَاب", "كتاب", "كتاب"),  # vowel signs
        ("كتاب", "كِتَاب", "كتاب"),
        ("محـــمد", "محمد", "محمد"),  # elongated
        ("أحمد", "احمد", "أحمد"),
        ("ﻛﺘﺎﺏ", "كتاب", "كتاب"),  # presentation forms, as in PDF files
        ("שָׁלוֹם", "שלום", "שלום"),
        ("می\u200cخواهم", "میخواهم", "می\u200cخواهم"),  # noqa: RUF001
        ("میخواهم", "می\u200cخواهم", "میخواهم"),  # noqa: RUF001
        ("हिन्दी", "हि", "हिन्दी"),
        ("नमस्ते", "मस्ते", "नमस्ते"),
        ("Donau\u00addampf", "donaudampf", "Donaudampf"),
        ("zero\u200bwidth", "zerowidth", "zerowidth"),
        ("\u2f08\u751f", "\u4eba\u751f", "\u4eba\u751f"),  # a radical in place of the character
        ("x ❤\ufe0f", "❤", "❤\ufe0f"),
        ("👩\u200d👧 x", "👧", "👩\u200d👧"),
        ("👍🏽", "👍", "👍🏽"),
        ("می\u200cخواهم", "می خواهم", "می\u200cخواهم"),  # noqa: RUF001
        ("Das Haus", "\u201eHaus\u201c", "Haus"),
        ("\u6771\u4eac", "\u300c\u6771\u4eac\u300d\u3002", "\u6771\u4eac"),
    ],
)
async def test_report_11_text_is_found_in_any_unicode_form(
    store: JsonFileStorage, index: ThreadIndex, said: str, query: str, marked: str
) -> None:
    await store.save("t", saying(said))
    (hit,) = await index.search(query)
    assert [hit.snippet[begin:end] for begin, end in hit.spans] == [marked]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("port", ["air"]),
        ("irpo", ["air"]),
        ("UserName", ["code"]),
        ("ser_na", ["code"]),
        ("🎉", ["emoji"]),
        ("👍", ["emoji"]),
        ("💻", ["emoji"]),
        ("👩\u200d💻", ["emoji"]),
        ("❤", ["emoji"]),
        ("1️⃣", ["emoji"]),
        ("C++", ["plus"]),
        ("c++.", ["plus"]),
        ("C#", ["sharp"]),
        ("C", ["plus", "sharp"]),
        ("std::vec", ["plus"]),
        ("->", ["sharp"]),
        ("=>", []),
        ("<=", []),
        (":-)", []),
        ("100%", ["sharp"]),
        ("10%", []),
        (".NET", ["sharp"]),
        ("airport 🎉", []),
    ],
)
async def test_report_40_parts_of_words_symbols_and_emoji_are_found(
    store: JsonFileStorage, index: ThreadIndex, query: str, found: list[str]
) -> None:
    await store.save("air", saying("The airport."))
    await store.save("code", saying("getUserName and user_name"))
    await store.save("emoji", saying("🎉 👍🏽 👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3"))
    await store.save("plus", saying("(C++): std::vector, 1 or 100 or 10"))
    await store.save("sharp", saying("C# x->y, 100% of the .NET"))
    assert sorted(hit.thread_id for hit in await index.search(query)) == found


@pytest.mark.parametrize(
    ("said", "query"),
    [("की", "कि"), ("กัน", "กน"), ("x == y :)", "<="), ("x == y :)", ":-)"), ("1", "1\ufe0f\u20e3")],
)
async def test_report_40_other_signs_are_other_text(
    store: JsonFileStorage, index: ThreadIndex, said: str, query: str
) -> None:
    await store.save("t", saying(said))
    assert await index.search(query) == []
    assert await index.search(said)
