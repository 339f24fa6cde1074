"""Run a stage, or a command of by_hand/, with the code of this checkout.

`python stages NAME [ARGUMENT ...]` works in any folder that has a params.yaml; demo/ runs `python
../stages NAME`. In the root of the checkout, `python -m stages.NAME` does the same.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the stage or command that the first argument names."""
    folder = Path(__file__).resolve().parent
    modules = {path.stem: f"stages.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))}
    for path in sorted(folder.glob("by_hand/[a-z]*.py")):
        modules[path.stem] = f"stages.by_hand.{path.stem}"
    if len(sys.argv) < 2 or sys.argv[1] not in modules:
        sys.exit(f"usage: python {sys.argv[0]} NAME [ARGUMENT ...]; NAME is: {', '.join(modules)}")
    sys.path[0] = str(folder.parent)  # instead of stages/, which Python put there
    try:
        runpy.run_module(modules[sys.argv.pop(1)], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # while it imports: afterwards stages/pipeline/command.py has it
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] in ("stages", "models", "hls"):
            raise
        sys.exit(
            f"{sys.executable} has no package {missing.name}. Run `make setup` once, then"
            " `source .venv/bin/activate` in every new terminal."
        )


if __name__ == "__main__":
    main()
