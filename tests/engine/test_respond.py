"""Settings of a single answer and a single completion, on a scripted native side."""

import asyncio

from koel_tui.engine import Delta, Finished, Progress, TextDelta, TurnSettings
from koel_tui.engine.wire_messages import PrefillProgress, StartTurn
from tests.engine.scripted import QUESTION, scripted_engine, until


async def test_settings_of_one_answer_replace_those_of_the_session() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session(max_output_tokens=9, system="Be kind.")
    own = TurnSettings(max_output_tokens=3)
    for settings, tokens in ((own, 3), (None, 9)):
        session.add(QUESTION[0])
        answering = asyncio.create_task(session.respond(settings=settings))
        await until(lambda: session.number in link.turns)
        link.say(session.number, "Hi")
        link.end(session.number)
        assert await answering == "Hi"
        command = link.sent(StartTurn)[-1]
        assert isinstance(command, StartTurn)
        assert command.settings.max_output_tokens == tokens
        assert command.settings.system == "Be kind."
    await engine.close()


async def test_settings_and_progress_of_one_completion() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session(max_output_tokens=9, system="Be kind.")
    own = TurnSettings(max_output_tokens=3, stop=("\n",))
    deltas: list[Delta] = []

    async def read() -> None:
        async for delta in session.complete("Once upon", own, progress=True):
            deltas.append(delta)

    reading = asyncio.create_task(read())
    await until(lambda: session.number in link.turns)
    link.emit(PrefillProgress(link.turns[session.number], 1, 2))
    link.say(session.number, " a")
    link.end(session.number)
    await reading
    assert deltas[-3:-1] == [Progress("reading", done=1, total=2), TextDelta(" a")]
    assert isinstance(deltas[-1], Finished)
    (command,) = link.sent(StartTurn)
    assert isinstance(command, StartTurn)
    assert (command.settings.max_output_tokens, command.settings.stop) == (3, ("\n",))
    assert (command.settings.system, session.history) == ("", ())
    await engine.close()
