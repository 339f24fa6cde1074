"""Prove the contracts of hls/rtl; the exit status is 1 if a proof fails or a tool is absent."""

import sys
import tempfile
from pathlib import Path

from hls.prove.properties import PROPERTIES
from hls.prove.prover import line, prove
from models.files.errors import PipelineError


def main(names: list[str]) -> int:
    """Prove the properties whose name begins with one of `names`, all without names.

    Prints a line per property and planted fault; returns the exit status.
    """
    chosen = [p for p in PROPERTIES if not names or p.name.startswith(tuple(names))]
    if not chosen:
        known = ", ".join(property.name for property in PROPERTIES)
        sys.stderr.write(f"No property begins with {' or '.join(names)}; there are: {known}.\n")
        return 1
    wrong = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for outcome in prove(chosen, Path(folder)):
                sys.stdout.write(f"{line(outcome)}\n")
                sys.stdout.flush()
                wrong += not outcome.as_it_should
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if wrong:
        sys.stderr.write(f"{wrong} lines above are not as they should be.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
