"""Check the pragmas of hls/cpp and hls/board; the exit status is 1 if one is wrong."""

import sys
from pathlib import Path

from hls.pragmas.directives import VERSION
from hls.pragmas.lint import lint_folder

SOURCES = Path(__file__).parents[1]  # hls/, with the C++ of both accelerators and the boards'


def main() -> int:
    """Print every wrong pragma, or how many are right; return the exit status."""
    count, wrong = lint_folder(SOURCES)
    lines = wrong or [f"{count} pragmas follow {VERSION}."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
