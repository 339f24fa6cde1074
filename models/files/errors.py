"""The one exception that says: the user gave us something we cannot work with; errors as a line."""

_LINE = 300  # characters


class PipelineError(Exception):
    """Bad input from outside (a file, a parameter, a missing tool), told in one sentence.

    The message names the file or key, what was found, what was expected and how to mend it.
    Stages print it without a traceback and exit with status 1.
    """


def one_line(error: Exception) -> str:
    """Return what an error says as one line of at most 300 characters."""
    return " ".join(str(error).split())[:_LINE]
