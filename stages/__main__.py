"""Run a stage, or a command of by_hand/, with the code of this very checkout.

`python stages NAME [ARGUMENT ...]` may be called from any folder with a params.yaml: demo/ calls
`python ../stages NAME`. `python -m stages.NAME` does the same in the root of the checkout.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the stage that the first argument names."""
    folder = Path(__file__).resolve().parent
    modules = {path.stem: f"stages.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))}
    for path in sorted(folder.glob("by_hand/[a-z]*.py")):
        modules[path.stem] = f"stages.by_hand.{path.stem}"
    if len(sys.argv) < 2 or sys.argv[1] not in modules:
        sys.exit(f"usage: python {sys.argv[0]} NAME [ARGUMENT ...]; NAME is: {', '.join(modules)}")
    sys.path[0] = str(folder.parent)  # it was stages/ itself
    runpy.run_module(modules[sys.argv.pop(1)], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
