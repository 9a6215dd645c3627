"""Limits on user input, open tabs, queues and lines, and limits of llama.cpp."""

MAX_THREADS = 512
"""Maximum CPU threads. llama.cpp aborts the process with more."""
MAX_SEQUENCES = 256
"""Maximum sequences in a llama.cpp context: engine slots and open sessions."""

MAX_MESSAGE_CHARACTERS = 10_000_000
"""Maximum length of a message with its pastes and files; more than any model's context."""
MAX_FIELD_CHARACTERS = 8_192
"""Maximum length of a single-line field: a title, a search query, a value, a file path."""
MAX_TEXT_CHARACTERS = 64 * 1024
"""Maximum length of a multi-line field other than a message: a system prompt."""
MAX_QUEUED = 100
"""Maximum queued messages of one thread."""
MAX_TABS = 100
"""Maximum open tabs; each one has a session and a rendered label."""
MAX_TAB_TITLE = 24
"""Maximum width in cells of the title in a tab."""
LINE_LENGTH = 100
"""Maximum length of the lines of messages in columns, unless the user sets another one."""
MAX_TOASTS = 6
"""Maximum notices on the screen at the same time; more would cover it."""


def too_long_message(what: str, characters: int, limit: int) -> str:
    """Return the message for text over a limit: its length, the limit and the remedy."""
    return (
        f"{what} has {characters:,} characters, and the limit is {limit:,}. "
        "Shorten it, then try again."
    )
