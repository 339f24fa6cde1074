"""How every stage starts: logging, the variant's name from the command line, errors in one line."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from models.errors import PipelineError


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage that takes no argument; a PipelineError ends it in one line and status 1."""
    argparse.ArgumentParser(description=sys.modules["__main__"].__doc__).parse_args()
    _guarded(main)


def run_variant_stage(main: Callable[..., None], folders: Mapping[str, str] | None = None) -> None:
    """Run a stage on the variant that the command line names (a key of params.yaml `variants`).

    `folders` are options that take a folder, with their help: `main` gets each by name, or None.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("variant", help="a key under `variants` in params.yaml, e.g. relu_h96")
    for option, text in (folders or {}).items():
        parser.add_argument(f"--{option}", metavar="DIR", type=Path, help=text)
    options = vars(parser.parse_args())
    variant = options.pop("variant")
    _guarded(lambda: main(variant, **options))


def _guarded(call: Callable[[], None]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        call()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from the last finished epoch, if any")
