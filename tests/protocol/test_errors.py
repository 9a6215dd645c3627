import ssl

import pytest

from koel_tui.protocol import AgentError, KoelError, ProtocolError, TransportError, classify


@pytest.mark.parametrize(
    ("error", "family", "code"),
    [
        (TimeoutError("slow"), TransportError, "timeout"),
        (ConnectionRefusedError("no"), TransportError, "refused"),
        (ConnectionResetError("cut"), TransportError, "closed"),
        (EOFError(), TransportError, "closed"),
        (ssl.SSLCertVerificationError("bad"), TransportError, "tls"),
        (ValueError("odd"), AgentError, "unknown"),
        (KeyboardInterrupt(), AgentError, "unknown"),
    ],
)
def test_every_exception_has_a_family(
    error: BaseException, family: type[KoelError], code: str
) -> None:
    known = classify(error)
    assert type(known) is family
    assert known.code == code
    assert known.cause is error
    assert known.message


def test_a_classified_error_stays_itself() -> None:
    error = ProtocolError("odd")
    assert classify(error) is error


def test_errors_are_equal_by_value_regardless_of_their_cause() -> None:
    assert AgentError("a", cause=ValueError()) == AgentError("a")
    assert AgentError("a") != AgentError("b")
    assert AgentError("a") != AgentError("a", agent_code="x")
    assert AgentError("a") != TransportError("a")
    assert len({AgentError("a"), AgentError("a", cause=ValueError())}) == 1
