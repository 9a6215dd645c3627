"""The program of the child process that renders a chat template.

Templates come with models from any source. Jinja's sandbox denies them Python's internals, but does
not limit time and memory, and a check between its steps would not either: a single step can use up
both (`10 ** 10 ** 10`, printing or comparing a list that contains itself many times), and no other
code of its process runs meanwhile. So a template has its own process, with a timer and a memory
limit that the operating system enforces. It cannot open files or start processes, even if it
escapes from Jinja's sandbox. The engine starts this file by its path.

Requests and replies are JSON, one per line. The first request has the `source`, its reply the
`variables` that the template uses. Each further request has the variables to render with, its reply
the `text`. A reply with `error` has the reason of a failure. No reply means that a limit was
exceeded.
"""

import json
import re
import resource
import signal
import sys
import unicodedata
from datetime import datetime
from typing import Any, NoReturn

import jinja2.debug  # noqa: F401 - Jinja imports it when a template fails: too late for a file
from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_LIMIT_S = 4.0
TIME_LIMIT_S = 20.0  # for a machine too busy to reach the limit of CPU time
MEMORY_LIMIT = 64 * 1024 * 1024
MEMORY_PER_BYTE = 16  # bytes of Python objects per byte of a request
OUTPUT_LIMIT = 64 * 1024
OUTPUT_PER_BYTE = 4
_REASON_LIMIT = 500

_TIMERS = (
    (signal.ITIMER_PROF, signal.SIGPROF, CPU_LIMIT_S),
    (signal.ITIMER_REAL, signal.SIGALRM, TIME_LIMIT_S),
)


class _Generation(Extension):
    """The `{% generation %}` tag, which marks text to train on; it does not change a prompt."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Server:
    """A handler of requests: the first one compiles the template, the others render it."""

    def __init__(self) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        self._environment.filters["tojson"] = _to_json
        self._environment.globals["raise_exception"] = _raise
        self._environment.globals["strftime_now"] = _now
        self._template: Template | None = None

    def answer(self, line: bytes) -> dict[str, Any]:
        """Return the reply to a request."""
        try:
            request = json.loads(line)
            if self._template is None:
                return {"variables": self._compile(request["source"])}
            return {"text": self._render(request, OUTPUT_LIMIT + OUTPUT_PER_BYTE * len(line))}
        except MemoryError:
            reason = "it takes too much memory"
        except RecursionError:
            reason = "it is nested too deeply"
        except Exception as error:  # the engine needs a reply to every request
            reason = str(error)[:_REASON_LIMIT] or type(error).__name__
        return {"error": reason}

    def reset(self) -> None:
        """Drop the template; the next request is treated as the first one."""
        self._template = None

    def _compile(self, source: str) -> list[str]:
        variables = meta.find_undeclared_variables(self._environment.parse(source))
        self._template = self._environment.from_string(source)
        return sorted(variables)

    def _render(self, variables: dict[str, Any], limit: int) -> str:
        assert self._template is not None  # noqa: S101 - the first request has made it
        pieces: list[str] = []
        for piece in self._template.generate(variables):
            limit -= len(piece)
            if limit < 0:
                raise TemplateError("its output is too long for its input")
            pieces.append(piece)
        return "".join(pieces)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which no model was trained on.
    text = json.dumps(
        value,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    # Private-use and unassigned characters stay: the engine marks data with them, see `data_spans`.
    return re.sub("[^\x00-\x7f]+", _escape, text) if ensure_ascii else text


def _escape(match: re.Match[str]) -> str:
    return "".join(
        each if unicodedata.category(each) in ("Co", "Cn") else json.dumps(each)[1:-1]
        for each in match.group()
    )


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _warm_up(server: _Server) -> None:
    """Make the standard library read the files that it loads lazily, while it still can."""
    _now("%x %X")
    for source in (r"{{ 'Grüße\n' | tojson }}{{ missing.part }}", "{% if %}"):
        server.answer(json.dumps({"source": source}).encode())
        server.answer(b"{}")
        server.reset()


def _lock_down() -> None:
    """Forbid opening files and starting processes, and let the timers kill this process."""
    signals = {number for _, number, _ in _TIMERS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _set_limits(request_bytes: int) -> None:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    memory = MEMORY_LIMIT + MEMORY_PER_BYTE * request_bytes
    if hard_limit != resource.RLIM_INFINITY:
        memory = min(memory, hard_limit)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, hard_limit))
    for timer, _, seconds in _TIMERS:
        signal.setitimer(timer, seconds)


def _clear_timers() -> None:
    for timer, _, _ in _TIMERS:
        signal.setitimer(timer, 0)


def main() -> None:
    """Answer requests from the standard input until it ends."""
    server = _Server()
    _warm_up(server)
    _lock_down()
    for line in sys.stdin.buffer:
        _set_limits(len(line))
        reply = json.dumps(server.answer(line)).encode() + b"\n"
        _clear_timers()
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
