"""A configuration directory of version 0.1 in which every setting and every key is changed."""

from koel_tui.ui.keymap import key_name, keymap_of

from koel_tui import paths
from koel_tui.ui.keys import KEYS, PROMPT_KEYS

CONFIG = """\
# The configuration of a user of version 0.1: no value is the default.
model = "own-model"
model_folders = ["models-a", "models b"]
max_sessions = 5
parallel = 2
context_tokens = 4096
max_output_tokens = 321
gpu_layers = 7
threads = 3
chat_template = "gemma"
system = "Answer in one sentence. \\u00e4\\u00f6\\u00fc"
temperature = 4.5
seed = 4294967295
titles = false
plain = true
low_bandwidth = true
notify = false
theme = "ember"  # own theme

[keys]
"""
THEME = """\
name = "ember"
primary = "#c0392b"
background = "#1b0f0d"
accent = "gold"
dark = true
[variables]
footer-key-foreground = "#ffa62b"
"""


def write() -> None:
    """Write config.toml with every setting and every key, a theme, and roles."""
    directory = paths.private_directory(paths.config_file().parent)
    keys = [f'"{name}" = "{key}"\n' for name, key in chosen_keys().items()]
    paths.config_file().write_text(CONFIG + "".join(keys))
    paths.themes_dir().mkdir()
    (paths.themes_dir() / "ember.toml").write_text(THEME)
    paths.roles_dir().mkdir()
    (paths.roles_dir() / "pirate.md").write_text("You are a pirate.\nSay arr.\n")
    (paths.roles_dir() / "translator.txt").write_text("Translate into German.\n", "utf-8")
    assert directory.is_dir()


def chosen_keys() -> dict[str, str]:
    """Return another key for everything that can have one, some written as people write them."""
    letters = "abcdefghijklmnpqrstuvwxyz"
    candidates = [
        *(f"f{number}" for number in range(13, 25)),
        *(f"alt+f{number}" for number in range(1, 13)),
        *(f"ctrl+f{number}" for number in range(1, 13)),
        *(f"alt+shift+{letter}" for letter in letters),
        *(f"ctrl+alt+{letter}" for letter in letters),
    ]
    usual = {name for key in (*KEYS, *PROMPT_KEYS) for name in key.names}
    free = []
    for name in candidates:
        try:
            if key_name(name) not in usual:
                free.append(name)
        except ValueError:
            continue
    chosen = {key.id: free.pop(0) for key in (*KEYS, *PROMPT_KEYS) if not key.fixed}
    chosen["tab.new"] = f"{chosen['tab.new']}, Shift+Alt+PgUp"
    keymap_of(chosen)
    return chosen
