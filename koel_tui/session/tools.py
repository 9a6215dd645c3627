"""Tools: plain async functions that a model may call."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ag_ui.core import Tool
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs, to_json

from koel_tui.protocol import ToolCall
from koel_tui.text import repair


@dataclass(frozen=True, slots=True)
class ToolHandler:
    """A tool and the function behind it; made by `tool_handler`.

    `tool` is what the agent is told. `call` takes the arguments by name, decoded JSON; what it
    returns is sent to the model as text or as JSON, and what it raises as an error in words.
    """

    tool: Tool
    call: Callable[[Mapping[str, Any]], Awaitable[Any]]


Tools = Sequence[Tool | ToolHandler]
"""What a run offers: a `ToolHandler` is executed here, of a `Tool` the agent only hears."""


def tool_handler(
    function: Callable[..., Awaitable[Any]],
    *,
    name: str | None = None,
    description: str | None = None,
) -> ToolHandler:
    """Return an async function as a tool, its JSON schema taken from its signature.

    The name is the function's and the description its docstring unless given. What it returns is
    sent to the model as text, or as JSON when it is no text. Raises TypeError when `function` is
    not async, pydantic's errors when a parameter has no JSON schema.
    """
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function!r} is not an async function, so it cannot be a tool")
    # A function is a type to pydantic, but not to the type checker.
    adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, function))
    tool = Tool(
        name=name or function.__name__,
        description=description or inspect.getdoc(function) or "",
        parameters=adapter.json_schema(),
    )
    return ToolHandler(tool, lambda given: adapter.validate_python(ArgsKwargs((), dict(given))))


def handlers_by_name(tools: Tools) -> dict[str, ToolHandler]:
    """Return the tools that are executed here, by their names."""
    return {each.tool.name: each for each in tools if isinstance(each, ToolHandler)}


def declared(tools: Tools) -> list[Tool]:
    """Return the tools as an agent is told of them."""
    return [each.tool if isinstance(each, ToolHandler) else each for each in tools]


async def result_of(call: ToolCall, handlers: Mapping[str, ToolHandler]) -> str:
    """Return what a call gave as the text a model gets; an error is a text too.

    Raises nothing but the `CancelledError` of the caller's own cancellation.
    """
    handler = handlers.get(call.name)
    if handler is None:
        known = ", ".join(sorted(handlers))
        return f"Error: there is no tool named {call.name!r}. There are: {known}."
    try:
        arguments = json.loads(call.arguments or "{}")
        if not isinstance(arguments, dict):
            return "Error: the arguments are not a JSON object."
        return _text(await handler.call(arguments))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return f"Error: {call.name} was cancelled."  # by itself, which is its own affair
    except ValidationError as error:
        return f"Error: {_wrong_arguments(error)}"
    except Exception as error:  # whatever a tool raises is its answer
        return repair(f"Error: {error or type(error).__name__}")


def _text(result: Any) -> str:
    return repair(result if isinstance(result, str) else to_json(result).decode())


def _wrong_arguments(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in problems
    )
