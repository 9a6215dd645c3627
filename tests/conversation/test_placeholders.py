"""Placeholders of large pastes: when text is folded, sent, deleted, edited, undone and kept."""

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.conversation.drafts import Draft, parse_draft
from koel_tui.conversation.placeholders import (
    MAX_PASTE_CHARACTERS,
    MAX_PASTE_LINES,
    PastePlaceholders,
)
from tests.ui.window import opened

LONG = "\n".join(f"line {n}" for n in range(120))
OTHER = "\n".join(f"row {n}" for n in range(30))
FOLDED = "[pasted 120 lines #1]"

large = st.text(
    st.sampled_from("ab\n"), min_size=MAX_PASTE_CHARACTERS + 1, max_size=MAX_PASTE_CHARACTERS + 9
)
small = st.text(max_size=40).filter(lambda text: "[pasted" not in text)


class TestPastes:
    def test_a_large_paste_gets_a_token_that_says_how_large(self) -> None:
        pastes = PastePlaceholders()
        assert pastes.shorten(LONG) == FOLDED
        assert pastes.shorten("x" * 12_345) == "[pasted 12.3k characters #2]"
        assert (
            pastes.shorten("\n" * (MAX_PASTE_LINES + 1))
            == f"[pasted {MAX_PASTE_LINES + 1} lines #3]"
        )

    def test_a_small_paste_is_not_shortened(self) -> None:
        pastes = PastePlaceholders()
        for text in ("", "word", "x" * MAX_PASTE_CHARACTERS, "x\n" * MAX_PASTE_LINES):
            assert pastes.shorten(text) == text

    def test_the_same_paste_has_one_token(self) -> None:
        pastes = PastePlaceholders()
        assert pastes.shorten(LONG) == pastes.shorten(LONG) == FOLDED

    def test_an_edited_token_is_not_expanded(self) -> None:
        pastes = PastePlaceholders()
        pastes.shorten(LONG)
        assert pastes.expand("[pasted 120 line #1]") == "[pasted 120 line #1]"

    def test_a_token_within_a_paste_is_text(self) -> None:
        pastes = PastePlaceholders()
        first = pastes.shorten(LONG)
        second = pastes.shorten(f"{OTHER}\n{first}")
        assert pastes.expand(second) == f"{OTHER}\n{first}"

    @given(st.lists(st.tuples(small, large), max_size=3))
    def test_placeholders_expand_to_the_pasted_text(self, parts: list[tuple[str, str]]) -> None:
        pastes = PastePlaceholders()
        shown = "".join(text + pastes.shorten(paste) for text, paste in parts)
        assert pastes.expand(shown) == "".join(text + paste for text, paste in parts)
        assert len(shown) < MAX_PASTE_CHARACTERS
        assert pastes.expand(pastes.collapse(pastes.expand(shown))) == pastes.expand(shown)

    @given(st.lists(large, max_size=3), st.lists(large, max_size=3))
    def test_a_draft_of_another_window_keeps_its_pastes_next_to_those_there_are(
        self, theirs: list[str], ours: list[str]
    ) -> None:
        earlier, now = PastePlaceholders(), PastePlaceholders()
        text = " and ".join(earlier.shorten(paste) for paste in theirs)
        mine = [now.shorten(paste) for paste in ours]
        adopted = now.import_draft(parse_draft(earlier.draft(text).to_json()))
        assert now.expand(adopted) == earlier.expand(text)
        assert [now.expand(token) for token in mine] == ours

    def test_a_draft_holds_only_the_pastes_in_its_text(self) -> None:
        pastes = PastePlaceholders()
        token = pastes.shorten(LONG)
        pastes.shorten(OTHER)
        assert pastes.draft(f"see {token}") == Draft(f"see {token}", {token: LONG})
        assert pastes.draft("see") == Draft("see")

    def test_the_span_of_a_token_is_found_at_its_ends(self) -> None:
        pastes = PastePlaceholders()
        line = f"a {pastes.shorten(LONG)}b"
        span = (2, 2 + len(FOLDED))
        assert pastes.placeholder_at(line, span[1], before=True) == span
        assert pastes.placeholder_at(line, span[0], before=False) == span
        for column in (0, 1, span[0], 5, span[1] + 1):
            assert pastes.placeholder_at(line, column, before=True) is None


async def test_a_large_paste_is_a_token_in_the_prompt_and_whole_in_the_message() -> None:
    async with opened() as window:
        await window.type("Explain: ")
        await window.type(LONG.replace("\n", "\r\n"))
        await window.sees(f"Explain: {FOLDED}")
        await window.press("enter")
        await window.until(lambda: bool(window.agent.turns))
        assert window.agent.turns[0].prompt == f"Explain: {LONG}"
        await window.press("up")
        await window.prompts(f"Explain: {FOLDED}")


async def test_a_token_is_deleted_as_one_and_undo_restores_it_with_its_text() -> None:
    async with opened() as window:
        await window.type("a")
        for keys in (
            ["backspace"],
            ["ctrl+w"],
            ["home", "right", "delete"],
            ["home", "right", "alt+delete"],
        ):
            await window.type(LONG)
            await window.prompts(f"a{FOLDED}")
            await window.press(*keys)
            await window.prompts("a")
            await window.press("ctrl+z")
            await window.prompts(f"a{FOLDED}")
            assert window.prompt.whole_text == f"a{LONG}"
            await window.press("end", "backspace")
            await window.prompts("a")
        await window.press("backspace")
        await window.prompts("")


async def test_an_edited_token_is_sent_as_literal_text() -> None:
    async with opened() as window:
        await window.type(LONG)
        await window.press("left", "left", "backspace", "enter")
        await window.until(lambda: bool(window.agent.turns))
        assert window.agent.turns[0].prompt == "[pasted 120 lines 1]"


async def test_a_restored_paste_is_a_token_again() -> None:
    async with opened() as window:
        await window.ask("One")
        await window.type(LONG)
        await window.press("enter")
        await window.sees("queued: line 0")
        await window.press("escape")
        await window.prompts(FOLDED)


async def test_the_window_scrolls_from_the_prompt_with_a_token_in_it() -> None:
    async with opened() as window:
        turn = await window.ask("Count")
        turn.write("\n\n".join(f"number {n}" for n in range(60)))
        turn.finish()
        await window.reads("number 59")
        await window.type(LONG)
        await window.press("pageup", "shift+up")
        await window.misses("number 59")
        await window.press("shift+down", "pagedown", "pagedown")
        await window.reads("number 59")
        assert window.prompt.text == FOLDED
