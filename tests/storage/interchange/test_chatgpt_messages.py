"""Messages of ChatGPT exports: citations, code, canvas, voice, tools and branches."""

import json
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from koel_tui.protocol import ChatState, Message, switch
from koel_tui.storage import MemoryStorage
from koel_tui.storage.interchange import Thread, read_threads
from tests.storage.interchange.test_chatgpt import conversation, node, write
from tests.storage.interchange.test_merging import FIRST, long_id, said, take

A, S, Z = "\ue200", "\ue202", "\ue201"
CITE = f"{A}cite{S}turn0search1{Z}"


def imported(path: Path, *nodes: dict[str, Any], **more: Any) -> Thread:
    (thread,) = read_threads(write(path / "c.json", [conversation(*nodes, **more)]))
    assert isinstance(thread, Thread)
    return thread


def answer(path: Path, text: str, role: str = "assistant", **metadata: Any) -> str:
    thread = imported(path, node("a", None, role, text, metadata=metadata))
    return thread.state.messages[0].content


# Citations


def test_report_12_a_citation_becomes_its_link_or_nothing(tmp_path: Path) -> None:
    def references(alt: object, matched: str = CITE) -> list[object]:
        return [None, {}, {"matched_text": " ", "alt": "no"}, {"matched_text": matched, "alt": alt}]

    said = f"Alice won. {CITE} Bob lost."
    link = "([News](https://e.org))"
    assert answer(tmp_path, said, content_references=references(link)) == (
        f"Alice won. {link} Bob lost."
    )
    for alt in (None, "", 7):
        shown = answer(tmp_path, said, content_references=references(alt))
        assert shown == "Alice won. Bob lost."
    assert answer(tmp_path, said) == "Alice won. Bob lost."
    spanned = f"\ue203Alice won.\ue204{CITE}"
    assert answer(tmp_path, spanned) == "Alice won."
    assert answer(tmp_path, spanned, content_references=references(link, spanned)) == link


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"In {A}entity{S}[\"city\",\"Paris\",\"capital\"]{Z}.", "In Paris."),
        (f"Cats {A}image_group{S}{{\"query\":[\"cat\"]}}{Z}", "Cats"),
        (f"a{A}cite{S}turn0search1{S}turn1news22{Z}b", "ab"),
        (f"a {A}filecite{S}turn0file3{S}L1-L20{Z}", "a"),
        (f"See {A}link_title{S}The sea{S}turn0search3{Z}.", "See The sea."),
        (f"Buy {A}product_entity{S}[\"turn0product1\",\"Lamp\"]{Z}", "Buy Lamp"),
        (f"{A}genui{S}{{\"math\":{{\"content\":\"a=b\"}}}}{Z}", "$$a=b$$"),
        (f"cut off {A}cite{S}turn0sea", "cut off"),
        (f"one {A}cite{S}turn0search1 and\ntwo", "one and\ntwo"),
        (f"one {A}cite{S}turn0search1 and two", "one and two"),
        (f"cut off {A}image_group{S}{{\"query\": [\"a", "cut off"),
        ("Salt【11†source】 and【4:0†a b.pdf】.", "Salt and."),
        ("【注意】 stays", "【注意】 stays"),
        ("\ue0b0 \uf015 icons stay", "\ue0b0 \uf015 icons stay"),
    ],
)  # fmt: skip
def test_report_12_a_marker_without_metadata_is_its_name_or_nothing(
    tmp_path: Path, text: str, shown: str
) -> None:
    assert answer(tmp_path, text) == shown
    assert answer(tmp_path, text, role="user") == text


def test_report_12_an_older_citation_becomes_its_link(tmp_path: Path) -> None:
    text = "Salt【11†source】."
    source = {"title": "On [salt]", "url": "https://e.org/a"}
    citation = {"start_ix": 4, "end_ix": 15, "metadata": source}
    link = r"([On \[salt\]](https://e.org/a))"
    assert answer(tmp_path, text, citations=[citation, {}, None]) == f"Salt{link}."
    source["url"] = "javascript:alert(1)"
    assert answer(tmp_path, text, citations=[citation]) == "Salt(On [salt])."


@pytest.mark.parametrize(
    "piece", [" ", A, f"{A}cite{S}", "【1†", "†", f"{S}turn0search1", "\ue203"]
)
def test_report_12_a_hostile_answer_needs_no_long_time(tmp_path: Path, piece: str) -> None:
    began = process_time()
    answer(tmp_path, f"a{piece * 50_000}b")
    assert process_time() - began < 5


# Code, canvas, tools, voice


def assistant(name: str, parent: str | None, recipient: str, kind: str, **content: Any) -> Any:
    return node(name, parent, "assistant", recipient=recipient,
                content={"content_type": kind, **content})  # fmt: skip


def tool(name: str, parent: str, author: str, kind: str = "text", **content: Any) -> Any:
    return node(name, parent, author={"role": "tool", "name": author},
                content={"content_type": kind, **content}, role="tool")  # fmt: skip


def test_report_23_code_is_a_code_block_and_its_output_a_message(tmp_path: Path) -> None:
    code = "# a\nx = 2*3*4"
    thread = imported(
        tmp_path,
        assistant("a", None, "python", "code", language="python", text=code),
        tool("o", "a", "python", "execution_output", text="24"),
        assistant("b", "o", "all", "code", language="unknown", text="```"),
    )
    run, output, listing = thread.state.messages
    assert run.content == f"```python\n{code}\n```"
    assert (output.role, output.content) == ("tool", "24")
    assert listing.content == "````\n```\n````"


def test_report_23_a_canvas_is_its_document(tmp_path: Path) -> None:
    document = json.dumps({"name": "Plan", "type": "document", "content": "# Sea\n*salt*"})
    script = json.dumps({"name": "run", "type": "code/python", "content": "x = 1"})
    update = json.dumps({"updates": [{"pattern": ".*", "replacement": "# Land"},
                                     {"pattern": "a+", "replacement": "b"}, None]})  # fmt: skip
    comment = json.dumps({"comments": [{"pattern": "Land", "comment": "Why?"}]})
    nodes: list[dict[str, Any]] = []
    parent: str | None = None
    calls = {"create": document, "create_2": script, "update": update, "comment": comment}
    for name, text in {**calls, "cut": '{"name":'}.items():
        call = assistant(name, parent, f"canmore.{name}_textdoc", "code", text=text)
        note = tool(f"{name}-note", name, "canmore.x", parts=["Successfully created"])
        nodes, parent = [*nodes, call, note], f"{name}-note"
    shown = [message.content for message in imported(tmp_path, *nodes).state.messages]
    assert shown == [
        "Canvas: Plan\n\n# Sea\n*salt*",
        "Canvas: run\n\n```python\nx = 1\n```",
        "Canvas:\n\n# Land\n\nReplaced:\n\n```\na+\n```\n\nby:\n\n```\nb\n```",
        "Canvas:\n\n```\nLand\n```\n\nWhy?",
        '```json\n{"name":\n```',
    ]


@pytest.mark.parametrize(
    ("recipient", "text", "arguments"),
    [
        ("web.run", '{"q": "sea"}', '{"q": "sea"}'),
        ("bio", "Likes the sea.", '{"input": "Likes the sea."}'),
        ("browser", 'search("sea")', '{"input": "search(\\"sea\\")"}'),
        ("dalle.text2im", '{"prompt": "sea"}', '{"prompt": "sea"}'),
    ],
)
def test_report_23_other_tools_are_folded_calls(
    tmp_path: Path, recipient: str, text: str, arguments: str
) -> None:
    kind = "code" if recipient != "bio" else "text"
    content = {"text": text} if kind == "code" else {"parts": [text]}
    call = assistant("a", None, recipient, kind, **content)
    quote = {"title": "Sea", "url": "https://e.org", "text": "Salty."}
    result = tool("r", "a", recipient, "tether_quote", **quote)
    made, found = imported(tmp_path, call, result).state.messages
    assert (made.content, made.tool_calls[0].arguments) == ("", arguments)
    assert "." not in made.tool_calls[0].name
    assert found.tool_call_id == made.tool_calls[0].id
    assert found.content == "Sea\nhttps://e.org\nSalty."
    (alone,) = imported(tmp_path, call).state.messages
    assert alone.content == f"```json\n{text}\n```" and not alone.tool_calls


def test_report_23_a_voice_message_is_its_transcription(tmp_path: Path) -> None:
    pointer = {"content_type": "real_time_user_audio_video_asset_pointer", "frames": [{}]}
    spoken = {"content_type": "audio_transcription", "text": "Hello sea.", "direction": "in"}
    sound = {"content_type": "audio_asset_pointer"}
    thread = imported(
        tmp_path,
        node("u", None, "user", pointer, spoken, sound),
        node("a", "u", "assistant", sound),
        node("f", "a", "user", "Read it.", metadata={"attachments": [
            {"name": "a.pdf", "mime_type": "application/pdf"},
            {"name": "b.png", "mime_type": "image/png"}, None]}),
    )  # fmt: skip
    contents = [message.content for message in thread.state.messages]
    assert contents == ["Hello sea.", "[voice message]", "Read it.\n[file: a.pdf]"]


# Branches


def texts(state: ChatState) -> list[str]:
    return [message.content for message in state.messages]


def test_report_22_every_branch_is_reached_and_the_one_in_view_is_shown(tmp_path: Path) -> None:
    state = imported(
        tmp_path,
        node("root", None),
        node("u", "root", "user", "Why?"),
        node("a1", "u", "assistant", "Magic."),
        node("u2", "a1", "user", "Really?"),
        node("a3", "u2", "assistant", "Yes."),
        node("a4", "u2", "assistant", "No."),
        node("a2", "u", "assistant", "Rivers."),
        node("edited", "root", "user", "How?"),
        current_node="a3",
    ).state
    assert texts(state) == ["Why?", "Magic.", "Really?", "Yes."]
    assert texts(switch(state, "u2")) == ["Why?", "Magic.", "Really?", "No."]
    other = switch(state, "u")
    assert texts(other) == ["Why?", "Rivers."]
    assert texts(switch(other, None)) == ["How?"]
    assert texts(switch(other, "u", -1)) == texts(state)


def test_report_22_deleted_nodes_and_several_roots_lose_nothing(tmp_path: Path) -> None:
    state = imported(
        tmp_path,
        node("s", None, "system", "Be brief."),
        node("u", "s", "user", "Why?"),
        {"id": "deleted", "parent": "u", "children": ["a"], "message": None},
        node("a", "deleted", "assistant", "Rivers."),
        node("lost", "not in the file", "user", "Hello?"),
        {**node("child", None, "assistant", "Listed."), "parent": None},
        {**node("after", "lost", "assistant", "Hi."), "children": ["child"]},
        {**node("x", "y", "user", "In"), "children": []},
        node("y", "x", "assistant", "a cycle"),
        current_node="a",
    ).state
    assert texts(state) == ["Why?", "Rivers."]
    hidden = [[each.content for each in branch] for branch in state.forks[0].branches]
    assert hidden == [[], ["Hello?", "Hi.", "Listed."], ["In", "a cycle"]]
    assert state.forks[0].after is None


def test_report_22_messages_with_the_same_id_and_thoughts_alone_are_kept(tmp_path: Path) -> None:
    def thinking(name: str, parent: str) -> dict[str, Any]:
        return node(name, parent, "assistant", content={
            "content_type": "thoughts", "thoughts": [{"content": f"Hm {name}."}]})  # fmt: skip

    again = node("u2", "t", "user", "Again?")
    again["message"]["id"] = "u"
    nodes = [node("u", None, "user", "Why?"), thinking("t", "u"), again, thinking("end", "u2")]
    messages = imported(tmp_path, *nodes).state.messages
    assert [(each.content, each.reasoning) for each in messages] == [
        ("Why?", ""), ("", "Hm t."), ("Again?", ""), ("", "Hm end."),
    ]  # fmt: skip
    assert len({message.id for message in messages}) == 4


def test_report_22_thousands_of_branches_in_branches_are_read(tmp_path: Path) -> None:
    nodes = [node("0", None, "user", "0")]
    for number in range(1, 1500):
        for name in (f"{number}", f"{number}b"):
            nodes.append(node(name, str(number - 1), "user", name))
    state = imported(tmp_path, *nodes, current_node="1b").state
    assert texts(state) == ["0", "1b"]
    hidden = sum(len(branch) for fork in state.forks for branch in fork.branches)
    assert hidden + 2 == len(nodes)


def test_thoughts_without_an_answer_are_kept_although_an_empty_node_follows(
    tmp_path: Path,
) -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"content": "Hm."}]}
    recap = {"content_type": "reasoning_recap", "content": "Thought for 2 s"}
    thread = imported(
        tmp_path,
        node("u", None, "user", "Why?"),
        node("t", "u", "assistant", content=thoughts),
        node("r", "t", "assistant", content=recap),
    )
    assert [(each.role, each.reasoning) for each in thread.state.messages] == [
        ("user", ""), ("assistant", "Hm."),
    ]  # fmt: skip


def test_report_22_a_message_without_an_author_is_an_answer(tmp_path: Path) -> None:
    question, reply = node("u", None, "user", "Why?"), node("a", "u", "assistant", "So.")
    for author in ("{}", "null"):
        reply["message"]["author"] = json.loads(author)
        shown = imported(tmp_path, question, reply).state.messages
        assert [(each.role, each.content) for each in shown] == [
            ("user", "Why?"), ("assistant", "So."),
        ]  # fmt: skip


# Repeated imports


async def test_report_22_a_grown_answer_keeps_the_saved_thinking(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await take(storage, tmp_path, said("u1", "", "Why?"), said("a1", "u1", "Riv"))
    state = await storage.load("chatgpt-abc")
    assert state is not None
    cut = replace(state.messages[1], reasoning="Hm.", finish_reason="length", extra={"x": 1})
    await storage.save("chatgpt-abc", replace(state, messages=(state.messages[0], cut)))
    await take(storage, tmp_path, *FIRST)
    state = await storage.load("chatgpt-abc")
    assert state is not None
    expected = replace(cut, content="Rivers.", finish_reason=None)
    assert state.messages[1] == expected


async def test_report_22_an_answer_that_is_different_in_both_becomes_a_branch_once(
    tmp_path: Path,
) -> None:
    storage, question = MemoryStorage(), said("u1", "", "Why?")
    await take(storage, tmp_path, question, said("a1", "u1", "One two"))
    state = await storage.load("chatgpt-abc")
    assert state is not None
    local = replace(state.messages[1], content="One two LOCAL")
    await storage.save("chatgpt-abc", replace(state, messages=(state.messages[0], local)))
    remote = (question, said("a1", "u1", "One two REMOTE end"))
    later = (*remote, said("u2", "a1", "Really?"))
    last = (*remote[:1], said("a1", "u1", "One two REMOTE end."), *later[2:])
    for nodes, added in ((remote, 1), (remote, 0), (later, 1), (later, 0), (last, 1), (last, 0)):
        (stored,) = await take(storage, tmp_path, *nodes)
        assert (stored.id, stored.added) == ("chatgpt-abc", added)
    state = await storage.load("chatgpt-abc")
    assert state is not None and texts(state) == ["Why?", "One two LOCAL"]
    other = switch(state, long_id("u1"))
    assert texts(other) == ["Why?", "One two REMOTE end.", "Really?"]
    changed = replace(state.messages[1], content="Else", id=long_id("a9"))
    await storage.save("x", ChatState(messages=(state.messages[0], changed, Message(
        long_id("u9"), "user", "And?"))))  # fmt: skip
    nodes = (question, said("a9", "u1", "Lakes."), said("u9", "a9", "And?"))
    assert (await take(storage, tmp_path, *nodes, conversation_id=None))[0].added == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"Salt. {CITE} And rivers.", "Salt ([News](https://e.org)). And rivers."),
        ("Salt ([News](https://e.org)). More.", "Salt ([Other](https://f.org)). More."),
        ("x = 1\nprint(x)", "```python\nx = 1\nprint(x)\n```"),
        ('{"name": "n", "content": "x"}', "Canvas: n\n\nx"),
        ("One [audio_transcription] two", "One two"),
        ("One  two\n\nthree", "One two\nthree"),
    ],
)
async def test_report_22_an_answer_that_was_imported_differently_before_is_the_same(
    tmp_path: Path, old: str, new: str
) -> None:
    storage = MemoryStorage()
    saved = (Message(long_id("u1"), "user", "Why?"), Message(long_id("a1"), "assistant", old))
    await storage.save("chatgpt-abc", ChatState(messages=saved))
    (stored,) = await take(storage, tmp_path, said("u1", "", "Why?"), said("a1", "u1", new))
    assert (stored.id, stored.added) == ("chatgpt-abc", 0)
