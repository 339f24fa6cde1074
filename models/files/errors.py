"""The exception for invalid user input, and one-line error texts."""

from pathlib import Path

_LINE = 300  # characters


class PipelineError(Exception):
    """Invalid input from outside (a file, a parameter, a missing tool), reported in one sentence.

    The message names the file or key, what was found, what was expected and how to mend it.
    Stages print it without a traceback and exit with status 1.
    """


def one_line(error: Exception) -> str:
    """Return the message of an error as one line of at most 300 characters.

    >>> one_line(ValueError("two\\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split())[:_LINE]


def restore(path: Path | str) -> str:
    """Return the words that say how to get a damaged output of the pipeline again.

    The file is removed first: DVC does not look into a file whose size and date are the old ones.
    """
    return (
        f"remove it, then get it with `dvc checkout {path}` or `dvc pull {path}`, or make it again "
        "with `dvc repro`"
    )
