"""Start a stage: parse the command line, set up logging, print an error as one line."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from models.files.errors import PipelineError


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
    """Call a stage with logging set up; a PipelineError is printed as one line, with status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        call()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "Interrupted. Run the same command again: a training resumes after its last epoch."
        )
