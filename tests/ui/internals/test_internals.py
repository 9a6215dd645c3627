"""Tests that only `internals` uses private names of Textual, and that these names still exist.

After an upgrade of Textual, a failure names the private name that has changed. The tests also fail
if another module of the window uses a private name, or defines one that its base class has.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from rich.style import Style
from textual import keys
from textual._compositor import Compositor, CompositorUpdate
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.command import CommandPalette
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.message_pump import MessagePump
from textual.notifications import Notifications
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static, Tab, Tabs

from koel_tui import ui
from koel_tui.ui import internals
from koel_tui.ui.app.app import KoelApp

MADE_FOR = ("textual", "rich")
"""The packages whose private names are checked."""

CALLED: Mapping[type | ModuleType, Mapping[str, str]] = {
    App: {
        "_display": "self, screen, renderable",
        "_end_batch": "self",
        "_fatal_error": "self",
        "_handle_exception": "self, error",
        "_refresh_notifications": "self",
        "panic": "self, *renderables",
    },
    CommandPalette: {"_action_command_list": "self, action"},
    Compositor: {"render_strips": "self, size=None"},
    CompositorUpdate: {"render_segments": "self, console"},
    Driver: {"resume_application_mode": "self", "suspend_application_mode": "self"},
    LinuxDriver: {
        "_sigcont_application": "self, *_",
        "_sigtstp_application": "self, *_",
    },
    MessagePump: {"_close_messages_no_wait": "self"},
    Screen: {
        "_on_timer_update": "self",
        "_refresh_layout": "self, size=None, scroll=False",
    },
    Strip: {"render": "self, console"},
    Tabs: {"_highlight_active": "self, animate=True"},
    Widget: {"_size_updated": "self, size, virtual_size, container_size, layout=True"},
    WriterThread: {"run": "self"},
    XTermParser: {
        "_parse_extended_key": "self, sequence",
        "_sequence_to_key_events": "self, sequence, alt=False",
        "feed": "self, data",
        "parse": "self, token_callback",
        "parse_mouse_code": "self, code",
    },
    keys: {"_character_to_key": "character"},
}
"""The methods that `internals` calls or replaces, with their parameters."""

HELD: Mapping[type, set[str]] = {
    App: {
        "_batch_count", "_clipboard", "_disable_tooltips", "_dom_ready", "_driver", "_exit",
        "_exit_renderables", "_keymap", "_notifications", "_return_code", "_screen_stack",
    },
    DOMNode: {"_bindings", "_merged_bindings", "_pruning", "_query_one_cache"},
    Driver: {"_app", "_auto_restart", "_loop"},
    LinuxDriver: {"_must_signal_resume", "fileno"},
    MessagePump: {"_closing"},
    Notifications: {"__delitem__", "__iter__"},
    Screen: {"_compositor"},
    Strip: {"_render_cache", "_segments"},
    Style: {"_link"},
    Widget: {"_anchor_released", "_layout_required"},
    WriterThread: {"_queue"},
}  # fmt: skip
"""The attributes that `internals` uses, by class."""


@cache
def tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


@cache
def nodes_of(module: ModuleType) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(module)))


@cache
def classes_of(module: str) -> Mapping[str, ast.ClassDef]:
    nodes = nodes_of(importlib.import_module(module))
    return {each.name: each for each in nodes if isinstance(each, ast.ClassDef)}


def code_of(owner: type | ModuleType) -> ast.Module | ast.ClassDef:
    """Return the syntax tree of a class or module, without runtime replacements."""
    if isinstance(owner, ModuleType):
        return tree_of(owner)
    return classes_of(owner.__module__)[owner.__name__]


@cache
def names_of(owner: type) -> frozenset[str]:
    """Return the names that the code of a class gives to the class and its objects."""
    code = code_of(owner)
    return frozenset({*vars(owner), *own_names(code)})


def own_names(code: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Yield the names that a class or module defines, or uses on `self` or `cls`."""
    for each in ast.walk(code):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name
        elif isinstance(each, ast.Attribute) and _is_self(each.value):
            yield each.attr
    for each in code.body:
        if isinstance(each, ast.Assign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_self(code: ast.expr) -> bool:
    return isinstance(code, ast.Name) and code.id in ("self", "cls")


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def _is_made_for(module: str | None) -> bool:
    return (module or "").split(".")[0] in MADE_FOR


MODULES = [
    importlib.import_module(each.name)
    for each in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}.")
]
INSIDE = [each for each in MODULES if each.__name__.startswith(internals.__name__)]
OUTSIDE = [each for each in MODULES if each not in INSIDE]


@cache
def imported(module: ModuleType) -> dict[str, str]:
    """Return the names that a module imports from `MADE_FOR`, with their full names."""
    return {
        alias.asname or alias.name: f"{each.module}.{alias.name}"
        for each in nodes_of(module)
        if isinstance(each, ast.ImportFrom) and _is_made_for(each.module)
        for alias in each.names
    } | {
        alias.asname or alias.name: alias.name
        for each in nodes_of(module)
        if isinstance(each, ast.Import)
        for alias in each.names
        if _is_made_for(alias.name)
    }


def shared(module: ModuleType) -> Iterator[str]:
    """Yield the private names that classes of a module share with their bases in `MADE_FOR`.

    A name counts even if the class does not override it deliberately.
    """
    for code in nodes_of(module):
        if isinstance(code, ast.ClassDef) and (owner := getattr(module, code.name, None)):
            theirs = {
                name
                for base in owner.__mro__
                if _is_made_for(base.__module__)
                for name in names_of(base)
            }
            yield from (name for name in own_names(code) if _is_private(name) and name in theirs)


def of_others(module: ModuleType) -> Iterator[str]:
    """Yield the private names that a module uses on objects other than `self` and `cls`."""
    for each in nodes_of(module):
        if isinstance(each, ast.Attribute) and _is_private(each.attr) and not _is_self(each.value):
            yield each.attr
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            named = each.func.id in ("getattr", "setattr", "hasattr", "delattr")
            for word in each.args[1:2] if named else ():
                if isinstance(word, ast.Constant) and str(word.value).startswith("_"):
                    yield str(word.value)


def patched(module: ModuleType) -> Iterator[str]:
    """Yield the attributes that a module changes in imported classes and modules."""
    theirs = imported(module)
    for each in nodes_of(module):
        if not isinstance(each, ast.Attribute) or isinstance(each.ctx, ast.Load):
            continue
        if isinstance(each.value, ast.Name) and each.value.id in theirs:
            yield f"{theirs[each.value.id]}.{each.attr}"


def test_private_names_of_textual_are_used_in_internals_only() -> None:
    found = {
        f"{module.__name__}: {name}"
        for module in OUTSIDE
        for name in (
            *filter(_is_private, imported(module).values()),
            *patched(module),
            *shared(module),
            *of_others(module),
        )
    }
    assert found == set()


def test_every_private_name_of_textual_in_use_is_watched() -> None:
    reached = {name for module in INSIDE for name in (*shared(module), *of_others(module))}
    reached |= {
        path.rpartition(".")[2]
        for module in INSIDE
        for path in imported(module).values()
        if path.rpartition(".")[2].startswith("_")
    }
    watched = {name for names in HELD.values() for name in names}
    watched |= {name for names in CALLED.values() for name in names}
    assert reached == {"__watchers", *filter(_is_private, watched)}


@pytest.mark.parametrize("owner", CALLED, ids=lambda owner: owner.__name__)
def test_textual_functions_still_have_the_expected_parameters(owner: type | ModuleType) -> None:
    takes = {
        each.name: parameters_of(each)
        for each in code_of(owner).body
        if isinstance(each, ast.FunctionDef) and each.name in CALLED[owner]
    }
    assert takes == CALLED[owner]


def parameters_of(code: ast.FunctionDef) -> str:
    arguments = deepcopy(code.args)
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg):
            each.annotation = None
    return ast.unparse(arguments)


@pytest.mark.parametrize("owner", HELD, ids=lambda owner: owner.__name__)
def test_textual_objects_still_have_the_attributes_in_use(owner: type) -> None:
    assert HELD[owner] - names_of(owner) == set()


def test_the_driver_of_textual_uses_the_replaced_classes() -> None:
    assert {"WriterThread", "XTermParser", "getincrementaldecoder"} <= names_used(LinuxDriver)


def names_used(owner: type) -> set[str]:
    module = importlib.import_module(owner.__module__)
    return {each.id for each in nodes_of(module) if isinstance(each, ast.Name)}


async def test_textual_stores_watchers_in_the_expected_attribute() -> None:
    app: App[int] = App()
    async with app.run_test():
        word = Static()
        await app.mount(word)
        word.watch(app, "theme", lambda: None)
        assert getattr(app, "__watchers")["theme"][-1][0] is word
        await word.remove()
        internals.drop_dead_references(app)
        assert word not in [each[0] for each in getattr(app, "__watchers")["theme"]]


async def test_the_row_of_tabs_is_made_as_it_was() -> None:
    class Row(App[None]):
        def compose(self) -> Iterator[Widget]:
            yield Tabs(*(Tab(f"a tab with the number {number}") for number in range(30)))

    app = Row()
    async with app.run_test() as pilot:
        tabs = app.query_one(Tabs)
        assert [type(each) for each in internals.tabs_container(tabs).children] == [Tab] * 30
        last = internals.tabs_container(tabs).children[-1]
        assert last.id is not None and last.region.x > app.size.width
        tabs.active = last.id
        internals.scroll_active_into_view(tabs)
        await pilot.pause()
        assert app.screen.region.contains_region(last.region)


def widget_names() -> set[str]:
    """Return the names by which a style sheet can select the existing widgets."""
    found, names = [Widget], {"App"}
    while found:
        each = found.pop()
        names.add(each.__name__)
        found += each.__subclasses__()
    return names


def test_every_widget_that_the_styles_name_is_there() -> None:
    sheet = Stylesheet()
    for path in KoelApp.CSS_PATH:
        sheet.read(Path(path))
    sheet.set_variables(App().get_css_variables())
    sheet.parse()
    named = {
        selector.name
        for rule in sheet.rules
        for group in rule.selector_set
        for selector in group.selectors
        if selector.type.name == "TYPE"
    }
    assert named and named - widget_names() == set()


def test_queries_by_id_or_class_name_our_own_widgets_only() -> None:
    calls = [call for module in OUTSIDE for call in nodes_of(module) if isinstance(call, ast.Call)]
    named = [
        (f"{'#' if each.arg == 'id' else '.'}", each.value)
        for call in calls
        for each in call.keywords
        if each.arg in ("id", "classes")
    ]
    ours = {
        f"{mark}{word}"
        for mark, value in named
        for part in (value.values if isinstance(value, ast.JoinedStr) else [value])
        if isinstance(part, ast.Constant)
        for word in str(part.value).split()
    }
    asked = {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr.startswith("query")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert "#panel" in asked
    assert [each for each in asked if not each.startswith(tuple(ours))] == []
