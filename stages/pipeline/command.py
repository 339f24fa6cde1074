"""How every stage starts: logging, the variant's name from the command line, errors in one line."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from models.files.errors import PipelineError


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage that takes no argument; a PipelineError ends it in one line and status 1."""
    argparse.ArgumentParser(description=sys.modules["__main__"].__doc__).parse_args()
    guarded(main)


def run_variant_stage(main: Callable[..., None], folders: Mapping[str, str] | None = None) -> None:
    """Run a stage on the variant that the command line names (a key of params.yaml `variants`).

    `folders` are options that take a folder, with their help: `main` gets each by name, or None.
    """
    _run_on_one("variant", "relu_h96", main, folders)


def run_design_stage(main: Callable[..., None], folders: Mapping[str, str] | None = None) -> None:
    """Run a stage on the design that the command line names (a key of params.yaml `designs`)."""
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
    """Call a stage with logging on; a PipelineError ends it in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        call()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from the last finished epoch, if any")
