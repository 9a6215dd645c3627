"""The exit codes, and the mapping of errors to them."""

import enum

from koel_tui.cli.debugging import DEBUG_OPTION


class Exit(enum.IntEnum):
    """The exit codes of the process, from sysexits.h if it has a suitable number."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NO_ANSWER = 65
    NO_MODEL = NO_FILE = 66
    NO_SERVER = 69
    ENGINE_DIED = 71
    NO_DIRECTORY = 73
    SAVE_FAILED = OUTPUT_FAILED = 74
    LOCKED = 75
    WRONG_PASSPHRASE = 77
    BAD_CONFIG = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_BY_CLASS = {
    "ModelFileError": Exit.NO_MODEL,
    "NoModelError": Exit.NO_MODEL,
    "ModelLoadError": Exit.NO_MODEL,
    "ChatTemplateError": Exit.NO_MODEL,
    "ModelUnavailableError": Exit.NO_MODEL,
    "UnwritableError": Exit.SAVE_FAILED,
    "DownloadError": Exit.NO_SERVER,
    "TransportError": Exit.NO_SERVER,
    "EngineCrashedError": Exit.ENGINE_DIED,
    "RestartLimitError": Exit.ENGINE_DIED,
    "DirectoryError": Exit.NO_DIRECTORY,
    "ThreadLockedError": Exit.LOCKED,
    "WrongPassphraseError": Exit.WRONG_PASSPHRASE,
    "NoKeyError": Exit.WRONG_PASSPHRASE,
    "BusinessError": Exit.WRONG_PASSPHRASE,
    "EncryptedThreadsError": Exit.LOCKED,
    "StorageError": Exit.SAVE_FAILED,
    "SettingsError": Exit.BAD_CONFIG,
    "ReadOnlyThreadError": Exit.LOCKED,
    "ContextOverflowError": Exit.USAGE,
    "UnsupportedError": Exit.USAGE,
    "ImportProblem": Exit.NO_FILE,
    "UsageProblem": Exit.USAGE,
}


class UsageProblem(Exception):  # noqa: N818 - the caller's, not ours
    """The command cannot be run as given; the message gives the remedy."""


def error_message(error: BaseException) -> str:
    """Return the message for an error: the problem and the remedy."""
    if exit_code(error) is Exit.INTERNAL:
        return (
            f"koel-chat has an internal error ({type(error).__name__}). "
            f"Your saved threads are unchanged. Run it with {DEBUG_OPTION} for the details."
        )
    return str(error)


def exit_code(error: BaseException) -> Exit:
    """Return the exit code of an error, looked up by the names of its classes.

    Names are used because importing the packages of the classes would delay every start.
    """
    return exit_code_by_name(*(kind.__name__ for kind in type(error).__mro__))


def exit_code_by_name(*names: str) -> Exit:
    """Return the exit code of the first known class name."""
    return next((_BY_CLASS[name] for name in names if name in _BY_CLASS), Exit.INTERNAL)
