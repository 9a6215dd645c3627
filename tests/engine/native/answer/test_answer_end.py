"""The end of an answer by its text: stop strings, and turn markers that are not tokens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.engine import (
    ChatMessage,
    Engine,
    Finished,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from koel_tui.engine.native.answer.answer_end import EndScanner
from koel_tui.engine.native.answer.answer_parser import AnswerParser, Piece
from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.answer.thinking_tags import KNOWN_TAGS, ThinkingTags
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from tests.engine.tiny_models import write_sliding_model

END, TURN = "<|im_end|>", "<|im_start|>"
CALL = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
GREEDY = Sampling(temperature=0)


def scanned(*pieces: str, stops: tuple[str, ...] = ()) -> tuple[str, bool]:
    scanner = EndScanner((END, TURN), stops)
    text = "".join(map(scanner.feed, pieces)) + scanner.finish()
    return text, scanner.is_ended


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (f"Yes.{END}\n{TURN}user", "Yes."),
        (f"Yes.\n{TURN}user\nNo", "Yes.\n"),
        (END, ""),
        (f"It's `so{END}", "It's `so"),  # a code span without an end
        (f"A ` b.\n\nc{END}", "A ` b.\n\nc"),
        (f"`a` and ``b`` {END}", "`a` and ``b`` "),
        (f"```\n{END}\n```\n{END}", f"```\n{END}\n```\n"),
        (f"~~~\n```\n{END}\n~~~\nx{END}", f"~~~\n```\n{END}\n~~~\nx"),
        (f"```a``` is a span{END}", "```a``` is a span"),
        (f"`x{END}\ny`", "`x"),
        (f"`x{END}y{TURN}z", "`x"),
    ],
)
def test_b20_a_marker_in_the_text_ends_the_answer_unseen(answer: str, shown: str) -> None:
    assert scanned(answer) == (shown, True)
    assert scanned(*answer) == (shown, True)


@pytest.mark.parametrize(
    "answer",
    [
        f"Write `{END}` at the end.",
        f"``` {END} ```",
        f"Say ``a ` {END}`` here",
        f"```jinja\n{TURN}user\n{END}\n```\nThat is all.",
        f"````\n```\n{END}\n```\n````",
        f"```\n``` x\n{END}\n```",
        f"   ~~~\n{END}\n   ~~~",
        "<|im_end| >",
        "<|im_",
        "a ` b",
        "```",
    ],
)
def test_b20_a_marker_in_code_is_shown(answer: str) -> None:
    assert scanned(answer) == (answer, False)
    assert scanned(*answer) == (answer, False)


def test_b20_a_stop_string_ends_the_answer_in_code_too() -> None:
    assert scanned("```\na STOP b", stops=("STOP",)) == ("```\na ", True)
    assert scanned(*"```\na STOP b", stops=("STOP", "a STAY")) == ("```\na ", True)


@pytest.mark.parametrize(
    ("answer", "stop", "shown"),
    [("a ````\nb", "```\n", "a `"), ("a ~~x", "~x", "a ~"), ("```\n~~~~\nb", "~\n", "```\n~~~")],
)
def test_report_21_a_stop_string_begins_within_a_run(answer: str, stop: str, shown: str) -> None:
    assert scanned(answer, stops=(stop,)) == scanned(*answer, stops=(stop,)) == (shown, True)


def test_report_21_a_long_piece_takes_no_long_time() -> None:
    begin = process_time()
    assert scanned("word " * 40_000, stops=("STOP",)) == ("word " * 40_000, False)
    assert process_time() - begin < 2


@pytest.mark.parametrize("char", "`~")
def test_report_21_a_run_without_an_end_is_shown_and_read_once(char: str) -> None:
    def seconds(pieces: int) -> float:
        scanner = EndScanner((END, TURN), ("STOP",))
        begin = process_time()
        shown = "".join(scanner.feed(char * 16) for _ in range(pieces))
        assert len(shown) > 16 * pieces - 200
        assert shown + scanner.finish() == char * 16 * pieces
        return process_time() - begin

    short, long = (min(seconds(pieces) for _ in range(3)) for pieces in (250, 1000))
    assert long < 9 * short  # linear growth is a factor of 4, quadratic growth a factor of 16


@pytest.mark.parametrize("length", [99, 100, 101, 250])
def test_report_21_a_long_run_does_not_depend_on_the_cut(length: int) -> None:
    answer = f"{'`' * length} a{END}b {'`' * length}\n\nc{END}d"
    assert scanned(answer) == scanned(*answer)


@pytest.mark.parametrize(
    ("question", "after", "markers"),
    [
        ("User: ", "\n\n", ("\nUser:",)),
        ("### Instruction:\n", "\n\n", ("\n### Instruction:",)),
        ("USER: ", "</s>\n", ("</s>",)),
        ("", "\n\n", ()),
    ],
)
def test_report_21_a_heading_is_the_marker_of_a_template_without_tags(
    question: str, after: str, markers: tuple[str, ...]
) -> None:
    source = (
        (
            "{% for m in messages %}{% if m.role == 'user' %}{{ '%s' + m.content + '\n\n' }}"
            "{% else %}{{ 'Assistant: ' + m.content + '%s' }}{% endif %}{% endfor %}Assistant:"
        )
        .replace("%s", question.replace("\n", "\\n"), 1)
        .replace("%s", after.replace("\n", "\\n"))
    )
    template = ChatTemplate(source, model="tiny", bos="<s>", eos="</s>")
    assert template.markers == markers
    template.close()


def test_report_1_text_after_thinking_does_not_run_together() -> None:
    answer = Answer(AnswerParser(ThinkingTags((KNOWN_TAGS[1],))), thinking=False, markers=(END,))
    pieces = answer.feed("one <|im_", control=False)
    pieces += answer.feed("<|channel>thought", control=True)
    pieces += answer.feed("why<channel|>two", control=False) + answer.finish()
    assert pieces == [TextDelta("one "), TextDelta("<|im_"), TextDelta("\n\ntwo")]


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(each.text for each in pieces if not isinstance(each, ToolCallDelta))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("<think>why", [ThinkingDelta("why")]),
        ("<think>why</think>", [ThinkingDelta("why")]),
        ("<think>why</think>\n\n", [ThinkingDelta("why")]),
        ("<think>why</think>yes", [TextDelta("yes")]),
        ("<think> \n</think>", []),
        ("\n<think>why", [TextDelta("\n"), ThinkingDelta("why")]),
        ("\n \n<think>why</think>\n", [TextDelta("\n \n"), ThinkingDelta("why")]),
        ("\n<think>why</think>yes", [TextDelta("\nyes")]),
        ("\n<think> \n</think>", [TextDelta("\n")]),
    ],
)
def test_report_3_hidden_thinking_is_shown_at_the_end_if_there_is_no_answer(
    text: str, pieces: list[Piece]
) -> None:
    for cuts in (text, [text]):
        answer = Answer(AnswerParser(ThinkingTags((KNOWN_TAGS[0],))), thinking=False)
        fed = [piece for part in cuts for piece in answer.feed(part, control=False)]
        found = fed + answer.finish()
        assert [type(each) for each in found][:1] == [type(each) for each in pieces][:1]
        assert text_of(found) == text_of(pieces)


def test_b20_a_stop_string_in_an_open_code_span_does_not_show_the_marker_before_it() -> None:
    answer = f"`x{END}y STOP"
    assert scanned(answer, stops=("STOP",)) == scanned(*answer, stops=("STOP",)) == ("`x", True)


def test_b20_the_beginning_of_a_marker_is_shown_at_once_in_a_fenced_block() -> None:
    assert EndScanner((END,)).feed("```\na <|im_") == "```\na <|im_"
    assert EndScanner((END,)).feed("a <|im_") == "a "


answers = st.lists(
    st.sampled_from(["`", "``", "```", "~~~", "\n", " ", "a", END, TURN, "<|im_", "STOP", "ST"]),
    max_size=14,
).map("".join)


@given(answers, st.data())
def test_b20_the_chunks_of_an_answer_do_not_change_the_result(
    answer: str, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    pieces = [
        answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)
    ]
    whole = scanned(answer, stops=("STOP",))
    assert scanned(*pieces, stops=("STOP",)) == whole
    assert scanned(*answer, stops=("STOP",)) == whole
    assert answer.startswith(whole[0]) and (whole[1] or whole[0] == answer)


@pytest.mark.parametrize("thinking", [True, False])
def test_b20_a_marker_in_thinking_ends_the_answer(thinking: bool) -> None:
    answer = Answer(AnswerParser(ThinkingTags()), thinking=thinking, markers=(END,))
    pieces = answer.feed(f"<think>why{END}</think>no", control=False) + answer.finish()
    assert answer.is_ended
    assert pieces == [ThinkingDelta("why")]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("<think>a <|im_</think>yes", [ThinkingDelta("a <|im_"), TextDelta("yes")]),
        ("<think>a <|im_", [ThinkingDelta("a <|im_")]),
        (f"a <|im_{CALL}", [TextDelta("a <|im_"), ToolCallDelta("", "clock", "{}")]),
        (
            f"<think>a <|im_</think>{CALL}",
            [ThinkingDelta("a <|im_"), ToolCallDelta("", "clock", "{}")],
        ),
        ("a <|im_", [TextDelta("a <|im_")]),
    ],
    ids=["thinking", "thinking-cut", "call", "thinking-call", "text-cut"],
)
def test_b20_the_beginning_of_a_marker_is_shown_at_its_position(
    answer: str, shown: list[Piece]
) -> None:
    reading = Answer(
        AnswerParser(ThinkingTags(), tools=["clock"]),
        thinking=True,
        markers=(END,),
        stops=("STOP",),
    )
    pieces = [piece for each in answer for piece in reading.feed(each, control=False)]
    found: list[Piece] = []
    for piece in pieces + reading.finish():
        match piece, found[-1] if found else None:
            case (TextDelta(text=more), TextDelta(text=text)):
                found[-1] = TextDelta(text + more)
            case (ThinkingDelta(text=more), ThinkingDelta(text=text)):
                found[-1] = ThinkingDelta(text + more)
            case (ToolCallDelta(), _):
                found.append(replace(piece, id=""))
            case _:
                found.append(piece)
    assert found == shown


def test_b20_a_template_that_refuses_the_search_for_markers_has_none() -> None:
    source = "{% if messages | length > 1 %}{{ raise_exception('one') }}{% endif %}<|a|>"
    template = ChatTemplate(source, model="tiny", bos="<s>", eos="</s>")
    assert template.markers == ()
    assert template.render([ChatMessage("user", "Hello")]).text == "<|a|>"
    template.close()


@pytest.mark.parametrize(
    ("name", "markers"),
    [
        ("chatml", (END, TURN)),
        ("gemma", ("<end_of_turn>", "<start_of_turn>")),
        ("llama3", ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")),
        ("mistral", ("</s>", "[INST]")),
    ],
)
def test_b20_the_markers_are_found_in_the_template(name: str, markers: tuple[str, ...]) -> None:
    template = ChatTemplate(BUILT_IN_TEMPLATES[name], model="tiny", bos="<s>", eos="</s>")
    assert template.markers == markers
    template.close()


# With an engine


@pytest.mark.parametrize(
    ("template", "text", "shown"),
    [
        ("gemma", "a <end_of_turn> b", '"a '),  # the vocabulary lacks it
        ("gemma", "`<end_of_turn>` b", '"`<end_of_turn>` b"'),
        ("gemma", "a <|im_end|> b", '"a <|im_end|> b"'),
        ("chatml", "a <|im_end|> b", '"a <|im_end|> b"'),  # a control token written as text
    ],
)
async def test_b20_a_marker_ends_an_answer_as_text_only_where_the_vocabulary_lacks_it(
    starter_path: Path, template: str, text: str, shown: str
) -> None:
    engine = await Engine.load(ModelSpec(starter_path, context_tokens=512, threads=1))
    try:
        session = await engine.open_session(sampling=GREEDY, chat_template=template)
        session.add(ChatMessage("user", "Hello"))
        deltas = [delta async for delta in session.stream(schema={"const": text})]
    finally:
        await engine.close()
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == shown
    assert isinstance(deltas[-1], Finished) and deltas[-1].reason == "end"


async def test_b30_thinking_that_is_not_shown_is_reported(tmp_path: Path) -> None:
    template = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\\n' }}"
    path = write_sliding_model(tmp_path / "tiny.gguf", template)
    engine = await Engine.load(ModelSpec(path, context_tokens=256))
    try:
        session = await engine.open_session(sampling=GREEDY, max_output_tokens=40)
        session.add(ChatMessage("user", "hello"))
        deltas = [delta async for delta in session.stream(progress=True)]
    finally:
        await engine.close()
    assert [type(delta) for delta in deltas[-2:]] == [ThinkingDelta, Finished]  # see report 3
    assert not any(isinstance(delta, TextDelta | ThinkingDelta) for delta in deltas[:-2])
    thinking = [d.done for d in deltas if isinstance(d, Progress) and d.phase == "thinking"]
    assert thinking == [1, 17, 33]


async def test_b30_text_after_unseen_thinking_reports_no_thinking(tmp_path: Path) -> None:
    template = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\n' }}"
    path = write_sliding_model(tmp_path / "tiny.gguf", template)
    engine = await Engine.load(ModelSpec(path, context_tokens=256))
    try:
        session = await engine.open_session(sampling=GREEDY)
        for length in range(8, 26):  # for some lengths a report is due at the last thinking token
            answer = {"const": f"{'x' * length}</think>{'y' * 8}"}
            session_deltas = session.stream(
                [ChatMessage("user", "hello")], schema=answer, progress=True
            )
            deltas = [delta async for delta in session_deltas]
            reported = [d.done for d in deltas if isinstance(d, Progress) and d.phase == "thinking"]
            assert reported == sorted(set(reported)), length
            assert any(isinstance(delta, TextDelta) for delta in deltas)
    finally:
        await engine.close()
