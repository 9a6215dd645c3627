"""The answer parser: it splits an answer into text, thinking and tool calls."""

import json
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine import TextDelta, ThinkingDelta, ToolCallDelta
from koel_tui.engine.native.answer.answer_parser import MAX_CALL_CHARACTERS, AnswerParser, Piece
from koel_tui.engine.native.answer.thinking_tags import KNOWN_TAGS, Tags, ThinkingTags

THINK = KNOWN_TAGS[0]
ALL = ThinkingTags(KNOWN_TAGS)
TOOLS = ("now", "add")

Plain = tuple[str, str]


def joined(pieces: list[Piece]) -> list[Plain]:
    """Return the pieces as (kind, content); successive pieces of the same kind are joined."""
    plain: list[Plain] = []
    for piece in pieces:
        match piece:
            case TextDelta(text=text):
                plain.append(("text", text))
            case ThinkingDelta(text=text):
                plain.append(("thinking", text))
            case ToolCallDelta(name=name, arguments=arguments):
                plain.append((f"call {len(plain)}", f"{name}{arguments}"))
    return [
        (kind.split()[0], "".join(content for _, content in group))
        for kind, group in groupby(plain, key=lambda item: item[0])
    ]


def split(
    *deltas: str,
    thinking_tags: ThinkingTags = ALL,
    inside: Tags | None = None,
    begun: bool = False,
    tools: tuple[str, ...] = TOOLS,
) -> list[Plain]:
    splitter = AnswerParser(
        thinking_tags, open_tags=inside, begun_text="So" if begun else "", tools=tools
    )
    pieces = [piece for delta in deltas for piece in splitter.feed(delta)]
    return joined(pieces + splitter.finish())


# Thinking


def test_engine_case_24_a_tag_over_two_deltas() -> None:
    assert split("<th", "ink>why", " so</thi", "nk>\n\nhe", "llo") == [
        ("thinking", "why so"),
        ("text", "hello"),
    ]


@pytest.mark.parametrize("tags", KNOWN_TAGS, ids=lambda tags: tags.start)
def test_output_thinking_with_all_known_tags(tags: Tags) -> None:
    answer = f"{tags.start}\nwhy{tags.end}\nhello"
    expected = [("thinking", "why"), ("text", "hello")]
    assert split(answer) == expected
    assert split(*answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a < b <thin", [("text", "a < b <thin")]),
        ("<think>why</thi", [("thinking", "why</thi")]),
        ("<think></think>hello", [("text", "hello")]),
        ("<think>\n\n</think>\n\nhello", [("text", "hello")]),
        (
            "<think>1</think>a<think>2</think>b",
            [("thinking", "1"), ("text", "a<think>2</think>b")],
        ),
        ("<think>never ended", [("thinking", "never ended")]),
        ("<think>", []),
        ("</think>stray", [("text", "</think>stray")]),
        ("", []),
        (" \n ", [("text", " \n ")]),
    ],
)
def test_output_edges_of_thinking(answer: str, expected: list[Plain]) -> None:
    assert split(answer) == expected
    assert split(*answer) == expected


@pytest.mark.parametrize("tags", KNOWN_TAGS, ids=lambda tags: tags.start)
def test_output_a_tag_within_an_answer_is_text(tags: Tags) -> None:
    answer = f"Write {tags.start} and {tags.end} around it."
    assert split(answer) == [("text", answer)]
    assert split(*answer) == [("text", answer)]
    thought = f"{tags.start}hm{tags.end}{answer}"
    assert split(*thought) == [("thinking", "hm"), ("text", answer)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Write `<think>` first. Then answer.\n\nThe end.", []),
        ("`<think>` opens it.", []),
        ("```\n<think>\nhm\n</think>\n```\nThe end.", []),
        ("a </think> b", []),
        (f'Use `<tool_call>{"{"}"name": "now"{"}"}</tool_call>` for it.', []),
        ("<think>`</think>` ends it</think>Yes", [("thinking", "`</think>` ends it")]),
        ('<think>"</think>" ends it</think>Yes', [("thinking", '"</think>" ends it')]),
        ("<think>It is `x`</think>`Yes`", [("thinking", "It is `x`")]),
        ("<think>It is `x`</think>\nYes", [("thinking", "It is `x`")]),
        ("<think>It is `x`</think>", [("thinking", "It is `x`")]),
    ],
)
def test_report_8_a_tag_that_is_written_about_is_text(answer: str, expected: list[Plain]) -> None:
    text = answer if not expected else answer.removeprefix("<think>")
    text = text.removeprefix(expected[0][1]) if expected else text
    text = text.removeprefix("</think>").strip()
    assert split(answer) == [*expected, *([("text", text)] if text else [])]
    assert split(*answer) == split(answer)


def test_output_a_tag_in_a_continued_answer_is_text() -> None:
    assert split("<think>x</think>", begun=True) == [("text", "<think>x</think>")]


@pytest.mark.parametrize("tags", [tags for tags in KNOWN_TAGS if tags.is_channel])
def test_output_a_channel_begins_where_a_control_token_does(tags: Tags) -> None:
    splitter = AnswerParser(ThinkingTags((tags,)))
    pieces = [*splitter.feed("one"), *splitter.feed(tags.start[:10], control=True)]
    pieces += [*splitter.feed(tags.start[10:] + "why"), *splitter.feed(tags.end, control=True)]
    pieces += [*splitter.feed("two"), *splitter.finish()]
    assert joined(pieces) == [("text", "one"), ("thinking", "why"), ("text", "two")]


def test_output_a_control_token_within_an_answer_begins_no_thinking() -> None:
    splitter = AnswerParser(ThinkingTags((THINK,)))
    pieces = [*splitter.feed("one"), *splitter.feed("<think>", control=True)]
    pieces += [*splitter.feed("two"), *splitter.finish()]
    assert joined(pieces) == [("text", "one<think>two")]


def test_output_an_answer_that_starts_inside_thinking() -> None:
    assert split("\nwhy</think>hello", inside=THINK) == [("thinking", "why"), ("text", "hello")]


def test_output_without_declared_tags_only_the_beginning_is_thinking() -> None:
    unknown = ThinkingTags.from_template("{{ messages }}")
    assert split("\n<think>why</think>yes", thinking_tags=unknown) == [
        ("text", "\n"),
        ("thinking", "why"),
        ("text", "yes"),
    ]
    written = "Write `<think>` and `</think>`."
    assert split(written, thinking_tags=unknown) == [("text", written)]
    assert split(*written, thinking_tags=unknown) == [("text", written)]


def test_thinking_tags_are_those_of_the_template() -> None:
    assert ThinkingTags.from_template("{{ m.split('</think>')[-1] }}") == ThinkingTags((THINK,))
    assert ThinkingTags.from_template("[THINK]").thinking == (Tags("[THINK]", "[/THINK]"),)
    assert not ThinkingTags.from_template("").declared


def test_thinking_tags_find_an_open_block_at_the_end_of_a_prompt() -> None:
    thinking_tags = ThinkingTags((THINK,))
    assert thinking_tags.find_open_tags("<|im_start|>assistant\n<think>\n") == THINK
    assert thinking_tags.find_open_tags("<think>\n\n</think>\n\n") is None
    assert thinking_tags.find_open_tags("what is <think>?\n<|im_start|>assistant\n") is None
    assert ThinkingTags.from_template("").find_open_tags("user: <think>") is None


# Tool calls

ADD = '{"name": "add", "arguments": {"a": 1, "b": "}<"}}'
NOW = '{"name": "now", "parameters": {}}'
ADDED = ("call", 'add{"a": 1, "b": "}<"}')
NOWED = ("call", "now{}")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (f"<tool_call>\n{ADD}\n</tool_call>", [ADDED]),
        (
            f"ok<tool_call>{ADD}</tool_call>\n<tool_call>{NOW}</tool_call>",
            [("text", "ok"), ADDED, NOWED],
        ),
        (f"<tool_call>{ADD}", [ADDED]),  # the answer ended with the end tag
        (f"[TOOL_CALLS] [{ADD}, {NOW}]", [ADDED, NOWED]),
        (f"[TOOL_CALLS][{ADD}]done", [ADDED, ("text", "done")]),
        (f"<|python_tag|>{ADD}; {NOW}", [ADDED, NOWED]),
        (f"{ADD}", [ADDED]),
        (f"\n{NOW};{NOW}", [("text", "\n"), NOWED, NOWED]),
        ('<function=add>{"a": 1, "b": "}<"}</function>', [ADDED]),
        ("<function=now></function>", [NOWED]),
        (f"<think>which?</think>{NOW}", [("thinking", "which?"), NOWED]),
        (
            r'<tool_call>{"name": "now", "arguments": "{\"tz\": \"é\"}"}</tool_call>',
            [("call", 'now{"tz": "é"}')],
        ),
        (r'{"name": "now", "arguments": {"q": "\\\"}"}}', [("call", r'now{"q": "\\\"}"}')]),
        (
            r'<tool_call>{"name": "now", "arguments": {"q": "\ud800"}}</tool_call>',
            [("call", r'now{"q": "\ud800"}')],
        ),
    ],
)
def test_output_calls_never_leak_into_the_text(answer: str, expected: list[Plain]) -> None:
    assert split(answer) == expected
    assert split(*answer) == expected


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("", {}),
        ('zone:<|"|>UTC<|"|>', {"zone": "UTC"}),
        ('a:1,b:true,c:[<|"|>x, y:z<|"|>,2]', {"a": 1, "b": True, "c": ["x, y:z", 2]}),
        ('a:{<|"|>b<|"|>:<|"|>{"c}<|"|>}', {"a": {"b": '{"c}'}}),
    ],
)
def test_report_1_calls_of_gemma_4(written: str, arguments: object) -> None:
    answer = f"<|channel>thought\nHm.<channel|><|tool_call>call:now{{{written}}}<tool_call|>"
    expected = [("thinking", "Hm."), ("call", f"now{json.dumps(arguments)}")]
    assert split(answer) == expected
    assert split(*answer) == expected
    assert '<|"|>' in AnswerParser(ALL, tools=TOOLS).tags


@pytest.mark.parametrize(
    "answer",
    [
        "<tool_call>not json</tool_call> and on",
        "<tool_call>[]</tool_call>",
        '<tool_call>{"name": 5}</tool_call>',
        '<tool_call>{"name": "a b", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "now", "arguments": {"a": NaN}}</tool_call>',
        "<tool_call>" + "[" * 50_000 + "</tool_call>",
        '<tool_call>{"name": "now", "argum',
        "[TOOL_CALLS] none today",
        "<|python_tag|>print(1)",
        "<function=now",
        '<function=now>["a"]</function>',
        '{"answer": 42} is the answer',
        '{"name": "Alice", "parameters": {}}',  # no tool of that name was offered
        '{"name": "now"}',
        "{ unbalanced",
        f"see {ADD}",  # a call without tags must be the whole answer
    ],
)
def test_output_an_invalid_call_is_unchanged_text(answer: str) -> None:
    assert split(answer) == [("text", answer)]
    assert split(*answer) == [("text", answer)]


def test_output_without_tools_nothing_is_a_call() -> None:
    for answer in (f"<tool_call>{ADD}</tool_call>", ADD, f"[TOOL_CALLS][{ADD}]"):
        assert split(answer, tools=()) == [("text", answer)]


def test_output_a_call_without_an_end_becomes_text() -> None:
    endless = "<tool_call>" + "x" * MAX_CALL_CHARACTERS
    splitter = AnswerParser(ALL, tools=TOOLS)
    held = splitter.feed(endless[: MAX_CALL_CHARACTERS - 1])
    assert held == []
    assert joined(
        splitter.feed(endless[MAX_CALL_CHARACTERS - 1 :] + f"<tool_call>{NOW}</tool_call>")
    ) == [
        ("text", endless),
        NOWED,
    ]


def test_output_ids_are_nine_letters_and_digits_and_differ() -> None:
    def ids(prefix: str) -> list[str]:
        splitter = AnswerParser(ALL, tools=TOOLS, call_prefix=prefix)
        pieces = splitter.feed(f"[TOOL_CALLS][{ADD}, {NOW}]")
        assert splitter.calls == 2
        return [piece.id for piece in pieces if isinstance(piece, ToolCallDelta)]

    made = ids("a") + ids("b")
    assert len(set(made)) == 4
    assert all(len(each) == 9 and each.isalnum() for each in made)
    assert ids("a") == made[:2]


# Any answer, split at any position

FRAGMENTS = [
    *(part for tags in KNOWN_TAGS for part in (tags.start, tags.end)),
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<function=now>",
    "</function>",
    ADD,
    NOW,
    f"[{ADD}]",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    ";",
    "<",
    "\n",
    " ",
    "word",
    "`",
    "```",
    "(",
    ")",
    "'",
    "é😀",
]
answers = st.lists(
    st.sampled_from(FRAGMENTS) | st.text("<think>/ [TO{", max_size=5), max_size=12
).map("".join)
dialects = st.sampled_from([ALL, ThinkingTags((THINK,)), ThinkingTags.from_template("")])


@given(answers, st.lists(st.integers(0, 200)), dialects, st.booleans(), st.booleans())
def test_output_does_not_depend_on_the_chunks(
    answer: str, cuts: list[int], thinking_tags: ThinkingTags, inside: bool, offered: bool
) -> None:
    def splitting(*deltas: str) -> list[Plain]:
        return split(
            *deltas,
            thinking_tags=thinking_tags,
            inside=THINK if inside else None,
            tools=TOOLS if offered else (),
        )

    bounds = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    deltas = [answer[a:b] for a, b in pairwise(bounds)]
    assert splitting(*deltas) == splitting(answer) == splitting(*answer)


words = st.text(
    st.characters(exclude_characters="<[{", exclude_categories=["Cs"]), min_size=1
).filter(lambda text: text[0] not in " \t\r\n;")


@given(st.lists(st.tuples(st.sampled_from(["text", "thinking", "call"]), words), max_size=8))
def test_output_loses_nothing_but_the_tags(parts: list[Plain]) -> None:
    begins = next((at for at, (kind, _) in enumerate(parts) if kind == "text"), len(parts))
    parts = [part for at, part in enumerate(parts) if at < begins or part[0] != "thinking"]
    parts = [
        part for _, group in groupby(parts, key=lambda part: part[0]) for part in [next(group)]
    ]
    written = {
        "text": "{}".format,
        "thinking": "<think>{}</think>".format,
        "call": lambda text: (
            f'<tool_call>{{"name": "add", "arguments": {json.dumps({"a": text})}}}</tool_call>'
        ),
    }
    expected = [
        (kind, "add" + json.dumps({"a": text}, ensure_ascii=False) if kind == "call" else text)
        for kind, text in parts
    ]
    assert split(*"".join(written[kind](text) for kind, text in parts)) == expected


@given(answers)
def test_output_buffers_at_most_one_tag(answer: str) -> None:
    splitter = AnswerParser(ThinkingTags((THINK,)))
    given_out = 0
    for position, character in enumerate(answer, 1):
        pieces = splitter.feed(character)
        given_out += sum(
            len(piece.text) for piece in pieces if not isinstance(piece, ToolCallDelta)
        )
        tags = sum(answer[:position].count(tag) * len(tag) for tag in (THINK.start, THINK.end))
        blanks = sum(each.isspace() for each in answer[:position])
        assert position - given_out < tags + blanks + len(THINK.end)


def test_output_reports_the_tags_of_the_parser() -> None:
    assert AnswerParser(ThinkingTags((THINK,))).tags == ("<think>", "</think>")
    assert "[TOOL_CALLS]" in AnswerParser(ThinkingTags((THINK,)), tools=TOOLS).tags
