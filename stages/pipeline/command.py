"""Start a stage: parse the command line, set up logging, print an error as one line."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from models.files.errors import PipelineError
from models.files.system_errors import explained
from stages.pipeline.ending import signal_of, stopped_by_signals

_AGAIN = "Nothing half-written stays; run the same command again."


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage that takes no argument; a PipelineError is printed as one line, with status 1."""
    argparse.ArgumentParser(description=sys.modules["__main__"].__doc__).parse_args()
    guarded(main)


def run_variant_stage(main: Callable[..., None], folders: Mapping[str, str] | None = None) -> None:
    """Run a stage for the variant (a key of `variants` in params.yaml) on the command line.

    `folders` maps the names of options that take a folder to their help texts. `main` gets each
    option as a keyword argument, None if it is not given.
    """
    _run_on_one("variant", "relu_h96", main, folders)


def run_design_stage(main: Callable[..., None], folders: Mapping[str, str] | None = None) -> None:
    """Run a stage for the design (a key of `designs` in params.yaml) on the command line.

    `folders` as for `run_variant_stage`.
    """
    _run_on_one("design", "relu_h96_stream", main, folders)


def _run_on_one(
    kind: str, example: str, main: Callable[..., None], folders: Mapping[str, str] | None
) -> None:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument(kind, help=f"a key under `{kind}s` in params.yaml, e.g. {example}")
    for option, text in (folders or {}).items():
        parser.add_argument(f"--{option}", metavar="DIR", type=Path, help=text)
    options = vars(parser.parse_args())
    name = options.pop(kind)
    guarded(lambda: main(name, **options))


def guarded(call: Callable[[], None]) -> None:
    """Call a stage with logging set up; whatever the user can mend is printed as one line.

    Ends with status 1 after an error. Ctrl-C, SIGTERM and SIGHUP end it with 128 plus the number of
    the signal (130, 143, 129), after the clean-up. An error that nobody but us can mend keeps its
    traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.raiseExceptions = False  # a full disk under a redirected stderr must not end a training
    try:
        with stopped_by_signals():
            call()
            sys.stdout.flush()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # the reader of the output has ended, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt as error:
        stopped = signal_of(error)
        logging.error("Interrupted by %s. %s", stopped.name, _notes(error) or _AGAIN)
        sys.exit(128 + stopped)
    except Exception as error:
        text = explained(error)
        if text is None:
            raise
        sys.exit(f"error: {text} {_notes(error)}".rstrip())


def _notes(error: BaseException) -> str:
    """Return what the code that an exception passed through has added to it."""
    return " ".join(getattr(error, "__notes__", ()))
