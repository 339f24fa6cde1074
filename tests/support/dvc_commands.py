"""Run DVC commands in forks of one process that has imported DVC.

Half of the time of a DVC command is its start. A fork shares the imports and nothing else with
earlier commands: folder, environment and output are its own.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.support.dvc_imports"])


def run_dvc(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> str:
    """Return what `dvc ARGUMENTS` prints in `folder`; AssertionError with all of it if it fails."""
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary, "stdout"), Path(temporary, "stderr")]
        command = SERVER.Process(target=_run, args=(folder, arguments, dict(environment), files))
        command.start()
        command.join()
        texts = [file.read_text() if file.exists() else "" for file in files]
    assert command.exitcode == 0, "\n".join((f"dvc {' '.join(arguments)}", *texts))
    return texts[0]


def _run(
    folder: Path, arguments: list[str], environment: Mapping[str, str], files: list[Path]
) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    from dvc.cli import main

    sys.exit(main(arguments))
