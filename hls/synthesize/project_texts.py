"""The texts of a project folder: config file and Tcl script for the tool, README for the engineer.

All sources are in src/, so each #include "..." finds its file. Paths are relative, so the folder
can be copied anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hls.cpp.accelerators import START_FIFO_DEPTH

CONFIG, SCRIPT = "hls_config.cfg", "run.tcl"
EXPORTS = ("none", "syn", "impl")
FLAGS = "-std=c++14"


@dataclass(frozen=True)
class SynthesisTarget:
    """The target of a build, and the steps to run after C simulation and synthesis.

    `clock_ns` is the clock period. `clock_uncertainty` is in percent of it; None means the tool's
    default. `export` is none, syn (Vivado synthesis) or impl (Vivado place and route).
    """

    part: str
    clock_ns: float
    flow_target: str = "vitis"
    clock_uncertainty: float | None = None
    cosim: bool = False
    export: str = "none"


def config_text(
    top: str, design: Sequence[str], test_bench: Sequence[str], target: SynthesisTarget
) -> str:
    """Return the text of hls_config.cfg, for v++ and vitis-run (2023.2 and newer)."""
    lines = [f"part={target.part}", "", "[hls]", f"clock={target.clock_ns:g}ns"]
    if target.clock_uncertainty is not None:
        lines.append(f"clock_uncertainty={target.clock_uncertainty:g}%")
    lines += [f"flow_target={target.flow_target}", f"syn.top={top}"]
    lines.append(f"syn.dataflow.start_fifo_depth={START_FIFO_DEPTH}")
    lines += [*(f"syn.file={file}" for file in design), f"syn.cflags={FLAGS}"]
    lines += [*(f"tb.file={file}" for file in test_bench), f"tb.cflags={FLAGS}"]
    lines.append(f"package.output.syn={str(target.export != 'none').lower()}")
    if target.export != "none":
        lines.append(f"vivado.flow={target.export}")
    return "\n".join(lines) + "\n"


def script_text(
    top: str,
    design: Sequence[str],
    test_bench: Sequence[str],
    target: SynthesisTarget,
    project: str,
) -> str:
    """Return run.tcl, for `vitis_hls -f`, `vivado_hls -f` and `vitis-run --mode hls --tcl`.

    vitis-run passes no arguments to the script, so the script contains all settings. If a step
    fails, the tool exits with status 1.
    """
    uncertainty = target.clock_uncertainty
    lines = [
        f"open_project -reset {project}",
        f"set_top {top}",
        *(f"add_files {file} -cflags {{{FLAGS}}}" for file in design),
        *(f"add_files -tb {file} -cflags {{{FLAGS}}}" for file in test_bench),
        "if {[string match *vivado_hls* [info nameofexecutable]]} {",
        "  open_solution -reset solution",  # Vivado HLS has no flow target
        "} else {",
        f"  open_solution -reset solution -flow_target {target.flow_target}",
        "}",
        f"set_part {{{target.part}}}",
        f"create_clock -period {target.clock_ns:g}",
        f"config_dataflow -start_fifo_depth {START_FIFO_DEPTH}",
        *([] if uncertainty is None else [f"set_clock_uncertainty {uncertainty:g}%"]),
        f"foreach step {{{' '.join(f'{{{step}}}' for step in _commands(target))}}} {{",
        "  if {[catch $step message]} {",
        '    puts "ERROR: $step: $message"',
        "    exit 1",
        "  }",
        "}",
        "exit 0",
    ]
    return "\n".join(lines) + "\n"


def _commands(target: SynthesisTarget) -> list[str]:
    commands = ["csim_design", "csynth_design"]
    if target.cosim:
        commands.append("cosim_design")
    if target.export != "none":
        commands.append(f"export_design -flow {target.export} -rtl verilog")
    return commands


def unified_commands(target: SynthesisTarget, work: str) -> list[tuple[str, ...]]:
    """Return the command lines of the config file flow, one per step, in order."""
    common = ("--config", CONFIG, "--work_dir", work)
    run = ("vitis-run", "--mode", "hls")
    commands: list[tuple[str, ...]] = [
        (*run, "--csim", *common),
        ("v++", "-c", "--mode", "hls", *common),
    ]
    if target.cosim:
        commands.append((*run, "--cosim", *common))
    if target.export != "none":
        commands.append((*run, "--impl", *common))
    return commands


def readme_text(name: str, top: str, target: SynthesisTarget, work: str, project: str) -> str:
    """Return the text of README.md: what the folder is, how to run it, what to bring back."""
    commands = "\n".join(" ".join(command) for command in unified_commands(target, work))
    return f"""\
# {name}: an HLS project

Top function `{top}`, part `{target.part}`, clock {target.clock_ns:g} ns. Everything is in this
folder; it was generated, so change the pipeline rather than these files.

Copy the folder to the machine that has the tool and run in it, with Vitis 2023.2 or newer:

```
{commands}
```

or with Vitis HLS 2020.1 to 2024.2 (`vivado_hls` takes the same script, where it knows C++14; Vitis
2023.1 says `vitis-run --mode hls --tcl {SCRIPT}`):

```
vitis_hls -f {SCRIPT}
```

Then bring the folder back, or at least `manifest.json` and the folder `{work}` or `{project}`, and
have the pipeline read it:

```
python -m stages.synthesize {name} --reports <the folder>
```

It is read only if top function, part, clock and the sha256 of every source are those of the design.
To look at it in the tool: `vitis -w .` or `vitis_hls -p {project}`.
"""
