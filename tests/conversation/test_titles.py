"""Titles written by the model, and the first words of the question as a fallback."""
# ruff: noqa: RUF001 - the full-width and Cyrillic letters are meant

from time import process_time

import pytest

from koel_tui.conversation.titles_and_summaries import choose_title
from koel_tui.protocol import Message
from koel_tui.ui.composer.attachments import prompt_text

ASKED = (
    Message("1", "user", "Which trees grow in the far north of the country, and why do they?"),
    Message("2", "assistant", "**Old spruces** and birches. They like the cold."),
)
FIRST_WORDS = "Which trees grow in the far north of…"


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Trees of the north", "Trees of the north"),
        ('\n  "**Trees**"\nand more', "Trees"),
        ("Title: The Sea", "The Sea"),
        ("Here is a title:\n**Northern trees**.", "Northern trees"),
        ("Plan B", "Plan B"),
        ("Grow C++ (trees)", "Grow C++ (trees)"),
        ("\x1b]0;evil\x07 Sea\u202e", FIRST_WORDS),
        ("]0;evil\x07 Sea", FIRST_WORDS),
        ("\x1bSea\u202e", "Sea"),
        # not a title
        ("", FIRST_WORDS),
        ("Title:", FIRST_WORDS),
        ("Person: trees", FIRST_WORDS),
        # the beginning of the answer
        ("Old spruces", FIRST_WORDS),
        ("“old spruces and birches”", FIRST_WORDS),
        # longer than a tab can show
        ("Trees that grow in the north", FIRST_WORDS),
        ("x" * 25, FIRST_WORDS),
        # not finished
        ("Trees that grow in the", FIRST_WORDS),
        ("Trees, birches,", FIRST_WORDS),
        ("**Trees that grow...**", FIRST_WORDS),
        ("Trees (of the north", FIRST_WORDS),
        ("Trees grow. They", FIRST_WORDS),
        ("Sure! Northern trees", FIRST_WORDS),
        ("Trees That Grow In The", FIRST_WORDS),
        ("Trees grow because", FIRST_WORDS),
        ("Tree\ufffd", FIRST_WORDS),
        # code, data and symbols are not a title
        ("```python\nprint(1)\n```", FIRST_WORDS),
        ('{"title": "Trees"}', FIRST_WORDS),
        ("<title>Trees</title>", FIRST_WORDS),
        ("🌲🌲", FIRST_WORDS),
        ("42", FIRST_WORDS),
        ("---", FIRST_WORDS),
        # the marks around a title are left out
        ("1. Northern trees\n2. Spruces", "Northern trees"),
        ("- **Northern trees**", "Northern trees"),
        ("## Northern trees", "Northern trees"),
        ("**Title:** Northern trees", "Northern trees"),
        ("Titel: Northern trees", "Northern trees"),
        ("„Northern trees“", "Northern trees"),
        ("**Trees**: a list", "Trees: a list"),
        ("***Trees***: a list", "Trees: a list"),
        ("`make` and *trees*", "make and trees"),
        ("2*3*4 trees", "2*3*4 trees"),
        ("*args and **kwargs", "args and **kwargs"),
        ('"Trees" and "Birches"', '"Trees" and "Birches"'),
        ("“Trees” and “Birches”", "“Trees” and “Birches”"),
        ("'Trees' and 'Birches'", "'Trees' and 'Birches'"),
        ("'The tree's age'", "The tree's age"),
        ("“Northern trees”.", "Northern trees"),
        ('Title: "Northern trees"', "Northern trees"),
        ('"Northern trees', "Northern trees"),
        # a full stop within a word
        ("Node.js trees", "Node.js trees"),
        ("Trees of example.com", "Trees of example.com"),
        ("Learning C#", "Learning C#"),
        ("Learning C++", "Learning C++"),
        ("The UN", "The UN"),
        # another script
        ("Деревья севера", FIRST_WORDS),
        ("北方的树", FIRST_WORDS),
    ],
)  # fmt: skip
def test_a_title_of_the_model_is_used_only_if_it_qualifies(answer: str, title: str) -> None:
    assert choose_title(answer, ASKED) == title


def test_the_title_of_a_long_question_takes_no_long_time() -> None:
    question = "Почему Python такой медленный? " + "слово " * 800_000
    begin = process_time()
    assert choose_title("Скорость Python", [Message("1", "user", question)]) == "Скорость Python"
    attached = prompt_text("notes.md", "word " * 800_000) + question
    assert choose_title("Скорость Python", [Message("1", "user", attached)]) == "Скорость Python"
    assert process_time() - begin < 0.4


@pytest.mark.parametrize(
    ("question", "answer", "title"),
    [
        ("Почему Python такой медленный?", "Скорость Python", "Скорость Python"),
        ("Почему Python такой медленный?", "Python", "Python"),
        ("Почему Python такой медленный?", "Slow code", "Почему Python такой медленный?"),
        ("東京の天気は?", "東京の天気予報", "東京の天気予報"),
        ("東京の天気は?", "Weather", "東京の天気は?"),
        ("2+2?", "A sum", "A sum"),
        ("🌲?", "Tree emoji", "Tree emoji"),
        # names and code are Latin in every language
        ("Pythonとは？", "Python入門", "Python入門"),
        ("Pythonとは？", "About it", "Pythonとは？"),
        ("Python이 왜 느려?", "Python 속도", "Python 속도"),
        ("Python이 왜 느려?", "Slow code", "Python이 왜 느려?"),
        ("Что делает docker compose up -d?", "Запуск docker", "Запуск docker"),
        ("Что делает docker compose up -d?", "Starting", "Что делает docker compose up -d?"),
        ("What does the kanji 東京 mean?", "Kanji for a city", "Kanji for a city"),
        ("ＷＨＡＴ　ｉｓ　ｉｔ？", "A thing", "A thing"),
        # Chinese, Japanese, Korean
        ("东京天气怎么样？", "东京天气", "东京天气"),
        ("东京天气怎么样？", "東京の天気", "东京天气怎么样？"),
        ("東京の天気は?", "東京天気予報", "東京天気予報"),
        ("サーバーとは", "サーバー入門", "サーバー入門"),
        ("서버가 뭐야?", "服务器", "서버가 뭐야?"),
        ("東京の天気は?", "東京の天気を", "東京の天気は?"),
        ("東京の天気は?", "「東京の天気予報」", "東京の天気予報"),
        ("東京の天気は?", "タイトル：東京の天気予報。", "東京の天気予報"),
        # the two scripts of Serbian
        ("Zašto je nebo plavo?", "Plavo nebo", "Plavo nebo"),
        ("Zašto je nebo plavo?", "Плаво небо", "Zašto je nebo plavo?"),
        ("Зашто је небо плаво?", "Плаво небо", "Плаво небо"),
        ("Зашто је небо плаво?", "Plavo nebo", "Зашто је небо плаво?"),
        ("Зашто је небо плаво?", "Небо и", "Зашто је небо плаво?"),
        ("漢" * 30, "", "漢" * 19 + "…"),
        ("two\nlines \x1b", "", "two lines ␛"),
        ("unbreakable" * 9, "", ("unbreakable" * 9)[:39] + "…"),
        (
            "https://example.com/a/very/long/path/to/a/page what is it?",
            "",
            "https://example.com/a/very/long/path/to…",
        ),
        ("Read https://example.com/a", "", "Read https://example.com/a"),
        ("/etc/hosts: what is it for?", "", "/etc/hosts: what is it for?"),
        ("-5 + 3 = ?", "", "-5 + 3 = ?"),
        # without the marks of Markdown
        ("# Trees\n\n- **Which** grow here?", "", "Trees Which grow here?"),
        ("> quoted\n\nWhat is 2*3*4?", "", "quoted What is 2*3*4?"),
        ("```py\nprint(1)\n```\nWhat does it do?", "", "What does it do?"),
        ("```py\nprint(1)\n```", "", "print(1)"),
        ("Explain:\n```\nprint(1)\n```", "", "Explain:"),
        # without attached files
        (prompt_text("src/app.py", "a = '```'\n") + "What does it do?", "", "What does it do?"),
        (prompt_text("a.py", "1") + prompt_text("b c.txt", "2"), "", "a.py, b c.txt"),
        ("Fix this:\n```\nx\n```\nThanks!", "", "Fix this: Thanks!"),
        # letters and emoji are cut as a whole
        ("👩‍💻" * 30, "", "👩‍💻" * 19 + "…"),
        ("🇩🇪" * 30, "", "🇩🇪" * 19 + "…"),
        ("e\u0301" * 60, "", "e\u0301" * 39 + "…"),
        ("कि" * 60, "", "कि" * 39 + "…"),
    ],
)
def test_a_title_has_the_script_of_the_question_or_its_first_words(
    question: str, answer: str, title: str
) -> None:
    assert choose_title(answer, [Message("1", "user", question)]) == title
