"""The exit codes of `ask` after a failed run, by kind of error."""

from collections.abc import Callable

import pytest

from koel_tui.protocol import (
    AgentError,
    BusinessError,
    ProtocolError,
    TransportError,
    classify,
    error_event,
)
from tests.cli.asking import answer_of
from tests.cli.commands import Said
from tests.ui.scripted import Turn


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentError("It broke.", "refused"), 65),
        (AgentError("It broke.", "tool_failed"), 1),
        (AgentError("It broke.", agent_code="ModelLoadError"), 66),
        (ProtocolError("It broke."), 1),
        (TransportError("It broke.", "refused"), 69),
        (TransportError("It broke.", "timeout", status=504), 69),
        (ConnectionResetError("It broke."), 69),
        (BusinessError("It broke.", "rate", details={"after": 3}), 69),
        (BusinessError("It broke.", "quota"), 69),
        (BusinessError("It broke.", "auth"), 77),
        (BusinessError("It broke.", "forbidden"), 77),
    ],
)
@pytest.mark.parametrize("raised", [True, False])
def test_a_failed_run_has_the_code_of_its_error(
    error: Exception, code: int, raised: bool, asked: Callable[..., Said]
) -> None:
    def play(turn: Turn) -> None:
        if raised:
            raise error
        turn.end(error_event(classify(error)))

    said = asked("Hi", "--json", play=play)
    assert (said.code, said.err) == (code, "koel-chat: It broke.\n")
    assert answer_of(said.out)["error"] == "It broke."
