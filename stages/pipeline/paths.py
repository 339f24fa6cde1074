"""Paths of the pipeline's files, relative to the folder of params.yaml."""

from pathlib import Path

PARAMS = Path("params.yaml")
CODE = Path("data/code")
SWEEPS = Path("data/sweeps")
DATASET = Path("data/dataset.npz")
TEACHER = "teacher"  # the ResMLP from which the students learn
CONVNET = "convnet"  # the network from which the teacher learns


def artifact(name: str, file: str) -> Path:
    """Return the path of a network's file: data/<variant or teacher>/<file>."""
    return Path("data") / name / file


def design_artifact(design: str, file: str) -> Path:
    """Return the path of a design's file: data/designs/<design>/<file>."""
    return Path("data/designs") / design / file


def metrics(kind: str, name: str) -> Path:
    """Return the path of a metrics file: data/metrics/<kind>/<network or design>.json."""
    return Path("data/metrics") / kind / f"{name}.json"


def synthesis_file(design: str) -> Path:
    """Return the path of the HLS tool's figures for a design; absent if no tool has run."""
    return Path("data/synthesis") / design / "metrics.json"


def comparison_file(design: str) -> Path:
    """Return the path of the comparison of those figures with the model and the estimate."""
    return synthesis_file(design).with_name("comparison.json")


def rtl_file(design: str) -> Path:
    """Return the path of a design's figures from simulated RTL; absent without Verilator."""
    return Path("data/rtl") / design / "metrics.json"


def gates_file(design: str) -> Path:
    """Return the path of a design's counts of gates; absent without Yosys."""
    return Path("data/metrics/gates") / design / "metrics.json"


def route_file(design: str) -> Path:
    """Return the path of a design's figures from place and route; absent without nextpnr."""
    return Path("data/metrics/route") / design / "metrics.json"


def history(kind: str, name: str) -> Path:
    """Return the path of a training curve: data/history/<float or int8>/<name>.csv."""
    return Path("data/history") / kind / f"{name}.csv"


def cost(kind: str, name: str) -> Path:
    """Return the path of the cost of a training, next to its curve."""
    return history(kind, name).with_suffix(".json")
