"""Editing the settings of a thread: opens the panel and applies the result."""

from dataclasses import replace

from textual.app import App

from koel_tui import paths
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.system_prompts import SystemPrompts
from koel_tui.conversation.thread_settings_form import format_defaults
from koel_tui.protocol import TurnSettings
from koel_tui.session import ThreadSettings
from koel_tui.ui.settings.thread_settings_panel import FormResult, ThreadPanel


def edit_thread_settings(app: App[int], conversation: Conversation, defaults: TurnSettings) -> None:
    """Show the settings panel for a conversation's thread and apply the result."""

    title_before = conversation.meta.title

    async def on_result(result: FormResult | None) -> None:
        if result is not None:
            # Keep a title generated meanwhile, unless the user typed another one.
            same = result.title == title_before
            await conversation.configure(
                conversation.meta.title if same else result.title, result.settings
            )

    settings = conversation.meta.settings or ThreadSettings()
    panel = ThreadPanel(
        title_before, settings, format_defaults(defaults), SystemPrompts(paths.system_prompts_dir())
    )
    app.push_screen(panel, on_result)


async def set_template(conversation: Conversation, name: str) -> None:
    """Set the chat template of a thread to a built-in template or raw completion."""
    about = conversation.meta
    settings = replace(about.settings or ThreadSettings(), chat_template=name)
    await conversation.configure(about.title, settings)
