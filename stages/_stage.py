"""How every stage starts: logging, the variant's name from the command line, errors in one line."""

import argparse
import logging
import sys
from collections.abc import Callable

from models.errors import PipelineError


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage that takes no argument; a PipelineError ends it in one line and status 1."""
    argparse.ArgumentParser(description=sys.modules["__main__"].__doc__).parse_args()
    guarded(main)


def run_variant_stage(main: Callable[[str], None]) -> None:
    """Run a stage on the variant that the command line names (a key of params.yaml `variants`)."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("variant", help="a key under `variants` in params.yaml, e.g. relu_h96")
    variant = parser.parse_args().variant
    guarded(lambda: main(variant))


def guarded(call: Callable[[], None]) -> None:
    """Call a stage with logging on; a PipelineError ends it in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        call()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from the last finished epoch, if any")
