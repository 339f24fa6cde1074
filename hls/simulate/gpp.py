"""C-simulation without a licence: compile the accelerator and its test bench with g++ and run it.

The ap_int and hls_stream headers are the open ones of the installed hls4ml package, which is not
imported.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from hls.cpp.accelerators import ACCELERATORS, SOURCES, STREAMING, TEST_BENCH
from hls.processes import Children
from models.files.errors import PipelineError

FLAGS = (
    "-std=c++14",
    "-O3",
    "-DNATIVE_SUMS",  # hls/cpp/common/fixed_point.hpp
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",  # #pragma HLS
    "-Wno-unused-label",  # labels are the names of loops in the reports of Vitis HLS
    "-Wno-missing-braces",  # params.hpp lists an array's values flat, in the order of memory
    "-Wno-uninitialized",  # ap_private.h sign-extends a value before it sets it
    "-Wno-maybe-uninitialized",
)

Result: TypeAlias = subprocess.CompletedProcess[str]

_RESULT = re.compile(r"^(?:PASS|FAIL) images (\d+) mismatches (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class ImageFiles:
    """Files with `count` test images: int8 tokens and expected int8 logits, image after image."""

    tokens: Path
    logits: Path
    count: int


def ap_types_folder() -> Path:
    """Return the folder of ap_int.h and hls_stream.h; PipelineError if hls4ml is not installed."""
    spec = find_spec("hls4ml")
    for package in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(package) / "templates" / "vivado" / "ap_types"
        if (folder / "ap_int.h").is_file() and (folder / "hls_stream.h").is_file():
            return folder
    raise PipelineError(
        "C-simulation needs the ap_int headers of the Python package hls4ml, which are not "
        "installed; run `pip install hls4ml`."
    )


def compiler_path(compiler: str) -> str:
    """Return the full path of a C++ compiler; PipelineError if it is not on PATH."""
    path = shutil.which(compiler)
    if path is None:
        fault = "may not be run" if Path(compiler).is_file() else "is not on PATH"
        raise PipelineError(
            f"csim.compiler is {compiler!r}, which {fault}; install it (Debian: "
            "`apt install g++`) or name another C++ compiler in params.yaml."
        )
    return path


def build(
    compiler: str,
    headers: Sequence[Path],
    folder: Path,
    log: Path,
    flags: Sequence[str] = (),
    accelerator: str = STREAMING,
) -> Path:
    """Compile the test bench of an accelerator into `folder` and return the path of the program.

    `headers` are the folders of the generated headers. The compiler's output is appended to `log`;
    PipelineError quotes its first error.
    """
    design = ACCELERATORS[accelerator]
    sources = [SOURCES / design.source, SOURCES / TEST_BENCH]
    includes = [*(SOURCES / folder for folder in design.include_folders), *headers]
    return compile_program(compiler, sources, includes, folder / "testbench", log, flags)


def compile_program(
    compiler: str,
    sources: Sequence[Path],
    includes: Sequence[Path],
    binary: Path,
    log: Path,
    flags: Sequence[str] = (),
) -> Path:
    """Compile the sources in parallel, link them to `binary` and return `binary`.

    Object files are written to the folder of `binary`. The compiler's output is appended to `log`;
    PipelineError quotes its first error.
    """
    path = compiler_path(compiler)
    options = [*FLAGS, *_native(path), *flags]
    options += [f"-I{include.resolve()}" for include in includes]
    options += ["-isystem", str(ap_types_folder())]
    objects = [binary.with_name(f"{source.name}.o") for source in sources]
    commands = [
        [path, *options, "-c", str(source), "-o", str(target)]
        for source, target in zip(sources, objects, strict=True)
    ]
    scratch = {"TMPDIR": str(binary.parent)}  # for the compiler's own temporary files
    _check_compiled(compiler, run_all(commands, log, scratch), objects, log)
    link = [path, *flags, *map(str, objects), "-o", str(binary)]
    _check_compiled(compiler, run_all([link], log, scratch), [binary], log)
    return binary


def _check_compiled(
    compiler: str, done: Sequence[Result], written: Sequence[Path], log: Path
) -> None:
    """Raise PipelineError if a command failed, or ended well but wrote no file."""
    for process, file in zip(done, written, strict=True):
        if process.returncode != 0 or not file.is_file():
            said = first_line(process.stdout, "error|No space left")
            reason = said or f"it wrote no program ({ended(process.returncode)})"
            raise PipelineError(f"{compiler} cannot compile the HLS code: {reason}; see {log}.")


def simulate(binary: Path, log: Path, images: ImageFiles | None = None, jobs: int = 1) -> int:
    """Run the golden samples, and `images` split over `jobs` processes; return the images' count.

    The samples run one by one, then again in calls of several images; `images` run in such calls
    only. PipelineError quotes the first difference: an unexpected layer output or logit, a read
    from an empty stream, or data left in a stream.
    """
    commands = [[str(binary), os.devnull, os.devnull, "0", "0"]]
    if images is not None and images.count > 0:
        commands = _shares(binary, images, jobs)
    for process in run_all(commands, log):
        result = _RESULT.search(process.stdout)
        if process.returncode != 0 or result is None or result[2] != "0":
            reason = first_line(process.stdout, "MISMATCH|ssert|ERROR") or "it ended early"
            raise PipelineError(
                f"C-simulation failed: {reason} ({ended(process.returncode)}); see {log}."
            )
    return images.count if images is not None else 0


def default_jobs() -> int:
    """Return the number of CPUs of this machine."""
    return os.cpu_count() or 1


def _shares(binary: Path, images: ImageFiles, jobs: int) -> list[list[str]]:
    jobs = min(jobs, images.count)
    bounds = [images.count * job // jobs for job in range(jobs + 1)]
    files = [str(binary), str(images.tokens), str(images.logits)]
    return [[*files, str(first), str(last - first)] for first, last in pairwise(bounds)]


def _native(compiler: str) -> list[str]:
    """Return ["-march=native"] if the compiler accepts it, otherwise an empty list."""
    flag = "-march=native"
    command = [compiler, flag, "-E", "-x", "c++", os.devnull, "-o", os.devnull]
    with Children() as children:
        process = _started(children, command, subprocess.DEVNULL)
        return [flag] if process.wait() == 0 else []


def run(command: Sequence[str], log: Path) -> Result:
    """Run a command until it ends; append the command and its output to `log`."""
    return run_all([command], log)[0]


def run_all(
    commands: Sequence[Sequence[str]],
    log: Path,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> list[Result]:
    """Run commands side by side until all have ended; append each with its output to `log`.

    They run in `folder`; `variables` are added to their environment. PipelineError if one cannot be
    started. None of them outlives this process.
    """
    with ThreadPoolExecutor(len(commands)) as pool, Children() as children:

        def run_one(command: Sequence[str]) -> Result:
            process = _started(children, command, subprocess.PIPE, variables, folder)
            output = process.communicate()[0].decode(errors="replace")
            children.end(process)
            with log.open("a") as file:  # one write per command, so that parallel ones do not mix
                file.write(f"$ {' '.join(command)}\n{output}\n")
            return Result(command, process.returncode, output)

        return list(pool.map(run_one, commands))


def ended(status: int) -> str:
    """Return how a process ended, from its exit status; negative: by a signal.

    >>> ended(3), ended(-9)
    ('status 3', 'killed by SIGKILL')
    """
    known = {int(number) for number in signal.Signals}
    return f"killed by {signal.Signals(-status).name}" if -status in known else f"status {status}"


def _started(
    children: Children,
    command: Sequence[str],
    output: int,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command; PipelineError, which says what to do, if that is not possible."""
    program = Path(command[0])
    try:
        return children.start(command, output, folder, variables)
    except PermissionError:
        raise PipelineError(
            f"{program} may not be run; if {program.parent} is on a file system that runs no "
            "programs (mounted noexec), set the environment variable TMPDIR to a folder on one "
            "that does, otherwise make the file executable."
        ) from None
    except OSError as error:
        raise PipelineError(f"{program} cannot be started: {error.strerror}.") from None


def first_line(text: str, pattern: str) -> str | None:
    """Return the first line that contains a match of `pattern`, None without one."""
    found = re.search(rf"^.*(?:{pattern}).*$", text, re.MULTILINE)
    return found[0].strip() if found else None
