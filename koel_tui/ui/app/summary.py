"""The tab label and the status line of a conversation."""

from koel_tui.conversation.conversation import Conversation
from koel_tui.ui.app.status_line import Status
from koel_tui.ui.app.tab_bar import Label
from koel_tui.workspace.runtime import Runtime


def tab_label(conversation: Conversation, unread: bool) -> Label:
    """Return the label of a conversation's tab."""
    if conversation.is_busy:
        waiting = len(conversation.queue)
        mark = conversation.activity.tab_text + (f" +{waiting}" if waiting else "")
    elif conversation.save_problem:
        mark = "not saved"
    elif conversation.has_failed:
        mark = "✗"
    else:
        mark = "●" if unread else ""
    return Label(conversation.key, conversation.title, mark)


def status_for(
    conversation: Conversation,
    runtime: Runtime,
    hint: str,
    background_job: str = "",
    download: str = "",
) -> Status:
    """Return the status line of the active conversation; `hint` takes precedence over its activity.

    `background_job` describes the background job, `download` the download of a model.
    """
    figures = conversation.metrics.last
    problem = conversation.save_problem
    return Status(
        activity=hint
        or runtime.status_text
        or conversation.activity.status_text
        or background_job
        or download
        or runtime.idle_text,
        model=figures.model or runtime.model_name,
        used=figures.used_tokens,
        context_tokens=figures.context_tokens or runtime.context_tokens,
        tokens_per_s=conversation.tokens_per_s,
        saved=_save_state(conversation),
        alert=_alert_text(problem, runtime, download),
    )


def _save_state(conversation: Conversation) -> str:
    # A streaming answer is saved every second; showing each save would make the line flicker.
    if conversation.is_busy or not conversation.entries():
        return ""
    return "saving…" if conversation.is_unsaved else "saved"


def _alert_text(save_problem: object, runtime: Runtime, download: str) -> str:
    if save_problem:
        return "NOT SAVED"  # the banner gives the reason
    # The progress of a download needs the space, and a new model solves the problem.
    return runtime.short_alert if download else runtime.alert
