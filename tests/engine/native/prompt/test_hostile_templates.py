"""Hostile chat templates: they cannot run commands or exhaust CPU time or memory."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from koel_tui.chat_templates import CHATML
from koel_tui.engine import (
    ChatMessage,
    ChatTemplateError,
    Engine,
    EngineSession,
    ModelSpec,
    Sampling,
)
from koel_tui.engine.native.prompt import chat_template as module
from koel_tui.engine.native.prompt import template_process, template_sandbox
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from tests.engine.tiny_models import write_sliding_model
from tests.hostile_summary import Tally

HELLO = [ChatMessage("user", "hello")]
MEGABYTE = 1024 * 1024

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.append(1) }}",
    "{{ messages.clear() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment.loader.x }}",
    "{{ lipsum.__globals__['os'].system('id') }}",
    "{{ raise_exception.__globals__['sys'].exit() }}",
    "{{ strftime_now.__closure__[0] }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}{{ (''|attr('__class__')).mro() }}",
    "{{ joiner.__init__['__globals__']['__builtins__']['open']('/etc/passwd').read() }}",
    "{{ request.application.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.getcwd() }}",
    "{% extends '/etc/passwd' %}",
]
ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "{% set ns = namespace(n=10) %}{% for i in range(9) %}{% set ns.n = ns.n ** 10 %}{% endfor %}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    "{% set m = namespace(x=[1]) %}{% for i in range(60) %}{% set m.x = [m.x, m.x] %}{% endfor %}"
    "{{ n.x == m.x }}",
    "{{ (range(99999) | list | string * 99) | wordwrap(1) | length }}",
]
BOMBS = [
    "{{ 'x' * 10**10 }}",
    "{{ [0] * 10**10 }}",
    "{{ '%5000000000d' % 1 }}",
    "{{ '{:>5000000000}'.format(1) }}",
    "{{ 'x' | center(5000000000) }}",
    "{{ 'x'.ljust(5000000000) }}",
    "{{ messages | tojson(indent=999999999) }}",
    "{{ (5).to_bytes(5000000000, 'big') }}",
    "{{ range(10**9) | list }}",
    "{{ lipsum(n=99999999) }}",
    "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    "{{ n.x }}",
    "{% set x %}{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}{% endset %}{{ x }}",
    "{% for i in range(99999) %}hello {% endfor %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "not " * 50_000 + "1 }}",
    "{{ 1" + " + 1" * 50_000 + " }}",
    "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "{% if a %}" + "{% elif a %}" * 20_000 + "{% endif %}",
    "x" * (module.MAX_SOURCE_CHARACTERS + 1),
]


def rendered(source: str) -> str:
    """Return a greeting rendered by a template."""
    template = ChatTemplate(source, model="tiny", bos="<s>", eos="</s>")
    try:
        return template.render(HELLO).text
    finally:
        template.close()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that is created only if a command is run."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def spent() -> float:
    """Return the CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_cannot_leave_its_sandbox(source: str, canary: Path, tally: Tally) -> None:
    with pytest.raises(ChatTemplateError, match="template of tiny"):
        rendered(source.replace("'id'", f"'touch {canary}'"))
    tally("hostile chat template", tried=1)


@pytest.fixture
def limit_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """Set a shorter CPU limit and return it, because a template that reaches it uses all of it."""
    source = Path(template_sandbox.__file__).read_text()
    shorter = source.replace(f"CPU_LIMIT_S = {template_sandbox.CPU_LIMIT_S}", "CPU_LIMIT_S = 0.4")
    assert shorter != source
    program = tmp_path / "sandbox.py"
    program.write_text(shorter)
    monkeypatch.setattr(template_process, "_PROGRAM", program)
    return 0.4


@pytest.mark.parametrize("source", [*ENDLESS, *BOMBS], ids=lambda source: source[:50])
@pytest.mark.timeout(30)
def test_a_template_cannot_exceed_the_time_and_memory_limits(
    source: str, limit_s: float, tally: Tally
) -> None:
    before = spent()
    with pytest.raises(ChatTemplateError, match=r"template of tiny (failed|cannot be read)"):
        rendered(source)
    assert spent() - before < limit_s + 1  # one more second for the start of the process
    tally("hostile chat template", tried=1)


@pytest.mark.parametrize(
    "way", ["open(canary, 'w')", "open('/etc/passwd')", "import socket; socket.socket()"]
)
def test_the_template_process_cannot_open_files_or_sockets(
    way: str, canary: Path, tally: Tally
) -> None:
    """Code that escapes Jinja's sandbox cannot open a file descriptor."""
    script = (
        "import socket\nfrom koel_tui.engine.native.prompt import template_sandbox as sandbox\n"
        f"canary = {str(canary)!r}\nsandbox._lock_down()\n"
    )
    closed = subprocess.run(
        [sys.executable, "-c", script + way], capture_output=True, text=True, timeout=30
    )
    assert closed.returncode and "Too many open files" in closed.stderr
    tally("hostile chat template", tried=1)


def test_control_characters_of_a_template_are_passed_to_the_model(
    tally: Tally,
) -> None:
    assert rendered("{{ '\x1b]0;owned\x07' }}hello") == "\x1b]0;owned\x07hello"
    with pytest.raises(ChatTemplateError) as raised:
        rendered("{{ raise_exception('\x1b]0;owned\x07') }}")
    assert "template of tiny" in str(raised.value)  # each place that shows it sanitizes it
    tally("hostile chat template", tried=2)


WEIGH = """
import json, resource, sys
from koel_tui.engine import ChatMessage, EngineError
from koel_tui.engine.native.prompt.chat_template import ChatTemplate

for source in json.load(sys.stdin):
    try:
        ChatTemplate(source, model="tiny", bos="", eos="").render([ChatMessage("user", "hello")])
    except EngineError:
        pass
# Of this process itself the kernel also counts what it was forked from: the whole test run.
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def weight(*sources: str) -> int:
    """Return the peak memory, in bytes, of the largest process that renders these templates."""
    done = subprocess.run(
        [sys.executable, "-c", WEIGH],
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return int(done.stdout) * 1024


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not enforce RLIMIT_DATA")
def test_templates_that_build_large_values_use_little_memory(tally: Tally) -> None:
    assert weight(*BOMBS) - weight("hello") < 64 * MEGABYTE
    tally("hostile chat template", tried=len(BOMBS))


def test_a_template_as_long_as_any_has_the_memory_it_needs() -> None:
    block = (
        "{% if messages[0].role == 'user' and x is not defined %}{{ bos_token + 'a' }}{% endif %}"
    )
    assert rendered("{{ 'b' }}" + block * (64 * 1024 // len(block))).startswith("b<s>a")


def test_a_template_that_reached_a_limit_renders_the_next_conversation(tally: Tally) -> None:
    made = ChatTemplate(
        "{% for m in messages if m.content == 'work' %}{% for a in range(99999) %}"
        "{% for b in range(99999) %}{% endfor %}{% endfor %}{% endfor %}done",
        model="tiny", bos="", eos="",
    )  # fmt: skip
    before = spent()
    with pytest.raises(ChatTemplateError, match="takes too long"):
        made.render([ChatMessage("user", "work")])
    assert template_sandbox.CPU_LIMIT_S - 0.5 < spent() - before < template_sandbox.CPU_LIMIT_S + 1
    assert made.render(HELLO).text == "done"
    made.close()
    tally("hostile chat template", tried=1)


def test_the_error_message_of_a_template_is_truncated(tally: Tally) -> None:
    with pytest.raises(ChatTemplateError) as caught:
        rendered("{{ raise_exception('x' * 99999) }}")
    assert len(str(caught.value)) < 1000
    tally("hostile chat template", tried=1)


BROKEN = {
    "unreadable": "{% if %}",
    "refusing": "{{ raise_exception('not with me') }}",
    "silent": "{# nothing #}",
    "too long": "x" * (module.MAX_SOURCE_CHARACTERS + 1),
    "endless": ENDLESS[0],
}


async def answer(session: EngineSession) -> str:
    session.add(HELLO[0])
    return await session.respond()


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_built_in_template_can_replace_an_invalid_one(
    kind: str, tmp_path: Path, tally: Tally
) -> None:
    """The model is loaded anyway, and a request with another template is answered."""
    broken = write_sliding_model(tmp_path / "broken.gguf", BROKEN[kind])
    engine = await Engine.load(ModelSpec(broken, context_tokens=256, slots=2))
    greedy = Sampling(temperature=0)
    try:
        own = await engine.open_session(sampling=greedy, max_output_tokens=4)
        with pytest.raises(
            ChatTemplateError, match=rf"template of broken.*--chat-template {CHATML}"
        ):
            await answer(own)
        other = await engine.open_session(
            sampling=greedy, max_output_tokens=4, chat_template=CHATML
        )
        said = await answer(other)
    finally:
        await engine.close()
    whole = write_sliding_model(tmp_path / "whole.gguf")  # with ChatML
    engine = await Engine.load(ModelSpec(whole, context_tokens=256, slots=1))
    try:
        session = await engine.open_session(sampling=greedy, max_output_tokens=4)
        assert said == await answer(session) != ""
    finally:
        await engine.close()
    tally("hostile chat template", tried=1)


@pytest.mark.parametrize(
    ("name", "is_inherited"),
    [
        ("LD_LIBRARY_PATH", True),
        ("DYLD_LIBRARY_PATH", True),
        ("DYLD_FALLBACK_LIBRARY_PATH", True),
        ("NIX_LD", True),
        ("NIX_LD_LIBRARY_PATH", True),
        ("PYTHONHOME", True),
        ("TZ", True),
        ("DYLD_INSERT_LIBRARIES", False),
        ("LD_PRELOAD", False),
        ("PYTHONSTARTUP", False),
        ("HOME", False),
    ],
)
def test_report_30_the_template_process_starts_where_this_python_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_inherited: bool
) -> None:
    """With environment modules, Python finds its shared library only through a variable."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "${name}" = found ] || exit 127\nunset {name}\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv(name, "found")
    if not is_inherited:
        with pytest.raises(template_process.RenderError, match="ended with 127"):
            template_process.Renderer("{{ x }}")
        return
    renderer = template_process.Renderer("{{ x }}")
    try:
        assert renderer.render({"x": "yes"}) == "yes"
    finally:
        renderer.close()
