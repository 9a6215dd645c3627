"""Tools: async functions that a model may call."""

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
    """A tool and its function; created by `tool_handler`.

    `tool` is the declaration for the agent. `call` takes the arguments by name, decoded JSON; its
    result is sent to the model as text or as JSON, its exception as an error text.
    """

    tool: Tool
    call: Callable[[Mapping[str, Any]], Awaitable[Any]]


Tools = Sequence[Tool | ToolHandler]
"""The tools of a run: a `ToolHandler` is executed here, a `Tool` is only declared to the agent."""


def tool_handler(
    function: Callable[..., Awaitable[Any]],
    *,
    name: str | None = None,
    description: str | None = None,
) -> ToolHandler:
    """Return an async function as a tool, with the JSON schema of its signature.

    `name` and `description` default to the name and the docstring of the function. Its result is
    sent to the model as text if it is a string, else as JSON. Raises TypeError if `function` is not
    async, pydantic's errors if a parameter has no JSON schema.
    """
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function!r} is not an async function, so it cannot be a tool")
    # pydantic accepts a function as a type, but the type checker does not.
    adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, function))
    tool = Tool(
        name=name or function.__name__,
        description=description or inspect.getdoc(function) or "",
        parameters=adapter.json_schema(),
    )
    return ToolHandler(tool, lambda given: adapter.validate_python(ArgsKwargs((), dict(given))))


def handlers_by_name(tools: Tools) -> dict[str, ToolHandler]:
    """Return the tools that are executed here, by name."""
    return {each.tool.name: each for each in tools if isinstance(each, ToolHandler)}


def declarations(tools: Tools) -> list[Tool]:
    """Return the declarations of the tools for an agent."""
    return [each.tool if isinstance(each, ToolHandler) else each for each in tools]


async def call_tool(call: ToolCall, handlers: Mapping[str, ToolHandler]) -> str:
    """Return the result of a call as text for the model; an error is a text too.

    Raises nothing but the `CancelledError` of the caller's own cancellation.
    """
    handler = handlers.get(call.name)
    if handler is None:
        names = ", ".join(sorted(handlers))
        return f"Error: there is no tool named {call.name!r}. There are: {names}."
    try:
        arguments = json.loads(call.arguments or "{}")
        if not isinstance(arguments, dict):
            return "Error: the arguments are not a JSON object."
        return _text(await handler.call(arguments))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return f"Error: {call.name} was cancelled."  # the tool cancelled itself, not the run
    except ValidationError as error:
        return f"Error: {_format_argument_errors(error)}"
    except Exception as error:  # any exception of a tool is its result
        return repair(f"Error: {error or type(error).__name__}")


def _text(result: Any) -> str:
    return repair(result if isinstance(result, str) else to_json(result).decode())


def _format_argument_errors(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in problems
    )
