"""The plain mode: its output, its input, and its exit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from koel_tui.conversation.backend import Backend
from koel_tui.engine import ModelLoadError
from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.session import ThreadSettings
from koel_tui.storage import MemoryStorage
from tests.plain.console import Plain, plain
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import messages


def test_plain_mode_imports_nothing_of_the_window() -> None:
    code = "import sys, koel_tui.plain.chat, koel_tui.plain.terminal; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"textual", "pydantic", "ag_ui", "koel_tui.storage"}


async def test_an_answer_is_printed_in_lines_each_once() -> None:
    async with plain() as chat:
        await chat.prints("koel-chat, plain mode. /help lists the commands.")
        await chat.prints("Thread 1 of 1: New thread, 0 messages.")
        turn = await chat.ask("Why?")
        for _ in range(3):
            turn.report(phase="reading", fraction=0.5)
        await chat.prints("Model is reading the prompt…")
        turn.write("\n\nBecause of the rivers that carry the salt. There")
        await chat.prints("Model: Because of the rivers that carry the salt.")
        turn.write(" is\x1b[31m more.\nLast")
        await chat.prints("There is␛[31m more.")
        turn.finish()
        await chat.prints("Last")
        await chat.until(lambda: chat.console.prompting)
        assert chat.console.said == ["You: "]


async def test_report_19_windows_line_ends_are_printed_without_a_mark() -> None:
    async with plain() as chat:
        turn = await chat.ask("Why?")
        turn.write("One\r")
        turn.write("\ntwo.\r\nThree.\r\n")
        turn.finish()
        await chat.prints("Model: One")
        await chat.prints("two.")
        await chat.prints("Three.")


async def test_report_41_turns_that_did_not_fit_are_printed() -> None:
    async with plain() as chat:
        turn = await chat.ask("Why?")
        turn.write("So.")
        turn.measure(model="M", trimmed_turns=3, context_tokens=256)
        turn.finish()
        await chat.prints("The oldest 3 turns did not fit the context and were left out.")


async def test_b36_a_window_beyond_the_training_is_printed_with_the_model() -> None:
    agent = ScriptedAgent()
    agent.notice = "The window is larger than what the model was trained for."
    async with plain(agent=agent) as chat:
        await chat.prints("The model is ready: Scripted-1B.")
        await chat.prints("The window is larger than what the model was trained for.")


async def test_b36_a_window_beyond_the_training_of_a_thread_model_is_printed_once() -> None:
    notice = "The context of 9,216 tokens is larger than the 4,096 that Own-1B was trained for."
    async with plain() as chat:
        await chat.prints("The model is ready: Scripted-1B.")
        active = chat.chat._workspace.active
        await active.configure("", ThreadSettings(model="/models/own.gguf"))
        for question in ("First", "Second"):
            turn = await chat.ask(question)
            assert turn.model == "/models/own.gguf"
            turn.write("Yes")
            turn.measure(model="Own-1B", output_tokens=1, notice=notice)
            turn.finish()
            await chat.until(lambda: chat.console.prompting)
        answers = chat.console.said.index("Model: Yes")
        assert chat.console.said[answers + 1] == notice
        assert chat.console.said.count(notice) == 1


async def test_lines_typed_during_an_answer_are_commands_or_wait_for_its_end() -> None:
    async with plain() as chat:
        first = await chat.ask("one")
        await chat.enter("two")
        await chat.prints("Queued. It is sent after the answer.")
        await chat.enter("/tabs")
        await chat.prints("1: one, 1 message, the model is answering, you are here.")
        first.write("First answer.")
        first.finish()
        await chat.prints("Model: First answer.")
        await chat.prints("You: two")
        await chat.until(lambda: len(chat.agent.turns) == 2)
        chat.agent.turns[1].write("Second")
        await chat.until(lambda: chat.chat._workspace.active.last_answer == "Second")
        await chat.enter("/stop")
        await chat.prints("Model: Second")
        await chat.prints("The answer was stopped. /continue continues it.")
        await chat.enter("/continue")
        await chat.until(lambda: len(chat.agent.turns) == 3)
        chat.agent.turns[2].continue_answer()
        chat.agent.turns[2].write(" answer.")
        chat.agent.turns[2].finish()
        await chat.prints("Model: answer.")
        await chat.until(lambda: chat.console.prompting)
        await chat.enter("/read 1")
        await chat.prints("Model: Second answer.")


async def test_threads_continue_in_the_background_and_are_read_on_return() -> None:
    async with plain() as chat:
        turn = await chat.ask("one")
        await chat.enter("/new")
        await chat.prints("Thread 2 of 2: New thread, 0 messages.")
        turn.write("Answer one.")
        turn.finish()
        await chat.prints("Thread 1 is done: one, 2 messages.")
        await chat.enter("/tab 1")
        await chat.prints("Thread 1 of 2: one, 2 messages.")
        await chat.prints("Model: Answer one.")
        await chat.enter("/tab 7")
        await chat.prints("No open thread has this number. /tabs lists them.")
        await chat.enter(f"/tab {'9' * 5000}")
        await chat.prints("No open thread has this number. /tabs lists them.")
        await chat.enter("/close")
        await chat.prints("Closed: one.")
        await chat.prints("Thread 1 of 1: New thread, 0 messages.")
        await chat.enter("/nonsense")
        await chat.prints("Unknown command /nonsense. /help lists the commands.")


async def test_saved_threads_are_listed_opened_and_read() -> None:
    storage = MemoryStorage()
    await storage.save("t1", messages(4))
    async with plain(storage=storage) as chat:
        await chat.enter("/list")
        await chat.until(lambda: any(s.startswith("message 0, 20") for s in chat.console.said))
        await chat.enter("/open nothing")
        await chat.prints("No saved thread is called 'nothing'. /list lists all.")
        await chat.enter("/open t1")
        await chat.prints("Thread 1 of 1: message 0, 4 messages.")
        await chat.enter("/read")
        await chat.prints("You: message 2")
        await chat.prints("Model: message 3")
        assert "You: message 0" not in chat.console.said
        await chat.enter("/read all")
        await chat.prints("You: message 0")
    async with plain(storage=storage, thread="t1") as chat:
        await chat.prints("Thread 1 of 1: message 0, 4 messages.")


async def test_an_error_has_its_cause_and_the_next_step() -> None:
    async with plain() as chat:
        await chat.enter("one\\")
        await chat.prints("More: ")
        turn = await chat.ask("two")
        assert turn.prompt == "one\ntwo"
        turn.fail("The engine died.")
        await chat.prints("Error: The engine died.")
        await chat.prints("/retry tries again. The up arrow restores your message.")


async def tried_again(chat: Plain) -> Turn:
    begun = len(chat.agent.turns)
    await chat.enter("/retry")
    await chat.until(lambda: len(chat.agent.turns) > begun)
    return chat.agent.turns[begun]


async def test_b20_a_model_without_a_template_is_answered_after_a_choice() -> None:
    async with plain() as chat:
        turn = await chat.ask("Once upon a time")
        turn.fail("base has no chat template.", "ChatTemplateError")
        await chat.prints("Error: base has no chat template.")
        await chat.prints(
            "/set chat_template NAME chooses one of chatml, gemma, llama3, mistral, none; "
            "none completes the text without a template."
        )
        await chat.until(lambda: chat.console.prompting)
        await chat.enter("/set chat_template none")
        again = await tried_again(chat)
        assert again.prompt == "Once upon a time"
        assert again.settings is not None and again.settings.chat_template == "none"


async def test_b20_the_built_in_template_that_fits_the_model_is_named() -> None:
    agent = ScriptedAgent()
    agent.fitting_template = "gemma"
    async with plain(agent=agent) as chat:
        await chat.prints("The model is ready: Scripted-1B.")
        turn = await chat.ask("Once upon a time")
        turn.fail("base has no chat template.", "ChatTemplateError")
        await chat.prints(
            "/set chat_template NAME chooses one of chatml, gemma, llama3, mistral, none; "
            "none completes the text without a template. gemma fits the model."
        )


async def test_a_failed_answer_that_has_begun_can_be_continued() -> None:
    hint = "/retry tries again. The up arrow restores your message."
    async with plain() as chat:
        (await chat.ask("one")).fail("The engine died.")
        await chat.prints(hint)  # no answer to continue
        turn = await tried_again(chat)
        turn.write("Half")
        turn.fail("The engine died.")
        await chat.prints(f"{hint} /continue continues the answer.")
        await chat.until(lambda: chat.console.prompting)
        await chat.enter("/continue")
        await chat.until(lambda: len(chat.agent.turns) == 3)
        turn = chat.agent.turns[2]
        turn.continue_answer()
        turn.write(" and whole.")
        turn.finish()
        await chat.until(lambda: chat.chat._workspace.active.last_answer == "Half and whole.")


async def test_a_failed_turn_is_retried_and_each_result_is_printed() -> None:
    async with plain() as chat:
        (await chat.ask("one")).fail("The engine died.")
        await chat.prints("Error: The engine died.")
        for _ in range(2):
            turn = await tried_again(chat)
            assert turn.prompt == "one"
            turn.fail("The engine died.")
            await chat.prints("Error: The engine died.")
        turn = await tried_again(chat)
        turn.write("At last.")
        turn.finish()
        await chat.prints("Model: At last.")
        await chat.enter("/retry")
        await chat.prints("Error: No answer failed, so there is nothing to retry.")


async def test_a_failed_model_load_is_printed_and_available_after_the_end() -> None:
    agent = ScriptedAgent(load_at_once=False)
    async with plain(agent=agent) as chat:
        await chat.until(lambda: chat.console.prompting)
        agent.end_load(ModelLoadError("Not a model. Try another."))
        await chat.prints("Error: No model: Not a model. Try another.")
    assert isinstance(chat.chat.fatal_error, ModelLoadError)


async def test_a_start_that_fails_ends_at_once() -> None:
    def connect() -> Backend:
        raise ValueError("no directory")

    async with plain(connect=connect) as chat:
        assert await chat.end() == 0
    assert str(chat.chat.fatal_error) == "no directory"


async def test_ctrl_c_stops_the_answer_and_twice_quits_with_130() -> None:
    storage = MemoryStorage()
    async with plain(storage=storage) as chat:
        turn = await chat.ask("one")
        turn.write("Half an ans")
        await chat.until(lambda: chat.chat._workspace.active.last_answer != "")
        os.kill(os.getpid(), signal.SIGINT)
        await chat.prints("Model: Half an ans")
        await chat.prints("The answer was stopped. /continue continues it.")
        os.kill(os.getpid(), signal.SIGINT)
        assert await chat.end() == 130
    (thread_id,) = await storage.list_threads()
    saved = await storage.load(thread_id)
    assert saved is not None
    assert [each.content for each in saved.messages] == ["one", "Half an ans"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_saves_the_answer_and_ends_with_its_code(
    number: signal.Signals, code: int
) -> None:
    storage = MemoryStorage()
    async with plain(storage=storage) as chat:
        turn = await chat.ask("one")
        turn.write("Half")
        await chat.until(lambda: chat.chat._workspace.active.last_answer == "Half")
        os.kill(os.getpid(), number)
        assert await chat.end() == code
    (thread_id,) = await storage.list_threads()
    saved = await storage.load(thread_id)
    assert saved is not None and saved.messages[-1].content == "Half"


async def test_a_closed_terminal_ends_the_chat() -> None:
    async with plain() as chat:
        turn = await chat.ask("one")
        chat.console.gone = True
        turn.write("line\n")
        assert await chat.end() == 129


async def test_the_end_of_input_quits() -> None:
    async with plain() as chat:
        await chat.enter(None)
        assert await chat.end() == 0


async def test_tabs_drafts_and_history_are_restored(tmp_path: Path) -> None:
    storage = MemoryStorage()
    home = tmp_path / "state"
    async with plain(storage=storage, home=home) as chat:
        turn = await chat.ask("one")
        turn.write("Answer.")
        turn.finish()
        await chat.prints("Model: Answer.")
        await chat.until(lambda: chat.console.prompting)
        chat.console.typed_text = "half a thou"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await chat.end() == 143
    async with plain(storage=storage, home=home) as chat:
        await chat.prints("Thread 1 of 1: one, 2 messages.")
        await chat.until(lambda: chat.console.prompting)
        assert chat.console.typed_text == "half a thou"
        assert chat.console.history == ["one"]
        await chat.enter("another")
        await chat.until(lambda: len(chat.agent.turns) == 1)
        assert [message.role for message in chat.agent.turns[0].asked.messages] == [
            "user", "assistant", "user",
        ]  # fmt: skip


async def test_a_saved_tool_call_is_not_announced_when_its_thread_is_opened() -> None:
    call = ToolCall("c", "weather", '{"city": "Bonn"}')
    storage = MemoryStorage()
    await storage.save("t1", ChatState(messages=(
        Message("u", "user", "What is it like?"),
        Message("a", "assistant", "I look.", tool_calls=(call,)),
        Message("r", "tool", "sunny", tool_call_id="c"),
    )))  # fmt: skip
    async with plain(storage=storage, thread="t1") as chat:
        await chat.until(lambda: any("is ready" in line for line in chat.console.said))
        await chat.until(lambda: chat.console.prompting)
        assert not [line for line in chat.console.said if "weather" in line]


async def test_report_10_a_message_with_a_slash_is_never_recalled_as_a_command(
    tmp_path: Path,
) -> None:
    storage = MemoryStorage()
    home = tmp_path / "state"
    async with plain(storage=storage, home=home) as chat:
        turn = await chat.ask("//quit is a command")
        assert turn.prompt == "/quit is a command"
        turn.finish()
        await chat.until(lambda: chat.console.prompting)
        chat.console.typed_text = "//quit now"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await chat.end() == 143
    async with plain(storage=storage, home=home) as chat:
        await chat.until(lambda: chat.console.prompting)
        assert chat.console.typed_text == "//quit now"
        assert chat.console.history == ["//quit is a command"]


async def test_report_10_a_message_of_several_lines_is_not_a_command() -> None:
    async with plain() as chat:
        turn = await chat.ask("one\n/quit\nthree ")
        assert turn.prompt == "one\n/quit\nthree "
        await chat.enter("four\n/stop")
        await chat.prints("Queued. It is sent after the answer.")
        turn.finish()
        await chat.until(lambda: len(chat.agent.turns) == 2)
        assert chat.agent.turns[1].prompt == "four\n/stop"
        chat.agent.turns[1].finish()
