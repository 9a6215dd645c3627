"""The tab label and the status line of a conversation."""

from koel_tui.conversation.conversation import Conversation
from koel_tui.ui.app.status_line import Status
from koel_tui.ui.app.tab_bar import Label
from koel_tui.workspace.runtime import Runtime


def label_of(conversation: Conversation, unread: bool) -> Label:
    """Return the label of a conversation's tab."""
    if conversation.is_busy:
        waiting = len(conversation.queue)
        mark = conversation.activity.tab_mark + (f" +{waiting}" if waiting else "")
    elif conversation.save_problem:
        mark = "not saved"
    elif conversation.has_failed:
        mark = "✗"
    else:
        mark = "●" if unread else ""
    return Label(conversation.key, conversation.title, mark)


def status_of(
    conversation: Conversation, startup: Runtime, hint: str, aside: str = "", download: str = ""
) -> Status:
    """Return the status line of the active conversation; `hint` takes precedence over its activity.

    `aside` describes the background job, `download` the download of a model.
    """
    figures = conversation.metrics.last
    problem = conversation.save_problem
    return Status(
        activity=hint
        or startup.status_text
        or conversation.activity.status_text
        or aside
        or download
        or startup.idle_text,
        model=figures.model or startup.model,
        used=figures.used_tokens,
        window=figures.context_tokens or startup.context_tokens,
        tokens_per_s=conversation.tokens_per_s,
        saved=_saved(conversation),
        alarm=_alarm(problem, startup, download),
    )


def _saved(conversation: Conversation) -> str:
    # A streaming answer is saved every second; showing each save would make the line flicker.
    if conversation.is_busy or not conversation.entries():
        return ""
    return "saving…" if conversation.is_unsaved else "saved"


def _alarm(save_problem: object, startup: Runtime, download: str) -> str:
    if save_problem:
        return "NOT SAVED"  # the banner gives the reason
    # The progress of a download needs the space, and a new model solves the problem.
    return startup.short_alert if download else startup.alert
