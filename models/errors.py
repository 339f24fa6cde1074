"""The one exception that says: the user gave us something we cannot work with."""


class PipelineError(Exception):
    """Bad input from outside (a file, a parameter, a missing tool), told in one sentence.

    The message names the file or key, what was found, what was expected and how to mend it.
    Stages print it without a traceback and exit with status 1.
    """
