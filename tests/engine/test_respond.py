"""`EngineSession.respond`: the settings of one answer, on a scripted native side."""

import asyncio

from koel_tui.engine import TurnSettings
from koel_tui.engine.frames import StartTurn
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
