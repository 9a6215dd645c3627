"""The check of the engine: it is started as in the app, generates a token and is closed."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit, exit_of

if TYPE_CHECKING:
    from koel_tui.settings import Settings

_PATIENCE_S = 300.0
"""Timeout in seconds for the whole check; a large model on a slow disk takes minutes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of starting the engine; `error` and `code` are set if it failed.

    Times are in seconds, `memory` is in bytes of the runner; `slots` contexts of `window` tokens.
    """

    model: str
    load_s: float = 0.0
    token_s: float = 0.0
    memory: int = 0
    slots: int = 0
    window: int = 0
    notice: str = ""
    error: str = ""
    code: Exit = Exit.OK


async def try_out(settings: "Settings", model: Path) -> Trial:
    """Start the runner process with a model, generate a token, and end the process."""
    from koel_tui.engine import EngineError

    try:
        async with asyncio.timeout(_PATIENCE_S):
            # A temporary log, so that the check leaves no files behind.
            with tempfile.TemporaryDirectory() as folder:
                return await _started(settings, model, Path(folder) / "log")
    except EngineError as error:
        # Remove the advice to send again and to read the log; neither applies here.
        said = str(error).partition(" Details are in")[0].partition(" Send again")[0]
        return Trial(model.name, error=said, code=exit_of(error))
    except TimeoutError:
        error_text = f"Nothing was written within {_PATIENCE_S:.0f} s"
        return Trial(model.name, error=error_text, code=Exit.ENGINE_DIED)


async def _started(settings: "Settings", model: Path, log: Path) -> Trial:
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
    begin = time.perf_counter()
    try:
        card = await engine.start()
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
    return Trial(
        model.name,
        load_s=loaded - begin,
        token_s=written - loaded,
        memory=memory,
        slots=card.slots,
        window=card.context_tokens,
        notice=card.notice,
    )


def judge(trial: Trial) -> Finding:
    """Return the finding about the engine."""
    if trial.error:
        advice = f"Try the file alone: koel-chat models probe {trial.model}; or choose another."
        return problem("start", trial.error, advice, trial.code)
    said = (
        f"{trial.model} loaded in {trial.load_s:.1f} s, the first token came after "
        f"{trial.token_s:.2f} s; {trial.memory / 1e6:,.0f} MB, {trial.slots} contexts of "
        f"{trial.window:,} tokens"
    )
    if trial.notice:
        what, _, advice = trial.notice.rpartition(". ")
        return warning("start", f"{said}. {what}", advice)
    return Finding("start", said)


def judge_instructions(found: "tuple[str, ...] | Exception") -> Finding:
    """Return the finding about the instruction sets that llama.cpp was built for."""
    if isinstance(found, tuple) and found:
        return Finding("llama.cpp", f"uses {', '.join(found)}")
    if isinstance(found, tuple):
        advice = "It may be slow. Install a build for this processor."
        return warning("llama.cpp", "uses no special instructions of this processor", advice)
    advice = "Install llama-cpp-python again: pip install --force-reinstall llama-cpp-python"
    return problem("llama.cpp", f"cannot be loaded: {found}", advice, Exit.ENGINE_DIED)
