"""The training loop: phases of epochs, resumable after any interruption.

All random numbers of an epoch come from a generator seeded by (seed, phase, epoch), and the state
after each epoch is written before the next begins. An interrupted run resumes from its last
finished epoch and ends with the same weights as an uninterrupted one: bit for bit on CPUs, except
for the order of float sums on CUDA.
"""

import csv
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.files.atomic import check_writable, replace_on_success
from models.files.errors import PipelineError
from models.files.system_errors import explained
from models.float.checkpoint import save_state
from stages.augment.seeds import generator_of
from stages.networks.distributed import check_batch_size, from_first, is_first
from stages.networks.evaluation import Forward
from stages.pipeline.cost import write_cost
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Training
from stages.training.checkpoint import read_checkpoint, write_checkpoint
from stages.training.memory import keep_freed_memory
from stages.training.phase import Phase, PhaseRunner
from stages.training.validation import Loss

_LOG = logging.getLogger(__name__)
_HISTORY_BYTES = 1 << 14  # room for the curve of some hundred epochs


@dataclass
class Run:
    """The files of a training run, and the inputs that identify it.

    `fingerprint` is a JSON-able description of all inputs; only a checkpoint with the same
    fingerprint is resumed. `weights` is the file for the trained network; with None `fit` writes no
    weights.
    """

    name: str
    seed: int
    history: Path
    fingerprint: Any
    weights: Path | None = None
    section: str = "training"  # section of params.yaml with batch_size, for messages
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    warned: bool = False  # that it cannot be resumed

    @property
    def checkpoint(self) -> Path:
        """The file to resume from: git-ignored, not a DVC output, removed when the run succeeds."""
        text = json.dumps(self.fingerprint, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Path(".ckpt") / f"{self.name}-{digest}.pt"


def fit(
    run: Run, model: nn.Module, phases: list[Phase], dataset: Dataset, training: Training
) -> None:
    """Train `model` through all phases and write its history and its weights.

    The model is on the CPU afterwards if weights are written. Raises PipelineError if the training
    set is smaller than a batch, if the loss is not finite, or if the processes of torchrun cannot
    divide a batch equally.
    """
    keep_freed_memory()
    _check_batch_size(run, dataset, training)
    if is_first():
        _check_writable(run, model)
    state = _resume(run, model, phases)
    with _told_where_it_resumes(run):
        _train(run, model, phases, state, dataset, training)
        if is_first():
            _finish(run, model)


def _train(
    run: Run,
    model: nn.Module,
    phases: list[Phase],
    state: dict[str, Any] | None,
    dataset: Dataset,
    training: Training,
) -> None:
    """Train the epochs that `state`, that of a run to be resumed, does not have yet."""
    for index, epochs in _remaining(phases, state):
        phase = phases[index]
        runner = PhaseRunner(phase, model, dataset, training)
        if state is not None and state["position"][0] == index:
            runner.load_state_dict(state)
        for epoch in epochs:
            began = time.perf_counter()
            row = runner.run(epoch, generator_of(run.seed, index, epoch))
            run.rows.append({"epoch": len(run.rows) + 1, "phase": phase.name, **row})
            run.seconds += time.perf_counter() - began
            if is_first():
                _save_epoch(run, model, runner, [index, epoch])
                _log_epoch(run, phases, time.perf_counter() - began)


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float
) -> Tensor:
    """Return alpha·T²·CE(softmax(teacher/T), student/T) + (1 - alpha)·CE(labels).

    Logits [n, classes]; labels int64 [n], or float [n, classes], the share of each class.
    docs/published-system.md §2, step 3 (there T = 1 and alpha = 0.8).
    """
    targets = (teacher / temperature).softmax(dim=1)
    soft = temperature**2 * functional.cross_entropy(student / temperature, targets)
    return alpha * soft + (1 - alpha) * functional.cross_entropy(student, labels)


def distillation(student: Forward, teacher: Forward, temperature: float, alpha: float) -> Loss:
    """Return the distillation loss of two functions from pixels to logits.

    If the loss gets stored logits as its third argument, they replace the teacher's.
    """

    def loss(images: Tensor, labels: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if target is None:
            with torch.no_grad():
                target = teacher(images)
        logits = student(images)
        return distillation_loss(logits, target, labels, temperature, alpha), logits

    return loss


def _check_batch_size(run: Run, dataset: Dataset, training: Training) -> None:
    if len(dataset.train) < training.batch_size:
        raise PipelineError(
            f"params.yaml: {run.section}.batch_size is {training.batch_size}, but the training set "
            f"has only {len(dataset.train)} images; choose a smaller batch."
        )
    check_batch_size(f"{run.section}.batch_size", training.batch_size)


def _remaining(phases: list[Phase], state: dict[str, Any] | None) -> Iterator[tuple[int, range]]:
    """Yield the index of every unfinished phase, and the range of its remaining epochs.

    `state` is that of a run to be resumed; its position is the last finished (phase, epoch).
    """
    reached, finished = state["position"] if state is not None else (-1, -1)
    for index, phase in enumerate(phases):
        first = finished + 1 if index == reached else 0
        if index >= reached and first < phase.epochs:
            yield index, range(first, phase.epochs)


def _finish(run: Run, model: nn.Module) -> None:
    """Write history, cost and weights, then remove the checkpoint."""
    _write_history(run)  # also if no epoch was left: DVC may have removed the file
    device = next(model.parameters()).device
    write_cost(run.history.with_suffix(".json"), len(run.rows), run.seconds, device)
    if run.weights is not None:
        save_state(model.cpu(), run.weights)
    with suppress(OSError):  # one that stays would be resumed to the same result
        run.checkpoint.unlink()  # last, so that an interruption loses at most one epoch


def _check_writable(run: Run, model: nn.Module) -> None:
    """Raise OSError before the training if its results could not be written after it.

    A checkpoint that cannot be written gives a warning only.
    """
    size = sum(value.nbytes for value in model.state_dict().values())
    check_writable(run.history, _HISTORY_BYTES)
    if run.weights is not None:
        check_writable(run.weights, size)
    try:
        check_writable(run.checkpoint, 4 * size)  # up to two values of the optimiser and an average
    except OSError as error:
        _warn_once(run, error)


def _save_epoch(run: Run, model: nn.Module, runner: PhaseRunner, position: list[int]) -> None:
    """Write the history and the checkpoint; a failure gives one warning, the training goes on."""
    for write in (partial(_write_history, run), partial(_save, run, model, runner, position)):
        try:
            write()
        except OSError as error:
            _warn_once(run, error)


def _warn_once(run: Run, error: OSError) -> None:
    if not run.warned:
        _LOG.warning(
            "%s The training of %s goes on, but cannot be resumed if it is interrupted.",
            explained(error),
            run.name,
        )
    run.warned = True


@contextmanager
def _told_where_it_resumes(run: Run) -> Iterator[None]:
    """Add to an exception that ends a training how it goes on, if it can be resumed."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        if run.checkpoint.is_file():
            error.add_note("The same command resumes the training after its last saved epoch.")
        raise


def _save(run: Run, model: nn.Module, runner: PhaseRunner, position: list[int]) -> None:
    state = {
        "position": position,
        "model": model.state_dict(),
        **runner.state_dict(),
        "rows": run.rows,
        "seconds": run.seconds,
    }
    write_checkpoint(run.checkpoint, state)


def _resume(run: Run, model: nn.Module, phases: list[Phase]) -> dict[str, Any] | None:
    found = read_checkpoint(run.checkpoint, model, phases) if is_first() else None
    state: dict[str, Any] | None = from_first(found)
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
    # Times are not in the history: with them every run would look like a new result.
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
