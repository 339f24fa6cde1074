"""Write the fingerprints of the code of every stage to data/code/.

Every other stage depends on its fingerprint, so it reruns when the code that it computes with
changes (stages/pipeline/fingerprint.py). Comments do not change a fingerprint. Neither do functions
that only other stages use, nor activations that the stage's network does not have.

There is one file for each variant and each design, and pipeline.json for the stages that run once.
DVC reads these files as parameters, so `dvc params diff` lists the stages that an edit affects.
Some fingerprints are followed by values: the part of the row in params.yaml that the stage uses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import ACCELERATORS, STREAMING, cpp_files
from models.files.atomic import replace_folder
from stages.pipeline.command import run_stage
from stages.pipeline.fingerprint import Code, cpp_meaning, fingerprint
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import CODE, PARAMS
from stages.pipeline.strict_yaml import read_yaml
from stages.results.metrics import write_json

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = "pipeline"  # name of the file for the stages that run once
# Modules that do not affect results: they start a stage or another program, read params.yaml (DVC
# compares its values itself), write what they are given or word error messages.
NOT_COMPUTING = (
    "hls.processes",
    "models.files.atomic",
    "models.files.errors",
    "models.files.system_errors",
    "models.files.temporary",
    "stages.pipeline.command",
    "stages.pipeline.designs",
    "stages.pipeline.ending",
    "stages.pipeline.kept_dataset",
    "stages.pipeline.params",
    "stages.pipeline.rules",
    "stages.pipeline.strict_yaml",
)
ACTIVATIONS = "models.float.activations"
ONCE = ("prepare_data", "report")
SAMPLES = "sample_functions"  # of the network that the report shows
ON_TEACHER = {  # stage: its script; the teacher and the convolutional network use ReLU
    "train_convnet": "train_convnet",
    "evaluate_convnet": "evaluate_convnet",
    "train_teacher": "train_teacher",
    "fetch_checkpoints": "fetch_checkpoints",
    "evaluate_teacher": "evaluate",
}
WITH_ACTIVATION = ("distill", "evaluate", "quantize", "dump_params", "export_onnx")
ON_INTEGERS = ("verify", "generate_headers")  # they read int8.pkl and need no activation code
ON_DESIGNS = ("plan", "csim", "synthesize")
WITH_CPP = ("csim", "synthesize")
RTL = "rtl"  # of streaming designs, with the units of hls/rtl
ON_RTL = ("gates", "route")  # they read the files that the stage rtl writes

Document = Mapping[str, Any]


def fingerprints(params: Params, document: Document, root: Path = ROOT) -> dict[str, Any]:
    """Return {variant, design or "pipeline": {stage: fingerprint}}.

    `document` is the content of params.yaml before defaults are merged in; `root` is the folder of
    the code.
    """
    digest = partial(cache(_digest), Code(root))
    found: dict[str, dict[str, str]] = {
        PIPELINE: {stage: digest(stage) for stage in ONCE}
        | {stage: digest(script, "relu") for stage, script in ON_TEACHER.items()}
    }
    rows = {"variants": document["variants"], "designs": document["designs"]}
    shown = params.variants.get(params.report.network)
    found[PIPELINE][SAMPLES] = digest(SAMPLES, shown and shown.network.activation)
    found[PIPELINE]["report"] += f", rows {fingerprint([str(rows)])}"
    for name, variant in params.variants.items():
        row, activation = _with_recipe(document, name), variant.network.activation
        stages = found.setdefault(name, {})
        for stage in WITH_ACTIVATION:
            stages[stage] = digest(stage, activation)
        for stage in ON_INTEGERS:
            stages[stage] = digest(stage)
        stages["distill"] += _text(asdict(variant.network) | _part(row, "transfer", "distill"))
        stages["quantize"] += _text(_part(row, "distill", "quantize"))
        if variant.weights == "published":
            stages["distill"] += _text({"published": asdict(params.published)})
    for name, design in params.designs.items():
        stages = found.setdefault(name, {})
        for stage in ON_DESIGNS:
            stages[stage] = digest(stage, accelerator=design.accelerator)
        if design.accelerator == STREAMING:
            stages[RTL] = digest(RTL)
            stages |= {stage: digest(stage) for stage in ON_RTL}
        network = asdict(params.variants[design.variant].network)
        stages["plan"] += _text({**document["designs"][name], **network})
        stages["synthesize"] += _text(_part(document["designs"][name], "board"))
    return found


def stage_entries(stage: str, activation: str | None) -> list[str]:
    """Return the names of the modules that a stage starts from: its script and its activation.

    The activation is listed because the registry imports it by a name that is built at run time.
    """
    by_name = [f"{ACTIVATIONS}.{activation}", f"{ACTIVATIONS}.specs.{activation}"]
    return [f"stages.{stage}", *(by_name if activation else [])]


def _with_recipe(document: Document, name: str) -> Document:
    """Return a row of `variants` with the keys of its recipe in the sections that it changes."""
    row = document["variants"][name]
    recipe = document["recipes"].get(row.get("recipe"), {})
    return {**row, **{key: {**recipe[key], **row.get(key, {})} for key in recipe}}


def _part(row: Document, *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys if key in row}


def _text(values: Document, prefix: str = "") -> str:
    """Return ", key value" for every value; nested values get their full dotted key."""
    parts = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            parts.append(_text(value, f"{prefix}{key}."))
        else:
            parts.append(f", {prefix}{key} {value}")
    return "".join(parts)


def _digest(
    code: Code, stage: str, activation: str | None = None, accelerator: str | None = None
) -> str:
    """Return the fingerprint of one stage's code, with its C++ files if it compiles any."""
    texts = code.statements(stage_entries(stage, activation), NOT_COMPUTING)
    if stage in WITH_CPP and accelerator is not None:
        files = cpp_files(ACCELERATORS[accelerator], code.root / "hls" / "cpp")
        texts |= _meanings(files)
    if stage == RTL:
        rtl = code.root / "hls" / "rtl"  # its other folders are for other tools
        texts |= _meanings([*rtl.glob("*.sv"), *rtl.glob("simulation/*.[sc][vp]*")])
    return fingerprint(texts)


def _meanings(files: Iterable[Path]) -> set[str]:
    """Return the text of C++ or SystemVerilog files without comments and layout."""
    return {f"{file.name}: {cpp_meaning(file.read_text())}" for file in files}


def write(found: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Write one JSON file per entry, replacing the whole content of `folder`."""
    with replace_folder(folder) as new:
        for name, stages in found.items():
            write_json(new / f"{name}.json", stages)


def main() -> None:
    """Write data/code/."""
    document: Any = read_yaml(PARAMS)
    write(fingerprints(load_params(), document), CODE)


if __name__ == "__main__":
    run_stage(main)
