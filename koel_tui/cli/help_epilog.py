"""The epilog of the main help: exit codes and environment variables."""

from koel_tui.cli.exit_codes import Exit

_MEANINGS = {
    Exit.OK: "success",
    Exit.INTERNAL: "an internal error of koel-chat",
    Exit.USAGE: "a wrong command line, or a message that is too large",
    Exit.NO_ANSWER: "no usable answer: it is empty, only thinking, or refused",
    Exit.NO_MODEL: "the model or a file is missing or cannot be used",
    Exit.NO_SERVER: "a server is down or refuses the request",
    Exit.ENGINE_DIED: "the engine crashed",
    Exit.NO_DIRECTORY: "a directory cannot be created or used",
    Exit.SAVE_FAILED: "something could not be saved or printed; threads cannot be read",
    Exit.LOCKED: "a thread is open in another program, or encrypted",
    Exit.WRONG_PASSPHRASE: "a passphrase or key is missing, wrong or refused",
    Exit.BAD_CONFIG: "the configuration cannot be used",
    Exit.INTERRUPTED: "interrupted with ctrl+c",
    Exit.BROKEN_PIPE: "the reader of the output ended first, as in `| head -1`",
}
_SIGNALS = ("129, 143", "ended by a signal: terminal closed, terminated")
_ENVIRONMENT = {
    "KOEL_NAME": "sets the setting `name`, for example KOEL_THEME",
    "KOEL_PASSPHRASE_FILE": "file with the passphrase of encrypted threads",
    "VISUAL, EDITOR": "the editor for prompts and for config.toml",
    "NO_COLOR": "if set: shades of grey instead of colours",
    "TERM": "dumb starts the plain mode",
}


def epilog() -> str:
    """Return the epilog, in blocks that click does not rewrap."""
    codes = [(str(int(code)), meaning) for code, meaning in _MEANINGS.items()]
    return "\n\n".join(
        [
            "Run `koel-chat COMMAND --help` for the options and examples of a command.",
            _format_block("Exit codes:", [*codes, _SIGNALS]),
            _format_block("Environment:", list(_ENVIRONMENT.items())),
        ]
    )


def _format_block(title: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(["\b", title, *(f"  {name:<{width}}  {text}" for name, text in rows)])
