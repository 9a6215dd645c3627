"""Model files without a chat template, and the option that chooses one."""

import json
from pathlib import Path

import pytest

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from tests.cli.commands import koel
from tests.engine.tiny_models import write_sliding_model


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(write_sliding_model(tmp_path / "base.gguf", template=""))


def test_report_20_ask_completes_the_text_where_there_is_no_template_and_says_so(base: str) -> None:
    short = ("--model", base, "--max-output-tokens", "4", "Hello")
    done = koel("ask", *short)
    assert done.returncode == 0 and done.stdout.strip()
    assert "base has no chat template, so it only completes the text" in done.stderr
    assert "Use --chat-template chatml for an answer." in done.stderr
    chosen = koel("ask", "--chat-template", "none", *short)
    assert (chosen.stdout, chosen.returncode) == (done.stdout, 0)
    assert "template" not in chosen.stderr
    chatml = koel("ask", "--chat-template", "chatml", *short)
    assert chatml.returncode == 0 and chatml.stdout != done.stdout
    assert "template" not in chatml.stderr


def test_report_3_ask_says_that_a_model_spent_the_limit_on_thinking(tmp_path: Path) -> None:
    template = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\\n' }}"
    model = str(write_sliding_model(tmp_path / "thinker.gguf", template))
    done = koel("ask", "--json", "--model", model, "--max-output-tokens", "8", "Why?")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["text"], answer["finish_reason"]) == (65, "", "length")
    assert len(answer["thinking"]) == 8  # one token is one letter
    assert "The model only thought and wrote no answer." in done.stderr
    assert "larger --max-output-tokens" in done.stderr


def test_ask_completes_text_with_a_model_that_has_a_template() -> None:
    arguments = ("--json", "--max-output-tokens", "4", "The capital of France is")
    done = koel("ask", "--chat-template", "none", *arguments)
    assert json.loads(done.stdout)["text"].startswith(" Paris")
    configured = koel("ask", *arguments, environment={"KOEL_CHAT_TEMPLATE": "none"})
    assert json.loads(configured.stdout)["text"] == json.loads(done.stdout)["text"]


def test_the_own_template_replaces_the_configured_one_for_one_command() -> None:
    arguments = ("--json", "--max-output-tokens", "6", "Say hello.")
    configured = {"KOEL_CHAT_TEMPLATE": "none"}
    own = koel("ask", "--chat-template", "own", *arguments, environment=configured)
    plain = koel("ask", *arguments, environment=configured)
    default = koel("ask", *arguments)
    assert json.loads(own.stdout)["text"] == json.loads(default.stdout)["text"]
    assert json.loads(own.stdout)["text"] != json.loads(plain.stdout)["text"]


def test_report_20_probe_reports_the_template(
    base: str, starter_path: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # the second result is remembered
        said = koel("models", "probe", base).stdout
        assert "It has no chat template." in said and "--chat-template chatml" in said
        found = json.loads(koel("models", "probe", "--json", base).stdout)
        assert (found["has_template"], found["fitting_template"]) == (False, "chatml")
    assert "It has a chat template." in koel("models", "probe", str(starter_path)).stdout


def test_report_20_doctor_reports_a_missing_template(base: str) -> None:
    koel("models", "probe", base)
    environment = {"KOEL_MODEL": base}
    said = " ".join(koel("doctor", environment=environment).stdout.split())
    assert "no chat template" in said and "--chat-template chatml" in said
    chosen = {**environment, "KOEL_CHAT_TEMPLATE": "chatml"}
    assert "no chat template" not in koel("doctor", environment=chosen).stdout
