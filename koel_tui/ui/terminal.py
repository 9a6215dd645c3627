"""What this version of Textual gets wrong about terminals; the only place that reaches inside it.

The version is pinned, and a test in a real terminal watches each of these.
"""

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.keys import Keys

_ALT_ENTER = ("\x1b\r", "\x1b\n")


def teach_alt_enter() -> None:
    """Make alt+enter a key of its own where the terminal has no keyboard protocol.

    There it arrives as escape and return, of which Textual makes a plain enter: it would send the
    prompt instead of starting a new line. Both mean ctrl+j here.
    """
    if isinstance(ANSI_SEQUENCES_KEYS, dict):
        ANSI_SEQUENCES_KEYS.update(dict.fromkeys(_ALT_ENTER, (Keys.ControlJ,)))
