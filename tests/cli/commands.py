"""Helpers that list the commands of the program and run them."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from koel_tui import paths
from koel_tui.cli.main import commands, run
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage

PROGRAM = str(Path(sys.executable).with_name("koel-chat"))


def koel(
    *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program in a separate process."""
    return subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        # With more threads, parallel tests would slow each other.
        env={
            **os.environ,
            "KOEL_TEMPERATURE": "0",
            "KOEL_THREADS": "1",
            **(environment or {}),
        },
    )


def save(thread: str, *texts: str) -> None:
    """Save a thread; its texts are questions and answers in turn."""
    roles = ("user", "assistant")
    messages = tuple(
        Message(id=str(index), role=roles[index % 2], content=text)
        for index, text in enumerate(texts)
    )
    storage = JsonFileStorage(paths.threads_dir())
    asyncio.run(storage.save(thread, ChatState(messages=messages)))


def every_command(
    command: click.Command = commands, *words: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command, also groups and the program itself, with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, *words, name)


class Said:
    """The exit code and the output of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Threads:
    """Runs `koel-chat threads ...` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Said:
        self._capsys.readouterr()
        code = run(["threads", *words])
        said = self._capsys.readouterr()
        for text in (said.out, said.err):
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text), repr(text)
        return Said(code, said.out, said.err)
