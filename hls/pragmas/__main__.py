"""Check the pragmas of hls/cpp; the exit status is 1 if one is wrong."""

import sys

from hls.cpp.accelerators import SOURCES
from hls.pragmas.directives import VERSION
from hls.pragmas.lint import lint_folder


def main() -> int:
    """Print every wrong pragma, or how many are right; return the exit status."""
    count, wrong = lint_folder(SOURCES)
    lines = wrong or [f"{count} pragmas follow {VERSION}."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
