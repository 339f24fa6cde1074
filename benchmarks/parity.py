"""Does the fused training reach the accuracy of the plain one? Distil a student both ways.

    python -m benchmarks.parity [--epochs 10] [--seeds 3] [--images 0] [--variant lerp_psa_h96]
                                [--out parity.json]

Run it where data/dataset.npz and data/teacher/float.pt are. For every seed the student is distilled
from that teacher with `training.fused` true and false, from the same initial weights and with the
same draws; everything else is as in params.yaml (no transfer block by block). Both are then judged
by the plain float32 network on the VALIDATION images; the test images are not touched. The goal:
a mean difference within 0.3 points after ten epochs. On CUDA so few epochs are recorded, but not
compiled (`stages/training/device_steps.py`).

It may be stopped at any time: an epoch is resumed from .ckpt, a finished run is in the JSON file
and is not run again. `--images` takes that many training images only, to try the command out.
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
from stages.distill import distill_phase
from stages.networks.evaluation import accuracy, predict, to_tensors
from stages.networks.resmlp import build_network, device, load_network
from stages.pipeline.command import guarded
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Params, Variant, load_params
from stages.pipeline.paths import DATASET, TEACHER, artifact
from stages.training.loop import Run, file_digest, fit

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.3  # points of accuracy

Result = dict[str, Any]  # what was run, and what came out


def train(params: Params, variant: Variant, dataset: Dataset, result: Result, out: Path) -> float:
    """Distil one student as `result` says and return its validation accuracy in percent."""
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
    """Return Markdown: a row per seed that has both runs, then mean difference, deviation, n."""
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
    """Return the data set with its first so many training images; 0: all of them."""
    part = slice(images or None)
    return replace(dataset, train=Split(dataset.train.images[part], dataset.train.labels[part]))


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--variant", default="lerp_psa_h96")
    parser.add_argument("--out", type=Path, default=Path("parity.json"))
    arguments = parser.parse_args()
    guarded(lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> None:
    """Run what is missing and print the comparison; PipelineError where an input is missing."""
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
