"""The key table: the only source of all keys for bindings, help and the command palette."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from textual.binding import Binding, BindingType

Group = Literal["Tabs", "Conversation", "Prompt", "Program"]
Owner = Literal["app", "screen", "pane", "prompt"]
"""The node with the action of a key; the pane is the one of the active conversation."""

_OWNERS: Mapping[Group, Owner] = MappingProxyType(
    {"Tabs": "screen", "Conversation": "pane", "Prompt": "prompt", "Program": "app"}
)

SHORT = {"pageup": "pgup", "pagedown": "pgdn", "escape": "esc", "delete": "del"}
"""Display names of keys that differ from Textual's names."""

CLOSE_PREFIX = "leave."
"""The prefix of the ids of keys that dismiss a panel; the id of its opening key follows."""
TAB_COUNT = 9
"""The number of tabs with their own key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key binding.

    `id` identifies it for remapping, `command` is its name in the palette. `everywhere` means that
    it also works in panels. A `fixed` one cannot be remapped, because it is a typed character.
    `other_owner` is the node with the action where the group does not determine it.
    """

    id: str
    keys: str
    action: str
    help: str
    group: Group
    footer: str = ""
    command: str = ""
    everywhere: bool = False
    fixed: bool = False
    other_owner: Owner | None = None

    @property
    def owner(self) -> Owner:
        """The node with the action of this key."""
        return self.other_owner or _OWNERS[self.group]

    @property
    def names(self) -> list[str]:
        """The Textual names of the keys of this binding."""
        return [name for name in self.keys.split(",") if name]

    def binding(self) -> Binding:
        """Return the Textual `Binding` of this key."""
        return Binding(
            self.keys,
            self.action,
            self.footer or self.help,
            show=bool(self.footer),
            priority=self.everywhere,
            id=self.id,
        )


# f5/f6 and the pairs with alt or ctrl+f4 are alternatives, because terminals and tmux intercept
# some keys: at least one key of each pair arrives.
KEYS: tuple[Key, ...] = (
    Key("tab.new", "ctrl+n", "new_tab", "new tab", "Tabs", "New", "New tab"),
    Key("tab.open", "ctrl+o", "open", "open a saved thread", "Tabs", "Open", "Open a saved thread",
        other_owner="app"),
    Key("palette", "ctrl+p", "command_palette", "all commands", "Program", "Commands"),
    Key("run.stop", "escape", "stop", "stop the answer", "Conversation", "Stop", "Stop the answer"),
    Key("help", "f1", "help", "list of keys", "Program", "Help", "List of keys"),
    Key("tab.previous", "f5,ctrl+pageup", "step_tab(-1)", "previous tab", "Tabs", "",
        "Previous tab"),
    Key("tab.next", "f6,ctrl+pagedown", "step_tab(1)", "next tab", "Tabs", "", "Next tab"),
    Key("tab.find", "f4,alt+0", "find_tab", "list of open tabs", "Tabs", "", "Go to an open tab"),
    Key("tab.left", "ctrl+shift+pageup,alt+shift+pageup", "move_tab(-1)",
        "move the tab to the left", "Tabs", "", "Move the tab to the left"),
    Key("tab.right", "ctrl+shift+pagedown,alt+shift+pagedown", "move_tab(1)",
        "move the tab to the right", "Tabs", "", "Move the tab to the right"),
    Key("tab.beside", "alt+s", "side_by_side", "two threads side by side; again: one", "Tabs",
        "", "Show two threads side by side, or one again"),
    Key("tab.swap", "alt+x", "swap", "swap the two threads side by side", "Tabs", "",
        "Swap the two threads side by side"),
    Key("tab.close", "alt+w,ctrl+f4", "close_tab", "close the tab; it stays saved", "Tabs",
        "", "Close tab (it stays saved)"),
    Key("tab.reopen", "alt+shift+w", "reopen_tab", "reopen the closed tab", "Tabs", "",
        "Reopen the closed tab"),
    *(
        Key(f"tab.{n}", f"alt+{n}", f"go_to_tab({n})", f"go to tab {n}", "Tabs")
        for n in range(1, TAB_COUNT + 1)
    ),
    Key("thread.settings", "f2", "thread_settings", "settings of this thread", "Tabs", "",
        "Settings of this thread: system prompt, sampling", other_owner="pane"),
    Key("prompt.editor", "ctrl+g", "edit_prompt", "write in $EDITOR", "Prompt", "",
        "Write the prompt in $EDITOR", other_owner="app"),
    Key("scroll.page_up", "pageup", "scroll('page_up')", "page up", "Conversation", "",
        "Scroll up by a page"),
    Key("scroll.page_down", "pagedown", "scroll('page_down')", "page down", "Conversation", "",
        "Scroll down by a page"),
    Key("scroll.up", "shift+up", "scroll('up')", "line up", "Conversation", "",
        "Scroll up by a line"),
    Key("scroll.down", "shift+down", "scroll('down')", "line down", "Conversation", "",
        "Scroll down by a line"),
    Key("scroll.asked_before", "alt+up", "step_message(-1)", "your previous message",
        "Conversation", "", "Go to your previous message"),
    Key("scroll.asked_next", "alt+down", "step_message(1)", "your next message",
        "Conversation", "", "Go to your next message"),
    Key("scroll.home", "ctrl+home", "scroll('home')", "first message", "Conversation", "",
        "Go to the first message"),
    Key("scroll.end", "ctrl+end", "scroll('end')", "newest message", "Conversation", "",
        "Go to the newest message"),
    Key("run.regenerate", "ctrl+r", "regenerate", "answer again; keep the old as a branch",
        "Conversation", "", "Answer again (the old answer stays as a branch)"),
    Key("message.edit", "alt+e", "edit_message", "edit your last message; again: earlier",
        "Conversation", "", "Edit your message (the old one stays as a branch)"),
    Key("branch.previous", "alt+left,alt+j", "switch_branch(-1)", "previous branch",
        "Conversation", "", "Show the previous branch"),
    Key("branch.next", "alt+right,alt+k", "switch_branch(1)", "next branch",
        "Conversation", "", "Show the next branch"),
    Key("branch.off", "alt+n", "branch_off", "new thread from the answer being read",
        "Conversation", "", "New thread from the answer being read", other_owner="screen"),
    Key("tab.summary", "alt+shift+s", "summarise", "new thread with a summary of this one",
        "Conversation", "", "New thread with a summary of this one", other_owner="screen"),
    Key("queue", "alt+q", "queue", "edit or delete a queued message", "Conversation", "",
        "Edit or delete a queued message"),
    Key("run.go_on", "alt+g", "continue_answer", "continue an incomplete answer",
        "Conversation", "", "Continue the answer that was stopped or cut"),
    Key("run.retry", "alt+r", "retry", "retry the failed answer", "Conversation", "",
        "Retry the failed answer"),
    Key("figures", "f3", "stats", "context, speed and memory", "Conversation", "",
        "Statistics of this thread: context, speed, memory"),
    Key("fold", "ctrl+t", "fold", "show or hide thinking and tool calls", "Conversation",
        "", "Show or hide thinking and tool calls"),
    Key("answer.render", "alt+m", "toggle_rendering",
        "show a long answer as Markdown or text", "Conversation", "",
        "Show a long answer as Markdown or as plain text"),
    Key("copy.answer", "alt+c", "copy_answer", "copy the answer", "Conversation", "",
        "Copy the answer"),
    Key("copy.code", "alt+b", "copy_code", "copy a code block; again: previous one",
        "Conversation", "", "Copy a code block"),
    Key("links", "alt+l", "links", "links of the answer", "Conversation", "",
        "Open a link of the answer"),
    Key("save.code", "alt+shift+b", "save_code", "save a code block to a file", "Conversation",
        "", "Save a code block to a file"),
    Key("settings", "f9", "program_settings", "settings of the program", "Program", "",
        "Settings of the program"),
    Key("model", "alt+shift+m", "choose_model", "choose the model, or download one", "Program",
        "", "Choose a model, or download one"),
    Key("copy_or_quit", "ctrl+c", "copy_or_quit", "copy the selection; twice: quit", "Program"),
    Key("quit", "ctrl+q", "quit", "quit", "Program", "", "Quit", everywhere=True),
)  # fmt: skip
"""Keys of the app, its main screen and the conversation pane. The footer shows the ones with a
footer text."""

PROMPT_KEYS: tuple[Key, ...] = (
    Key("prompt.send", "enter", "send", "send", "Prompt", "", "Send the prompt"),
    Key("prompt.newline", "ctrl+j,alt+enter,shift+enter", "newline", "new line", "Prompt", "",
        "New line in the prompt"),
    Key("prompt.attach", "at", "attach", "attach a text file", "Prompt", "",
        "Attach a text file", fixed=True),
    Key("prompt.previous", "up", "previous", "earlier prompt (on the first line)", "Prompt", "",
        "Earlier prompt"),
    Key("prompt.next", "down", "next", "later prompt (on the last line)", "Prompt", "",
        "Later prompt"),
)  # fmt: skip
"""Keys of the prompt, in addition to the editing keys of Textual's `TextArea`."""


ALL_KEYS: tuple[Key, ...] = (*PROMPT_KEYS, *KEYS)


def bindings(owner: Owner, keys: Iterable[Key] = ALL_KEYS) -> list[BindingType]:
    """Return the Textual bindings of a node, without entries that have no key."""
    return [key.binding() for key in keys if key.owner == owner and key.names]


def close_binding(opener: str) -> Binding:
    """Return the binding that dismisses a panel with the key that opened it, given by id."""
    key = next(key for key in KEYS if key.id == opener)
    return Binding(key.keys, "dismiss", show=False, id=f"{CLOSE_PREFIX}{opener}")


def display_names(keys: Sequence[str]) -> list[str]:
    """Return the display names of the keys of one binding, at most two."""
    names = {**SHORT, "at": "@"}
    return ["+".join(names.get(part, part) for part in key.split("+")) for key in keys[:2]]
