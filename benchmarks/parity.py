"""Compare the accuracy of fused and plain training: distill a student both ways.

    python -m benchmarks.parity [--epochs 10] [--seeds 3] [--images 0] [--variant lerp_psa_h96]
                                [--out parity.json]

Run it in a folder with data/dataset.npz and data/teacher/float.pt. For every seed the student is
distilled from that teacher with `training.fused` true and false, from the same initial weights and
with the same random numbers. Everything else is as in params.yaml, but without block-wise transfer.
The plain float32 network then evaluates both on the VALIDATION images; the test images are not
used. The goal is a mean difference within 0.3 percentage points after ten epochs. On CUDA the step
is recorded as a graph but not compiled, because ten epochs are too few
(`stages/training/device_steps.py`).

The command can be interrupted at any time: it resumes an epoch from .ckpt, and a finished run is in
the JSON file and is not repeated. `--images` limits the training images, to try the command out.
"""

import argparse
import hashlib
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.files.atomic import replace_on_success
from models.files.digest import file_digest
from stages.distill import distill_phase
from stages.networks.evaluation import accuracy, predict, to_tensors
from stages.networks.resmlp import build_network, device, load_network
from stages.pipeline.command import guarded
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Params, Variant, load_params
from stages.pipeline.paths import DATASET, TEACHER, artifact
from stages.training.loop import Run, fit

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.3  # percentage points

Result = dict[str, Any]  # the settings of a run, and its accuracy and time


def train(params: Params, variant: Variant, dataset: Dataset, result: Result, out: Path) -> float:
    """Distill a student with the settings in `result`; return its validation accuracy (percent)."""
    torch.manual_seed(result["seed"])
    teacher = load_network(params, TEACHER, dataset).to(device()).eval().requires_grad_(False)
    student = build_network(params, variant.name, dataset).to(device())
    student.embed_linear.load_state_dict(teacher.embed_linear.state_dict())
    training = replace(params.training, fused=result["fused"])
    name = f"{out.stem}-{'fused' if result['fused'] else 'plain'}-{result['seed']}"
    run = Run(name, result["seed"], out.with_name(f"{name}.csv"), [result, repr(params)])
    fit(run, student, [distill_phase(variant, student, teacher, training)], dataset, training)
    images, labels = to_tensors(dataset.validation)
    return accuracy(predict(student, images, device()), labels)


def summary(results: list[Result]) -> str:
    """Return Markdown: one row per seed with both runs, then mean difference, deviation and n."""
    found = {(result["seed"], result["fused"]): result["accuracy"] for result in results}
    seeds = sorted(seed for seed, fused in found if fused and (seed, False) in found)
    lines = ["| seed | fused | plain | difference |", "|---|---|---|---|"]
    differences = []
    for seed in seeds:
        fused, plain = found[seed, True], found[seed, False]
        differences.append(fused - plain)
        lines.append(f"| {seed} | {fused:.2f} | {plain:.2f} | {fused - plain:+.2f} |")
    if differences:
        mean = statistics.mean(differences)
        deviation = f"{statistics.stdev(differences):.2f}" if len(differences) > 1 else "unknown"
        lines.append(
            f"\nfused - plain: mean {mean:+.2f}, standard deviation {deviation}, n = "
            f"{len(differences)}; the goal |mean| <= {GOAL} is "
            f"{'met' if abs(mean) <= GOAL else 'missed'}"
        )
    return "\n".join(lines)


def subset(dataset: Dataset, images: int) -> Dataset:
    """Return the data set with its first `images` training images; 0 means all."""
    part = slice(images or None)
    return replace(dataset, train=Split(dataset.train.images[part], dataset.train.labels[part]))


def main() -> None:
    """Parse the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--variant", default="lerp_psa_h96")
    parser.add_argument("--out", type=Path, default=Path("parity.json"))
    arguments = parser.parse_args()
    guarded(lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> None:
    """Do the missing runs and print the comparison; PipelineError if an input is missing."""
    params = load_params(ROOT / "params.yaml")
    variant = params.variant(arguments.variant)
    variant = replace(variant, distill=replace(variant.distill, epochs=arguments.epochs))
    dataset = subset(Dataset.load(DATASET), arguments.images)
    chosen = params.network, params.training, variant
    asked = {
        "variant": variant.name,
        "epochs": arguments.epochs,
        "images": len(dataset.train),
        "teacher": file_digest(artifact(TEACHER, "float.pt"))[:16],
        "dataset": file_digest(DATASET)[:16],
        "params": hashlib.sha256(repr(chosen).encode()).hexdigest()[:16],
    }
    results: list[Result] = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    for fused in (True, False):
        for seed in range(arguments.seeds):
            wanted = {**asked, "seed": seed, "fused": fused}
            if any(wanted.items() <= result.items() for result in results):
                continue
            began = time.perf_counter()
            reached = train(params, variant, dataset, wanted, arguments.out)
            seconds = round(time.perf_counter() - began, 1)
            results.append({**wanted, "accuracy": reached, "seconds": seconds})
            with replace_on_success(arguments.out) as temporary:
                temporary.write_text(json.dumps(results, indent=1) + "\n")
    print(summary([result for result in results if asked.items() <= result.items()]))


if __name__ == "__main__":
    main()
