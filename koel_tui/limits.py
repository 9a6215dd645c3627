"""Limits of what users type, paste and open, and of llama.cpp."""

MAX_THREADS = 512
"""CPU threads. llama.cpp aborts the process with more."""
MAX_SEQUENCES = 256
"""Sequences in a llama.cpp context: engine slots, and open sessions."""

MESSAGE_CHARACTERS = 10_000_000
"""In one message, with its pastes and files: more than any model reads."""
FIELD_CHARACTERS = 8_192
"""In a field of one line: a title, words to find, a value, the path of a file."""
TEXT_CHARACTERS = 64 * 1024
"""In a field of several lines that is no message: a system prompt, as long as a role may be."""
QUEUED = 100
"""Messages of one thread that wait to be sent."""
TABS = 100
"""Open at the same time; each one is a session, and a label that is painted."""
TOLD = 6
"""Notices on the screen at the same time; more would cover it."""


def too_much(what: str, characters: int, most: int) -> str:
    """Return the sentence that says what is too long, by how much, and what to do."""
    return (
        f"{what} has {characters:,} characters, and {most:,} is the most. "
        "Nothing of it was taken; shorten it."
    )
