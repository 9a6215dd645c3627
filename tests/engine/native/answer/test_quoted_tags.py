"""Tags that an answer quotes, and tags of other model families."""

import pytest

from koel_tui.engine import ChatMessage
from koel_tui.engine.native.answer.answer_parser import AnswerParser
from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.answer.thinking_tags import Tags, ThinkingTags
from koel_tui.engine.native.control_tokens import Spellings
from koel_tui.engine.native.loaded_model import new_parser
from koel_tui.engine.native.prompt.chat_template import ChatTemplates
from tests.engine.native.answer.test_answer_parser import THINK, joined, split

LONG_LINE = "a `b" + "c" * 600


@pytest.mark.parametrize(
    ("thinking", "rest"),
    [
        ("use `<think>hm</think>` here", "\n\nYes"),
        ("`.*?</think>` matches it", "\nYes"),
        ('```python\nre.sub(r"<think>.*?</think>", "", x)\n```\nok', "\nYes"),
        ("```\n# before </think> comes\n```\nok", "\nYes"),
        ("~~~\n<think>\nhm\n</think>\n\nanswer\n~~~\nok", "\nYes"),
        ("the ('</think>') tag, (</think>), \u201c</think>\u201d, \u00ab</think>\u00bb", "Yes"),
        ("It is 'x'", "'Yes'"),
        ("an open ` span with <think>", "\n\nYes"),
        ("```\nan open block", "\n\nYes"),
        ("```\nan open block\n", "\n\nYes"),
        (LONG_LINE + "`", "`Yes`"),
        (LONG_LINE, "\nYes"),
    ],
)
def test_report_8_a_tag_in_code_of_the_thinking_does_not_end_it(thinking: str, rest: str) -> None:
    answer = f"<think>{thinking}</think>{rest}"
    expected = [("thinking", thinking), ("text", rest.strip())]
    assert split(answer, thinking_tags=ThinkingTags((THINK,)), tools=()) == expected
    assert split(*answer, thinking_tags=ThinkingTags((THINK,)), tools=()) == expected


@pytest.mark.parametrize("after", [" is a tag.", ", a tag, is", " and </think> are tags"])
def test_report_8_an_answer_may_begin_with_the_name_of_a_tag(after: str) -> None:
    unknown = ThinkingTags.from_template("{{ messages }}")
    for answer in (f"<think>{after}", f"\n<think>{after}"):
        assert split(answer, thinking_tags=unknown) == [("text", answer)]
        assert split(*answer, thinking_tags=unknown) == [("text", answer)]
    known = ThinkingTags((THINK,))
    expected = [("thinking", "hm"), ("text", f"<think>{after}")]
    assert split(f"<think>hm</think>\n\n<think>{after}", thinking_tags=known) == expected
    assert split(*f"<think>hm</think>\n\n<think>{after}", thinking_tags=known) == expected
    assert split("<think>\nhm</think>yes", thinking_tags=unknown) == [
        ("thinking", "hm"),
        ("text", "yes"),
    ]


def test_report_3_thinking_that_the_limit_ends_in_code_is_ended() -> None:
    splitter = AnswerParser(ThinkingTags((THINK,)), open_tags=THINK)
    pieces = splitter.feed("```\n<think>\nhm")
    splitter.forget_code()
    pieces += [*splitter.feed("</think>\n\n"), *splitter.feed("Yes"), *splitter.finish()]
    assert joined(pieces) == [("thinking", "```\n<think>\nhm"), ("text", "Yes")]


def test_report_8_two_blocks_of_thinking_do_not_run_together() -> None:
    assert split("<think>a</think>\n<think>b</think>c") == [("thinking", "a\n\nb"), ("text", "c")]


@pytest.mark.parametrize(
    "tags",
    [
        Tags("\u25c1think\u25b7", "\u25c1/think\u25b7"),
        Tags("<|thinking|>", "<|/thinking|>"),
        Tags("<thought>", "</thought>"),
        Tags("[REASONING]", "[/REASONING]"),
        Tags("<longcat_think>", "</longcat_think>"),
        Tags("<|begin_of_thought|>", "<|end_of_thought|>"),
        Tags("<|inner_prefix|>", "<|inner_suffix|>"),
    ],
    ids=lambda tags: tags.start,
)
def test_report_1_thinking_tags_of_other_families(tags: Tags) -> None:
    found = ThinkingTags.from_template(f"{{{{ m.content.split('{tags.end}')[-1] }}}}")
    assert found.thinking == (tags,)
    answer = f"{tags.start}\nwhy{tags.end}\n\nhello"
    assert split(*answer, thinking_tags=found) == [("thinking", "why"), ("text", "hello")]


@pytest.mark.parametrize(
    ("start", "end"),
    [("<response>", "</response>"), ("<answer>", "</answer>"),
     ("<|begin_of_solution|>", "<|end_of_solution|>")],
)  # fmt: skip
def test_report_1_the_tags_around_a_whole_answer_are_not_shown(start: str, end: str) -> None:
    found = ThinkingTags.from_template(f"Think between <think></think>, answer {start}{end}")
    for answer, text in (
        (f"<think>a</think>{start}Hi <b>{end}", "Hi <b>"),
        (f"<think>a</think>\n{start}\nHi{end}\n", "Hi"),
        (f"<think>a</think>{start}Hi {end} x", f"Hi {end} x"),
        (f"<think>a</think>{start}Hi", "Hi"),
        (f"<think>a</think>Write {start}x{end}", f"Write {start}x{end}"),
    ):
        expected = [("thinking", "a"), ("text", text)]
        assert split(answer, thinking_tags=found, tools=()) == expected
        assert split(*answer, thinking_tags=found, tools=()) == expected


@pytest.mark.parametrize(
    ("begun", "rest", "shown"),
    [
        ("Here:\n```\n", "<|end|>\n```\nDone.<|end|>More", "<|end|>\n```\nDone."),
        ("Write `", "<|end|>` there<|end|>More", "<|end|>` there"),
        ("Here:\n```\na\n```\n", "b<|end|>More", "b"),
    ],
)
def test_report_21_the_code_of_a_continued_answer_is_known(
    begun: str, rest: str, shown: str
) -> None:
    for thinking in (False, True):
        start = ChatMessage("assistant", "" if thinking else begun)
        if thinking:
            start = ChatMessage("assistant", "", thinking=begun, thinking_is_open=True)
        made = new_parser(
            ThinkingTags((THINK,)), open_tags=THINK if thinking else None, partial_answer=start,
            tools=(), call_prefix="",
        )  # fmt: skip
        answer = Answer(
            made, thinking=True, markers=("<|end|>",), begun_text=start.content,
            begun_thinking=start.thinking,
        )  # fmt: skip
        pieces = [piece for each in rest for piece in answer.feed(each, control=False)]
        assert joined(pieces + answer.finish()) == [("thinking" if thinking else "text", shown)]
        assert answer.is_ended


def test_report_18_continued_thinking_knows_its_open_block() -> None:
    start = ChatMessage("assistant", "", thinking="```\n<think>\n", thinking_is_open=True)
    made = new_parser(
        ThinkingTags((THINK,)), open_tags=THINK, partial_answer=start, tools=(), call_prefix=""
    )
    pieces = [*made.feed("hm\n</think>\n```\nok</think>\nYes"), *made.finish()]
    assert joined(pieces) == [("thinking", "hm\n</think>\n```\nok"), ("text", "Yes")]


@pytest.mark.parametrize(
    ("own", "tags"),
    [
        ("{# [THINK] [/THINK] #}{{ messages }}", (Tags("[THINK]", "[/THINK]"),)),
        ("{{ messages }}", ThinkingTags.from_template("").thinking),
        ("{# <|channel|>analysis<|message|> #}", ThinkingTags.from_template("").thinking),
    ],
)
def test_report_1_a_built_in_template_keeps_the_tags_of_the_model(
    own: str, tags: tuple[Tags, ...]
) -> None:
    templates = ChatTemplates(own, model="tiny", bos="<s>", eos="</s>", spellings=Spellings(()))
    assert templates.find("chatml").thinking_tags.thinking == tags
    templates.close()
