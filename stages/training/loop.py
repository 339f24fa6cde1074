"""The one training loop: phases of epochs, resumable after any kill, on CPUs with one result.

An epoch draws everything from a generator seeded by (seed, phase, epoch), and the state after it is
written before the next begins. A run that was interrupted therefore goes on from its last finished
epoch and ends in the same weights as one that was not (on CUDA up to the order of float sums).
"""

import csv
import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from stages.augment.augment import augment, random_flip
from stages.augment.seeds import generator_of
from stages.augment.views import ViewCache, Views
from stages.networks.distributed import (
    check_batch_size,
    data_parallel,
    from_first,
    is_first,
    mean_over_processes,
    world_size,
)
from stages.networks.evaluation import Loss, Network, Validation, to_tensors
from stages.pipeline.cost import write_cost
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Augment, Training
from stages.training.batches import Batches, Change
from stages.training.device_steps import EagerStep, training_step
from stages.training.memory import keep_freed_memory
from stages.training.optimizers import AnyOptimizer, Method, ParameterGroup

_LOG = logging.getLogger(__name__)
_BAR_STEPS = 20  # steps between two updates of the progress bar's figures


@dataclass(frozen=True)
class Phase:
    """Some epochs with one loss.

    `loss(images, labels)` returns the loss and, where it classifies, the logits. `groups` are the
    optimiser's parameter groups. `train` lists the modules that go to training mode; the others
    stay in eval mode. A `teacher` is asked about the validation images once, whose loss is then
    `loss(images, labels, logits of the teacher)`. With `views`, epochs go through stored views in
    turn in place of drawing new ones, but for the flip, and training calls
    `loss(images, labels, logits of the view)`. A loss that is `exact` is not compiled: a compiler
    may round otherwise than the operators one by one.
    """

    name: str
    epochs: int
    method: Method
    groups: list[ParameterGroup]
    loss: Loss
    train: list[nn.Module]
    teacher: Network | None = None
    views: Views | None = None
    exact: bool = False


@dataclass
class Run:
    """Where a training run keeps its state and its history, and what makes it the same run.

    `fingerprint` is any JSON-able description of all inputs; a checkpoint of another fingerprint is
    never resumed. `weights` is where the trained network goes; None: it is the caller's alone.
    """

    name: str
    seed: int
    history: Path
    fingerprint: Any
    weights: Path | None = None
    section: str = "training"  # of params.yaml: where messages say that batch_size stands
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def checkpoint(self) -> Path:
        """The resume file: git-ignored, no DVC output, removed when the run has succeeded."""
        text = json.dumps(self.fingerprint, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Path(".ckpt") / f"{self.name}-{digest}.pt"


def fit(
    run: Run, model: nn.Module, phases: list[Phase], dataset: Dataset, training: Training
) -> None:
    """Train `model` through all phases; write its history and, then on the CPU, its weights.

    Raises PipelineError where the training set is smaller than a batch, the loss is not finite, or
    the processes of torchrun cannot share a batch equally.
    """
    device = next(model.parameters()).device
    keep_freed_memory()
    images, labels = to_tensors(dataset.train)
    if len(images) < training.batch_size:
        raise PipelineError(
            f"params.yaml: {run.section}.batch_size is {training.batch_size}, but the training set "
            f"has only {len(images)} images; choose a smaller batch."
        )
    check_batch_size(f"{run.section}.batch_size", training.batch_size)
    start = _resume(run, model)
    for index, phase in enumerate(phases):
        if not phase.epochs or (start and [index, phase.epochs - 1] < start["position"]):
            continue
        optimizer = phase.method.optimizer(phase.groups)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        steps = 0 if phase.exact else phase.epochs * (len(images) // training.batch_size)
        record = training.fused and world_size() == 1
        step = training_step(data_parallel(PhaseLoss(phase)), optimizer, device, record, steps)
        views = None if phase.views is None else ViewCache(phase.views, device)
        validation = Validation(phase.loss, dataset.validation, device, phase.teacher)
        held = (images, labels) if views else (images.to(device), labels.to(device))
        for epoch in range(phase.epochs):
            position = [index, epoch]
            if start is not None and position <= start["position"]:
                if position == start["position"]:
                    optimizer.load_state_dict(start["optimizer"])
                continue
            began = time.perf_counter()
            source = _source(views, epoch, *held, training.augment)
            generator = generator_of(run.seed, *position)
            batches = Batches(*source, training.batch_size, generator, device)
            row = _epoch(phase, epoch, step, model, batches)
            row |= validation(model)
            _check_finite(phase, epoch, row)
            run.rows.append({"epoch": len(run.rows) + 1, "phase": phase.name, **row})
            run.seconds += time.perf_counter() - began
            if is_first():
                _write_history(run)
                _save(run, model, optimizer, position)
                _log_epoch(run, phases, time.perf_counter() - began)
    if is_first():
        _write_history(run)  # also where no epoch was left to do: DVC may have removed the file
        write_cost(run.history.with_suffix(".json"), len(run.rows), run.seconds, device)
        if run.weights is not None:
            save_state(model.cpu(), run.weights)
        run.checkpoint.unlink(missing_ok=True)  # last: a kill at any time loses an epoch at most


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float
) -> Tensor:
    """Return alpha·T²·CE(softmax(teacher/T), student/T) + (1 - alpha)·CE(labels).

    Logits [n, classes], labels [n]. Published system §2, step 3 (there T = 1, alpha = 0.8).
    """
    targets = (teacher / temperature).softmax(dim=1)
    soft = temperature**2 * functional.cross_entropy(student / temperature, targets)
    return alpha * soft + (1 - alpha) * functional.cross_entropy(student, labels)


def distillation(student: Network, teacher: Network, temperature: float, alpha: float) -> Loss:
    """Return the distillation loss of two functions from pixels to logits.

    Stored logits, the loss's third argument, take the place of the teacher's.
    """

    def loss(images: Tensor, labels: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if target is None:
            with torch.no_grad():
                target = teacher(images)
        logits = student(images)
        return distillation_loss(logits, target, labels, temperature, alpha), logits

    return loss


class PhaseLoss(nn.Module):
    """A phase's loss as a module that owns what it trains, as DistributedDataParallel wants it."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.parts = nn.ModuleList(phase.train)
        self.loss = phase.loss

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map a batch to the loss and, where it classifies, the logits."""
        return self.loss(*batch)


def file_digest(path: Path | str) -> str:
    """Return the sha256 of a file, for a run's fingerprint."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _source(
    views: ViewCache | None, epoch: int, images: Tensor, labels: Tensor, how: Augment
) -> tuple[Tensor, tuple[Tensor, ...], Change]:
    """Return the images of an epoch, what is to be learned of each, and how batches are changed."""
    if views is None:
        return images, (labels,), lambda batch, generator: augment(batch, how, generator)
    view, logits = views.view(images, epoch)
    flips = views.how.flip
    return view, (labels, logits), random_flip if flips else lambda batch, generator: batch


def _epoch(
    phase: Phase,
    epoch: int,
    step: EagerStep,
    model: nn.Module,
    batches: Batches,
) -> dict[str, Any]:
    model.eval()
    for module in phase.train:
        module.train()
    # Sums stay on the device: reading them at every step would make it wait.
    total_loss, hits, seen = (torch.zeros((), device=batches.device) for _ in range(3))
    classifies = False
    bar = tqdm(batches, desc=f"{phase.name} {epoch + 1}/{phase.epochs}", leave=False, disable=None)
    for number, (x, y, *wanted) in enumerate(bar):
        factor = phase.method.rate((epoch + number / len(batches)) / phase.epochs)
        loss, logits = step(factor, x, y, *wanted)
        with torch.no_grad():
            total_loss += loss
            seen += len(y)
            if logits is not None:
                classifies = True
                hits += (logits.argmax(dim=1) == y).sum()
        if not bar.disable and number % _BAR_STEPS == 0:
            percent = 100 * float(hits / seen)
            bar.set_postfix(loss=f"{float(total_loss) / (number + 1):.4f}", acc=f"{percent:.1f}%")
    mean_loss = float(mean_over_processes(total_loss)) / len(batches)
    accuracy = 100 * float(mean_over_processes(hits / seen))
    return {
        "learning_rate": step.learning_rate,
        "loss": round(mean_loss, 6),
        "accuracy": round(accuracy, 3) if classifies else None,
    }


def _check_finite(phase: Phase, epoch: int, row: dict[str, Any]) -> None:
    """Raise PipelineError where a loss is no number; that of validation sees the last step too."""
    for key in ("loss", "val_loss"):
        if not math.isfinite(row[key]):
            raise PipelineError(
                f"{phase.name}: the {key} of epoch {epoch + 1} is {row[key]}; lower learning_rate "
                "in params.yaml."
            )


def _save(run: Run, model: nn.Module, optimizer: AnyOptimizer, position: list[int]) -> None:
    state = {
        "position": position,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rows": run.rows,
        "seconds": run.seconds,
    }
    with replace_on_success(run.checkpoint) as temporary:
        torch.save(state, temporary)


def _resume(run: Run, model: nn.Module) -> dict[str, Any] | None:
    state: dict[str, Any] | None = None
    if is_first() and run.checkpoint.exists():
        state = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
    state = from_first(state)
    if state is None:
        return None
    model.load_state_dict(state["model"])
    run.rows[:] = state["rows"]
    run.seconds = state["seconds"]
    _LOG.info("resuming %s after epoch %d", run.name, len(run.rows))
    return state


def _write_history(run: Run) -> None:
    columns: Iterable[str] = run.rows[0] if run.rows else ("epoch",)
    with replace_on_success(run.history) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(run.rows)


def _log_epoch(run: Run, phases: list[Phase], seconds: float) -> None:
    # Times are not in the history: one that differs at every run would look like a new result.
    row, total = run.rows[-1], sum(phase.epochs for phase in phases)
    accuracy = "" if row["val_accuracy"] is None else f"  val acc {row['val_accuracy']:.2f}%"
    _LOG.info(
        "%s  epoch %d/%d  %s  loss %.4f  val loss %.4f%s  %.1f s  ETA %.1f min",
        run.name,
        row["epoch"],
        total,
        row["phase"],
        row["loss"],
        row["val_loss"],
        accuracy,
        seconds,
        (total - len(run.rows)) * seconds / 60,
    )
