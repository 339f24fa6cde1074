"""Fuzz the readers: `python -m tests.fuzz --reader NAME --inputs 1000 --seed 0 --seconds 60`.

Ends with status 1 if an input broke the rule. Such inputs are in build/fuzz/<reader>/, and
`--only INDEX` tries one again.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the readers run in forks, and threads do not fork

from tests.fuzz.harness import all_readers, fuzz


def main() -> int:
    """Run the readers that the command line names; return the number of findings."""
    readers, arguments = all_readers(), _arguments()
    unknown = set(arguments.reader) - readers.keys()
    if unknown:
        sys.exit(f"error: no reader {min(unknown)}; there are: {', '.join(readers)}.")
    total = 0
    for name in arguments.reader or readers:
        keep = Path("build/fuzz", name).resolve()
        keep.mkdir(parents=True, exist_ok=True)
        indices = range(arguments.inputs) if arguments.only is None else [arguments.only]
        result = fuzz(readers[name], indices, arguments.seed, arguments.seconds, keep)
        count = len(result.findings)
        sys.stdout.write(
            f"{name}: {result.read} read, {result.refused} refused, {count} found\n"
            + "".join(f"  input {i}: {text}\n" for i, text in result.findings.items())
        )
        sys.stdout.flush()
        total += count
    return total


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--reader", action="append", default=[], help="by default all")
    parser.add_argument("--inputs", type=int, default=1000, help="number of inputs per reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60, help="time limit per reader")
    parser.add_argument("--only", type=int, help="try the input with this index alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
