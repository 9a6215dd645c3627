"""The commands on a thread: regenerate, edit, branch, set, rename, summarise."""

import pytest

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.conversation.thread_settings_form import FIELDS
from koel_tui.protocol import Sampling, TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from tests.hostile import EVERYTHING, foreign
from tests.plain.console import Plain, plain
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import messages


async def turn_of(chat: Plain, line: str) -> Turn:
    """Type a command that asks the model, and return the agent's turn."""
    before = len(chat.agent.turns)
    await chat.until(lambda: chat.console.prompting)
    await chat.enter(line)
    await chat.until(lambda: len(chat.agent.turns) > before)
    return chat.agent.turns[before]


async def answered(chat: Plain, turn: Turn, text: str) -> None:
    turn.write(text)
    turn.finish()
    await chat.prints(f"Model: {text}")
    await chat.until(lambda: chat.console.prompting)


async def test_a_regenerated_answer_is_a_branch_and_each_branch_can_be_shown() -> None:
    async with plain() as chat:
        await chat.enter("/branches")
        await chat.prints("This thread has no branches. /again and /edit create one.")
        await answered(chat, await chat.ask("Why?"), "First.")
        again = await turn_of(chat, "/again")
        assert again.prompt == "Why?"
        for refused in ("/again", "/continue", "/retry"):
            await chat.enter(refused)
            await chat.prints("An answer is being written. /stop stops it.")
        await answered(chat, again, "Second.")
        await chat.enter("/branches")
        await chat.prints("1: Model: First.")
        await chat.prints("2, shown: Model: Second.")
        await chat.enter("/branch 3")
        await chat.prints("No branch has this number. /branches lists them.")
        await chat.enter("/branch 2")
        await chat.prints("This branch is already shown.")
        await chat.enter("/branch 1")
        await chat.prints("Branch 1 is shown. /read prints its last messages.")
        await chat.until(lambda: chat.console.prompting)
        assert chat.console.said == ["You: "], "nothing of it is read unasked"
        await chat.enter("/read 1")
        await chat.prints("Model: First.")


async def test_an_edited_message_is_sent_and_the_previous_version_is_kept() -> None:
    async with plain() as chat:
        await chat.enter("/edit anything")
        await chat.prints("You have no message here to edit.")
        await answered(chat, await chat.ask("Wyh?"), "What?")
        await chat.enter("/edit")
        await chat.prints("Type the new message after the command: /edit MESSAGE.")
        edited = await turn_of(chat, "/edit Why?")
        assert [message.content for message in edited.asked.messages] == ["Why?"]
        await answered(chat, edited, "Because.")
        again = await turn_of(chat, "/again")
        await answered(chat, again, "So.")
        await chat.enter("/branches")
        for line in ("1: You: Wyh?", "2, shown: You: Why?", "3: Model: Because.",
                     "4, shown: Model: So."):  # fmt: skip
            await chat.prints(line)
        await chat.enter("/branch 1")
        await chat.prints("Branch 1 is shown. /read prints its last messages.")
        await chat.enter("/read all")
        await chat.prints("You: Wyh?")
        await chat.prints("Model: What?")


async def test_a_retry_without_a_message_prints_an_error_each_time() -> None:
    async with plain() as chat:
        for _ in range(2):
            await chat.enter("/again")
            await chat.prints("Error: There is no message to answer yet. Send one first.")


async def test_a_new_thread_starts_from_the_latest_answer() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    await storage.update_meta("t", system="Be kind.")
    async with plain() as chat:
        await chat.enter("/new-from")
        await chat.prints("There is no answer yet to start a new thread from.")
    async with plain(storage=storage, thread="t") as chat:
        await chat.prints("Thread 1 of 1: message 0, 4 messages.")
        await chat.enter("/new-from")
        await chat.prints("Thread 2 of 2: message 0 (branch), 4 messages.")
        turn = await chat.ask("Go on")
        assert len(turn.asked.messages) == 5
        assert turn.settings == TurnSettings(system="Be kind.")
        turn.finish()


async def test_a_saved_setting_that_cannot_be_used_is_reported() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", sampling={"temperature": "hot", "\x1b[2J": 1})
    async with plain(storage=storage, thread="t") as chat:
        await chat.until(lambda: any("They have no effect" in each for each in chat.console.said))
        (line,) = [each for each in chat.console.said if "They have no effect" in each]
        assert line.startswith("Error: Saved settings of this thread cannot be used: temperature, ")
        assert "\x1b" not in line
    assert (await storage.meta("t"))["sampling"] == {"temperature": "hot", "\x1b[2J": 1}


async def test_settings_are_listed_changed_refused_and_sent() -> None:
    storage = MemoryStorage()
    async with plain(storage=storage) as chat:
        await chat.enter("/settings")
        await chat.prints("system: none (default)")
        await chat.prints("temperature: 0.8 (default)")
        await chat.prints("/set NAME VALUE changes a setting, /unset NAME resets it.")
        await chat.enter("/set temperature -9")
        await chat.prints("Error: Temperature must be a number from 0 to 1000000, or empty.")
        await chat.enter("/set temprature 1")
        await chat.prints("There is no setting 'temprature'. /settings lists them.")
        await chat.enter("/set model /nowhere.gguf")
        await chat.until(lambda: any("nowhere.gguf" in line for line in chat.console.said))
        await chat.enter("/set Temperature 0.2")
        await chat.prints("From the next answer on, temperature is 0.2")
        await chat.enter("/set system You are a pirate.")
        await chat.prints("From the next answer on, system is You are a pirate.")
        await chat.enter("/set role You are a pilot.")  # the name in 0.1
        await chat.prints("From the next answer on, system is You are a pilot.")
        await chat.enter("/set system You are a pirate.")
        await chat.enter("/set seed 5")
        await chat.prints("From the next answer on, seed is 5")
        await chat.enter("/set seed")
        await chat.prints("From the next answer on, seed is random (default)")
        await chat.enter("/set dry_multiplier 0,8")
        await chat.prints("From the next answer on, dry_multiplier is 0.8")
        await chat.enter("/set stop \\nUser:, END")
        await chat.prints("From the next answer on, stop is \\nUser:, END")
        await chat.enter("/unset dry_multiplier")
        await chat.prints("From the next answer on, dry_multiplier is 0 (default)")
        await chat.enter("/unset")
        await chat.prints("Type the name of the setting: /unset NAME. /settings lists them.")
        await chat.enter("/unset nothing")
        await chat.prints("There is no setting 'nothing'. /settings lists them.")
        await chat.enter("/set")
        await chat.prints("Repetition:")
        await chat.prints("dry_multiplier: 0 (default)")
        await chat.prints("stop: \\nUser:, END")
        await chat.prints("thinking: off (default)")
        await chat.enter("/unset stop")
        await chat.prints("From the next answer on, stop is none (default)")
        await chat.enter("/settings")
        await chat.prints("system: You are a pirate.")
        await chat.prints("temperature: 0.2")
        turn = await chat.ask("Who are you?")
        assert turn.settings == TurnSettings(
            system="You are a pirate.", sampling=Sampling(temperature=0.2)
        )
        await answered(chat, turn, "Arr.")
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["sampling"] == {"temperature": 0.2}


async def test_every_setting_of_the_window_is_listed() -> None:
    async with plain() as chat:
        await chat.enter("/settings")
        for field in FIELDS:
            await chat.until(
                lambda name=field.key: any(s.startswith(f"{name}: ") for s in chat.console.said)  # type: ignore[misc]
            )


async def test_a_title_is_set_and_printed() -> None:
    storage = MemoryStorage()
    async with plain(storage=storage) as chat:
        await answered(chat, await chat.ask("Why?"), "Because.")
        await chat.enter("/title")
        await chat.prints("This thread is called “Why?”.")
        await chat.enter("/title  The  sea\x1b]0;owned\x07")
        await chat.until(lambda: any("called “The sea" in line for line in chat.console.said))
        assert foreign("".join(chat.console.said).encode()) == []
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["title"].startswith("The sea")


async def test_queued_messages_are_listed_and_can_be_restored_to_the_prompt() -> None:
    async with plain() as chat:
        await chat.enter("/queue")
        await chat.prints("No messages are queued.")
        turn = await chat.ask("one")
        await chat.enter("two")
        await chat.enter("three")
        await chat.enter("/queue")
        await chat.prints("1: two")
        await chat.prints("2: three")
        await chat.enter("/queue 7")
        await chat.prints("No queued message has this number. /queue lists them.")
        await chat.enter("/queue 1")
        await chat.prints("The message is not sent. You can edit it after the answer.")
        await chat.enter("/queue")
        await chat.prints("1: three")
        turn.finish()
        await chat.until(lambda: len(chat.agent.turns) == 2)
        assert chat.agent.turns[1].prompt == "three"
        chat.agent.turns[1].finish()
        await chat.until(lambda: chat.console.typed_text == "two")


async def test_report_10_a_large_paste_taken_back_from_the_queue_is_its_placeholder() -> None:
    pastes = PastePlaceholders()
    large = "".join(f"/quit {number}\n" for number in range(100))
    async with plain(pastes=pastes) as chat:
        turn = await chat.ask("one")
        await chat.enter(pastes.fold(large))
        await chat.prints("Queued. It is sent after the answer.")
        await chat.enter("/queue 1")
        await chat.prints("The message is not sent. You can edit it after the answer.")
        turn.finish()
        await chat.until(lambda: chat.console.typed_text == pastes.fold(large))


async def test_a_summary_begins_a_new_thread_and_keeps_typed_text() -> None:
    async with plain() as chat:
        await chat.prints("The model is ready: Scripted-1B.")
        await chat.enter("/summary")
        await chat.prints("This thread has no messages to summarise yet.")
        await answered(chat, await chat.ask("Why?"), "Because.")
        await chat.enter("/set temperature 0.5")
        turn = await turn_of(chat, "/summary")
        await chat.prints("A new thread opens when the summary is ready.")
        await chat.enter("/new")
        await chat.prints("Thread 2 of 2: New thread, 0 messages.")
        await chat.until(lambda: chat.console.prompting)
        turn.write("It was\x1b[2J said.")
        turn.finish()
        await chat.prints("Thread 3 begins with a summary of “Why?”. /tab 3 goes there.")
        await chat.enter("/tab 3")
        await chat.prints("You: What we talked about before, in short:")
        await chat.until(lambda: "It was" in chat.console.typed_text)
        assert "\x1b" not in chat.console.typed_text
        turn = await chat.ask(chat.console.typed_text)
        assert str(turn.prompt).startswith("What we talked about")
        assert turn.settings == TurnSettings(sampling=Sampling(temperature=0.5))
        turn.finish()


async def test_a_title_is_found_when_the_model_has_nothing_else_to_do() -> None:
    storage, agent = MemoryStorage(), ScriptedAgent()
    async with plain(
        agent=agent,
        connect=lambda: Backend(KoelClient(agent, storage=storage), storage, agent, titles=True),
    ) as chat:
        await chat.prints("The model is ready: Scripted-1B.")
        turn = await chat.ask("Why is the sea salty?")
        turn.measure(model="Scripted-1B", prompt_tokens=1, context_tokens=100)
        await answered(chat, turn, "Because.")
        await chat.until(lambda: len(agent.turns) == 2)
        agent.turns[1].write("The salt of the sea")
        agent.turns[1].finish()
        await chat.until(lambda: chat.chat._workspace.active.title == "The salt of the sea")


@pytest.mark.parametrize("command", ["/branches", "/settings", "/title"])
async def test_hostile_text_is_printed_sanitized(command: str) -> None:
    async with plain() as chat:
        await answered(chat, await chat.ask("Why?"), "Because.")
        edited = await turn_of(chat, f"/edit {EVERYTHING}")
        edited.finish()
        await chat.until(lambda: chat.console.prompting)
        await chat.enter(f"/set system {EVERYTHING}")
        await chat.until(lambda: any("on, system is" in s for s in chat.console.said))
        await chat.enter(command)
        await chat.until(lambda: chat.console.prompting)
        assert foreign("".join(chat.console.said).encode()) == []
