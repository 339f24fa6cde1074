"""CPU seconds of frequent DVC commands, and their ratios to `dvc --version` in the same run.

    python -m benchmarks.dvc_speed            this repository, where `dvc repro` has nothing to do
    python -m benchmarks.dvc_speed --floor    also a bare one with as many stages: DVC's own floor

Every figure is the median of RUNS runs: user plus system time, including child processes.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 5
COMMANDS = {
    "--version": 1,
    "status": 8,
    "repro": 10,
    "params diff": 6,
    "metrics show": 6,
    "dag": 6,
}  # command: largest ratio that we aim for
GIT = ("git", "-c", "user.name=b", "-c", "user.email=b@localhost")


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return user plus system time of one run in seconds; CalledProcessError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, runs: int) -> dict[str, float]:
    """Return the median CPU seconds of every command in a repository."""
    dvc = [sys.executable, "-m", "dvc"]
    return {
        command: statistics.median(
            cpu_seconds([*dvc, *command.split()], folder) for _ in range(runs)
        )
        for command in COMMANDS
    }


def stage_count(folder: Path) -> int:
    """Return the number of stages that DVC finds in a repository."""
    command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return len(listed.stdout.splitlines())


def bare_repository(folder: Path, stages: int) -> None:
    """Create a repository with a chain of `stages` stages, each with one output."""
    lines = ["stages:"]
    for number in range(stages):
        lines += [f"  s{number}:", f"    cmd: echo {number} > out{number}"]
        lines += [f"    deps: [out{number - 1}]"] if number else []
        lines += [f"    outs: [out{number}]"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    (folder / ".gitignore").write_text("/out*\n")
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        [*GIT, "init", "--quiet"],
        [*dvc, "init", "--quiet"],
        [*dvc, "config", "core.analytics", "false"],
        [*dvc, "repro", "--quiet"],
        [*GIT, "add", "."],
        [*GIT, "commit", "--quiet", "--message=bare"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def report(title: str, seconds: dict[str, float]) -> None:
    """Print the table of one repository."""
    base = seconds["--version"]
    print(f"{title}\n{'command':14}{'CPU s':>8}{'ratio':>8}{'goal':>8}")
    for command, value in seconds.items():
        print(f"{command:14}{value:8.2f}{value / base:8.1f}{COMMANDS[command]:8}")


def main() -> None:
    """Measure this repository and, on request, a bare one with the same number of stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--floor", action="store_true", help="measure a bare repository, too")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs per command ({RUNS})")
    options = parser.parse_args()
    os.environ["DVC_NO_ANALYTICS"] = "1"
    here = Path(__file__).resolve().parent.parent
    stages = stage_count(here)
    report(f"this repository, {stages} stages", measure(here, options.runs))
    if options.floor:
        with tempfile.TemporaryDirectory() as folder:
            bare_repository(Path(folder), stages)
            report(f"bare repository, {stages} stages", measure(Path(folder), options.runs))


if __name__ == "__main__":
    main()
