"""The two errors that end a command with a message instead of a traceback."""


class UsageError(Exception):
    """A call that is wrong.

    The message is one sentence that names the file or setting, says what is wrong and what to do.
    The command line prints it as it is and ends with exit code 2.
    """


class WorkFailed(Exception):
    """Work that started and could not be finished; the command line prints it and ends with exit code 1."""
