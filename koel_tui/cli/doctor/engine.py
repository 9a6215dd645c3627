"""The check of the engine: it is started as in the app, generates a token and is closed."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit, exit_code
from koel_tui.formatting import format_bytes

if TYPE_CHECKING:
    from koel_tui.settings import Settings

_TIMEOUT_S = 300.0
"""Timeout in seconds for the whole check; a large model on a slow disk takes minutes."""


@dataclass(frozen=True, slots=True)
class EngineTest:
    """The result of starting the engine; `error` and `code` are set if it failed.

    Times are in seconds. `memory` is that of the runner in bytes. The engine has at most `slots`
    contexts of `context_tokens` tokens.
    """

    model: str
    load_s: float = 0.0
    token_s: float = 0.0
    memory: int = 0
    slots: int = 0
    context_tokens: int = 0
    notice: str = ""
    error: str = ""
    code: Exit = Exit.OK


async def run_engine_test(settings: "Settings", model: Path) -> EngineTest:
    """Start the runner process with a model, generate a token, and end the process."""
    from koel_tui.engine import EngineError

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            # A temporary log, so that the check leaves no files behind.
            with tempfile.TemporaryDirectory() as folder:
                return await _run(settings, model, Path(folder) / "log")
    except EngineError as error:
        # Remove the advice to send again and to read the log; neither applies here.
        text = str(error).partition(" Details are in")[0].partition(" Send again")[0]
        return EngineTest(model.name, error=text, code=exit_code(error))
    except TimeoutError:
        error_text = f"No token was written within {_TIMEOUT_S:.0f} s"
        return EngineTest(model.name, error=error_text, code=Exit.ENGINE_DIED)


async def _run(settings: "Settings", model: Path, log: Path) -> EngineTest:
    import psutil

    from koel_tui.cli.wiring import model_spec
    from koel_tui.engine import ChatMessage, Engine, Sampling
    from koel_tui.engine.runner.process_transport import ProcessTransport

    link = ProcessTransport(log)
    engine = Engine(
        link,
        model_spec(settings, model),
        max_sessions=settings.max_sessions,
        parallel=settings.parallel,
    )
    start = time.perf_counter()
    try:
        info = await engine.start()
        loaded = time.perf_counter()
        session = await engine.open_session(
            max_output_tokens=1,
            sampling=Sampling(temperature=0),
            chat_template=settings.chat_template,
        )
        session.add(ChatMessage("user", "Hello"))
        await session.respond()
        written = time.perf_counter()
        memory = 0 if link.pid is None else psutil.Process(link.pid).memory_info().rss
    finally:
        await engine.close()
    return EngineTest(
        model.name,
        load_s=loaded - start,
        token_s=written - loaded,
        memory=memory,
        slots=info.slots,
        context_tokens=info.context_tokens,
        notice=info.notice,
    )


def evaluate(test: EngineTest) -> Finding:
    """Return the finding about the engine."""
    if test.error:
        advice = f"Test the file: koel-chat models probe {test.model}. Or choose another model."
        return problem("start", test.error, advice, test.code)
    text = (
        f"{test.model} loaded in {test.load_s:.1f} s, first token after "
        f"{test.token_s:.2f} s; {format_bytes(test.memory)}, up to {test.slots} contexts of "
        f"{test.context_tokens:,} tokens"
    )
    if test.notice:
        what, _, advice = test.notice.rpartition(". ")
        return warning("start", f"{text}. {what}", advice)
    return Finding("start", text)


def evaluate_instructions(found: "tuple[str, ...] | Exception") -> Finding:
    """Return the finding about the instruction sets that llama.cpp was built for."""
    if isinstance(found, tuple) and found:
        return Finding("llama.cpp", f"uses {', '.join(found)}")
    if isinstance(found, tuple):
        advice = "It may be slow. Install a build for this processor."
        return warning("llama.cpp", "uses no special instructions of this processor", advice)
    advice = "Reinstall llama-cpp-python: pip install --force-reinstall llama-cpp-python"
    return problem("llama.cpp", f"cannot be loaded: {found}", advice, Exit.ENGINE_DIED)
