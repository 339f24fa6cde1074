"""Fingerprint the code of every stage: data/code/, which all other stages depend on.

A stage reruns when what it computes with has changed (stages/pipeline/fingerprint.py). A comment
does not count, nor another stage's function, nor an activation that its network does not have.
There is a small file for each variant and design, and one for the stages that run once; DVC reads
them as parameters, so `dvc params diff` names the stages that an edit of the code marks. Behind a
fingerprint is the part of the row in params.yaml that the stage uses.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import ACCELERATORS, cpp_files
from stages.pipeline.command import run_stage
from stages.pipeline.fingerprint import Code, cpp_meaning, fingerprint
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import CODE, PARAMS
from stages.pipeline.strict_yaml import read_yaml
from stages.results.metrics import write_json

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = "pipeline"  # the file of the stages that run once
# What starts a stage, reads params.yaml (DVC compares its values) or words an error.
NOT_COMPUTING = (
    "models.files.errors",
    "stages.pipeline.command",
    "stages.pipeline.designs",
    "stages.pipeline.params",
    "stages.pipeline.rules",
    "stages.pipeline.strict_yaml",
)
ACTIVATIONS = "models.float.activations"
ONCE = ("prepare_data", "report")
ON_TEACHER = {  # the teacher and what it learns from are ReLU networks
    "train_convnet": "train_convnet",
    "evaluate_convnet": "evaluate_convnet",
    "train_teacher": "train_teacher",
    "fetch_checkpoints": "fetch_checkpoints",
    "evaluate_teacher": "evaluate",
}
WITH_ACTIVATION = ("distill", "evaluate", "quantize", "dump_params")
ON_INTEGERS = ("verify", "generate_headers")  # they read the network off its integers
ON_DESIGNS = ("plan", "csim", "synthesize")
WITH_CPP = ("csim", "synthesize")

Document = Mapping[str, Any]


def fingerprints(params: Params, document: Document, root: Path = ROOT) -> dict[str, Any]:
    """Return, by variant, design or "pipeline", a mapping of stages to fingerprints.

    `document` is params.yaml as it is written, `root` holds the code.
    """
    digest = partial(cache(_digest), Code(root))
    found: dict[str, dict[str, str]] = {
        PIPELINE: {stage: digest(stage) for stage in ONCE}
        | {stage: digest(script, "relu") for stage, script in ON_TEACHER.items()}
    }
    rows = {"variants": document["variants"], "designs": document["designs"]}
    found[PIPELINE]["report"] += f", rows {fingerprint([str(rows)])}"
    for name, variant in params.variants.items():
        row, activation = document["variants"][name], variant.network.activation
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
        network = asdict(params.variants[design.variant].network)
        stages["plan"] += _text({**document["designs"][name], **network})
    return found


def stage_entries(stage: str, activation: str | None) -> list[str]:
    """Return the modules that a stage starts from: its script, and its network's activation.

    The registry imports an activation by its name, which the text of no module shows.
    """
    by_name = [f"{ACTIVATIONS}.{activation}", f"{ACTIVATIONS}.specs.{activation}"]
    return [f"stages.{stage}", *(by_name if activation else [])]


def _part(row: Document, *keys: str) -> dict[str, Any]:
    return {key: row[key] for key in keys if key in row}


def _text(values: Document, prefix: str = "") -> str:
    """Return ", key value" for every value, with the full key of what is nested."""
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
    texts = code.statements(stage_entries(stage, activation), NOT_COMPUTING)
    if stage in WITH_CPP and accelerator is not None:
        files = cpp_files(ACCELERATORS[accelerator], code.root / "hls" / "cpp")
        texts |= {f"{file.name}: {cpp_meaning(file.read_text())}" for file in files}
    return fingerprint(texts)


def write(found: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Put a file per entry in `folder`, in place of whatever it holds."""
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".code-", dir=folder.parent) as temporary:
        new = Path(temporary) / folder.name
        for name, stages in found.items():
            write_json(new / f"{name}.json", stages)
        if folder.exists():
            shutil.move(folder, Path(temporary) / "old")
        shutil.move(new, folder)


def main() -> None:
    """Write data/code/."""
    document: Any = read_yaml(PARAMS)
    write(fingerprints(load_params(), document), CODE)


if __name__ == "__main__":
    run_stage(main)
