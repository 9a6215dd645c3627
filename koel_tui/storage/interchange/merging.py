"""Merging of an imported thread with the saved one that is the same conversation. Pure."""

import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from koel_tui.protocol import ChatState, Message
from koel_tui.storage.interchange.message_tree import MessageTree

_UNIQUE_ID_LENGTH = 20
"""Ids of this length, for example UUIDs, are not used for two messages."""
_CITATION_MARK = re.compile("[\ue200-\ue206]|\u2020source")
_NOT_COMPARED = re.compile(
    r"\(\[(?:\\.|[^\[\]\\])*\]\([^()\s]*\)\)"  # a citation
    r"|\[[a-z_ ]+\]"  # a part without text
    r"|^ *`{3,}[^\n`]*$"  # the begin or end of code
    r"|\s+",
    re.MULTILINE,
)
"""Parts that the same answer has differently in another export, or in an import by 0.1."""


def merge(
    saved: ChatState, imported: ChatState, *, is_foreign: bool, source_id: str = ""
) -> tuple[ChatState, int] | None:
    """Return the saved thread with the messages that only the import has, and their number.

    New messages extend the shown branch or become other branches; saved messages are kept, except
    that an answer which has grown gets the longer text. An answer that is different in both becomes
    another branch. Returns None if they are different conversations: if they have no message in
    common, or an id with two texts, unless it is a long id of an answer. A thread that is not
    `is_foreign` must be contained in the other one, because its two versions may have been changed
    independently.

    `source_id` is the id of the conversation if both have it. The program may have given the
    messages other ids since; then messages with the same texts are the same ones.
    """
    tree, source = MessageTree.from_state(saved), MessageTree.from_state(imported)
    if tree is None or source is None:
        return None
    common = tree.messages.keys() & source.messages.keys()
    if not common and is_foreign and len(source_id) >= _UNIQUE_ID_LENGTH:
        imported = _with_ids(imported, _ids_by_text(tree, source))
        source = MessageTree.from_state(imported) or source
        common = tree.messages.keys() & source.messages.keys()
    if not common and tree.messages:
        return None
    for message_id in common:
        is_unique = is_foreign and len(message_id) >= _UNIQUE_ID_LENGTH
        if not is_unique and not _is_same(tree.messages[message_id], source.messages[message_id]):
            return None
    if different := _different_answers(tree, source, common):
        imported = _with_ids(imported, different)
        source = MessageTree.from_state(imported) or source
        common = tree.messages.keys() & source.messages.keys()
    if not is_foreign and len(common) < min(len(tree.messages), len(source.messages)):
        return None
    added = sum(1 for message_id in common if _has_grown(tree, source, message_id))
    preferred = _shown_branches(tree, saved)
    anchors = _add_new(tree, source, different.values())
    added += len(tree.messages) - _count(saved)
    if not added:
        return saved, 0
    return _with_branches(saved, tree, _shown_id(saved, imported, tree, anchors), preferred), added


def first_messages(state: ChatState) -> Iterator[tuple[str, str]]:
    """Yield a key of the first message of each branch: its id and its text.

    The text is empty if the id is unique, because version 0.1 imported some texts differently.
    """
    branches = [state.messages]
    branches += [branch for fork in state.forks if fork.after is None for branch in fork.branches]
    for branch in filter(None, branches):
        first = branch[0]
        yield first.id, "" if len(first.id) >= _UNIQUE_ID_LENGTH else _plain(first.content)


def _ids_by_text(tree: MessageTree, source: MessageTree) -> dict[str, str]:
    """Return the ids of saved messages by the ids of imported ones with the same texts before them.

    Between them there may be messages without text, for example calls of tools and their results.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    stack: list[tuple[str, str | None]] = [(first, None) for first in source.children.get(None, [])]
    while stack:
        message_id, after = stack.pop()
        message = source.messages[message_id]
        same = None if _is_silent(message) else _following(tree, after, message, taken)
        if same is not None:
            found[message_id] = same
            taken.add(same)
        elif not _is_silent(message):
            continue
        position = after if same is None else same
        stack += [(child, position) for child in source.children.get(message_id, [])]
    return found


def _following(
    tree: MessageTree, after: str | None, message: Message, taken: set[str]
) -> str | None:
    """Return the next message with a text after `after` if it has the text of `message`."""
    candidates = list(tree.children.get(after, []))
    while candidates:
        candidate_id = candidates.pop()
        candidate = tree.messages[candidate_id]
        if _is_silent(candidate):
            candidates += tree.children.get(candidate_id, [])
        elif (
            candidate_id not in taken
            and candidate.role == message.role
            and candidate.content.split() == message.content.split()
        ):
            return candidate_id
    return None


def _is_silent(message: Message) -> bool:
    return message.role == "tool" or not message.content.strip()


def _with_ids(state: ChatState, ids: Mapping[str, str]) -> ChatState:
    """Return a state whose messages have other ids."""

    def renamed(messages: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(replace(each, id=ids.get(each.id, each.id)) for each in messages)

    forks = tuple(
        replace(
            fork,
            after=None if fork.after is None else ids.get(fork.after, fork.after),
            branches=tuple(map(renamed, fork.branches)),
        )
        for fork in state.forks
    )
    return replace(state, messages=renamed(state.messages), forks=forks)


def _is_same(saved: Message, imported: Message) -> bool:
    """Return whether two messages are the same one; one may be longer."""
    one, other = _plain(saved.content), _plain(imported.content)
    return saved.role == imported.role and (one.startswith(other) or other.startswith(one))


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _has_grown(tree: MessageTree, source: MessageTree, message_id: str) -> bool:
    """Replace a message of the tree by a longer one; return whether it is longer."""
    before, after = tree.messages[message_id], source.messages[message_id]
    begin, text = _plain(before.content), _plain(after.content)
    # A question with a file has a longer text than in version 0.1; a call has no text.
    can_grow = before.role == "assistant" and (bool(begin) or not before.tool_calls)
    has_grown = can_grow and len(text) > len(begin) and text.startswith(begin)
    if has_grown:
        tree.messages[message_id] = replace(
            before,
            content=after.content,
            reasoning=after.reasoning or before.reasoning,
            reasoning_ids=after.reasoning_ids if after.reasoning else before.reasoning_ids,
            tool_calls=after.tool_calls or before.tool_calls,
            timestamp=after.timestamp or before.timestamp,
            interrupted=after.interrupted,
            finish_reason=after.finish_reason,
        )
    return has_grown


def _different_answers(
    tree: MessageTree, source: MessageTree, common: Iterable[str]
) -> dict[str, str]:
    """Return ids for those of the imported answers that are not the saved ones with their ids.

    The ids are the same at each import.
    """
    return {
        message_id: str(uuid.uuid5(uuid.NAMESPACE_OID, message_id))
        for message_id in common
        if _is_other_answer(tree.messages[message_id], source.messages[message_id])
    }


def _is_other_answer(saved: Message, imported: Message) -> bool:
    """Return whether two answers have texts of which none begins with the other.

    The marks of citations and the JSON of calls that version 0.1 saved are not compared.
    """
    if saved.role != "assistant" or imported.role != "assistant" or _is_same(saved, imported):
        return False
    if _CITATION_MARK.search(saved.content) or saved.content.lstrip().startswith("{"):
        return False
    one, other = (_NOT_COMPARED.sub("", each.content) for each in (saved, imported))
    return not one.startswith(other) and not other.startswith(one)


def _add_new(
    tree: MessageTree, source: MessageTree, different: Collection[str]
) -> dict[str | None, str | None]:
    """Add the new messages; return the message of the tree for each message of the source.

    A new message before a saved one is skipped, because the saved thread was imported without it,
    unless it is one of the `different` answers.
    """
    parents = source.parents
    before_saved: set[str | None] = set()
    for message_id in source.messages:
        if message_id in tree.messages:
            after = parents[message_id]
            while after is not None and after not in before_saved:
                before_saved.add(after)
                after = parents[after]
    anchors: dict[str | None, str | None] = {None: None}
    stack: list[str] = list(reversed(source.children.get(None, [])))
    while stack:
        message_id = stack.pop()
        if message_id in tree.messages:
            anchors[message_id] = message_id
        elif message_id in before_saved and message_id not in different:
            anchors[message_id] = anchors[parents[message_id]]
        else:
            after = _after_notes(tree, source, anchors[parents[message_id]])
            tree.add(source.messages[message_id], after)
            anchors[message_id] = message_id
        stack += reversed(source.children.get(message_id, []))
    return anchors


def _after_notes(tree: MessageTree, source: MessageTree, after: str | None) -> str | None:
    """Return the last of the tools' notes after a message that only version 0.1 imported."""
    while len(following := tree.children.get(after, [])) == 1:
        note = following[0]
        if note in source.messages or tree.messages[note].role != "tool":
            break
        after = note
    return after


def _shown_branches(tree: MessageTree, saved: ChatState) -> set[str]:
    """Return the first message of the shown branch of each fork."""
    shown = {message.id for message in saved.messages}
    for fork in saved.forks:
        following = tree.children.get(fork.after, [])
        if fork.branches[fork.shown : fork.shown + 1] == ((),) and fork.shown < len(following):
            shown.add(following[fork.shown])
    return shown


def _shown_id(
    saved: ChatState,
    imported: ChatState,
    tree: MessageTree,
    anchors: dict[str | None, str | None],
) -> str | None:
    """Return the end of the import if it continues the shown branch, or else what is shown."""
    last = saved.messages[-1].id if saved.messages else None
    end = anchors.get(imported.messages[-1].id) if imported.messages else None
    return end if last is None or last in tree.path(end) else last


def _with_branches(
    saved: ChatState, tree: MessageTree, shown_id: str | None, preferred: set[str]
) -> ChatState:
    messages, forks = tree.branches(shown_id, preferred)
    extras = {fork.after: fork.extra for fork in saved.forks}
    return replace(
        saved,
        messages=messages,
        forks=tuple(replace(fork, extra=extras.get(fork.after, {})) for fork in forks),
    )


def _count(state: ChatState) -> int:
    hidden = sum(len(branch) for fork in state.forks for branch in fork.branches)
    return len(state.messages) + hidden
