"""The one error that a user's call can cause."""


class UsageError(Exception):
    """A call that cannot be carried out as given.

    The message is one sentence that names the file or setting, says what is wrong, and what to do.
    The command line prints it as it is and ends with exit code 2.
    """


class WorkFailed(Exception):
    """Work that was begun and could not be finished; the command line prints it and ends with exit code 1."""
