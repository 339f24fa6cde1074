"""A training phase (some epochs with one loss), and the code that runs its epochs."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from tqdm import tqdm

from models.files.errors import PipelineError
from stages.augment.augment import augment, random_flip
from stages.augment.views import ViewCache, Views
from stages.networks.distributed import data_parallel, mean_over_processes, world_size
from stages.networks.evaluation import Forward, to_tensors
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Training
from stages.training.batches import Batches, Change
from stages.training.device_steps import training_step
from stages.training.optimizers import Method, ParameterGroup
from stages.training.validation import Loss, Validation

_BAR_STEPS = 20  # steps between two updates of the progress bar's figures


@dataclass(frozen=True)
class Phase:
    """Some epochs with one loss.

    `loss(images, labels)` returns the loss, and the logits if the phase classifies, else None.
    `groups` are the optimiser's parameter groups. The modules in `train` are set to training mode;
    the others stay in eval mode.

    A `teacher` computes its logits of the validation images once; validation then calls
    `loss(images, labels, logits of the teacher)`. With `views`, epochs cycle through stored views
    instead of drawing new ones, except for the flip, and training calls `loss(images, labels,
    logits of the view)`.

    `exact`: the loss is not compiled, because fused kernels may round differently.
    """

    name: str
    epochs: int
    method: Method
    groups: list[ParameterGroup]
    loss: Loss
    train: list[nn.Module]
    teacher: Forward | None = None
    views: Views | None = None
    exact: bool = False


class PhaseLoss(nn.Module):
    """A phase's loss as a module that contains what it trains, as DistributedDataParallel needs."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.parts = nn.ModuleList(phase.train)
        self.loss = phase.loss

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the loss of a batch, and the logits if the phase classifies."""
        return self.loss(*batch)


class PhaseRunner:
    """A phase that is ready to run: its optimiser, step, images and validation.

    `model` is the whole network, on the device that trains it.
    """

    def __init__(
        self, phase: Phase, model: nn.Module, dataset: Dataset, training: Training
    ) -> None:
        self.phase, self.model, self.training = phase, model, training
        self.device = device = next(model.parameters()).device
        self.optimizer = phase.method.optimizer(phase.groups)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        steps = phase.epochs * (len(dataset.train) // training.batch_size)
        compile_for = 0 if phase.exact else steps
        record = training.fused and world_size() == 1
        loss = data_parallel(PhaseLoss(phase))
        self.step = training_step(loss, self.optimizer, device, record, compile_for)
        self.views = None if phase.views is None else ViewCache(phase.views, device)
        self.validation = Validation(phase.loss, dataset.validation, device, phase.teacher)
        self.images, self.labels = to_tensors(dataset.train)
        if self.views is None:  # views are drawn on the CPU
            self.images, self.labels = self.images.to(device), self.labels.to(device)

    def run(self, epoch: int, generator: Generator) -> dict[str, Any]:
        """Train one epoch and validate; all random numbers come from the generator.

        Returns a row of the history: learning_rate, loss, accuracy, val_loss, val_accuracy.
        Accuracies are in percent, None if the phase does not classify. PipelineError if a loss is
        not finite.
        """
        images, targets, change = self._source(epoch)
        size = self.training.batch_size
        batches = Batches(images, targets, change, size, generator, self.device)
        row = self._train(epoch, batches) | self.validation(self.model)
        for key in ("loss", "val_loss"):  # only val_loss includes the effect of the last step
            if not math.isfinite(row[key]):
                raise PipelineError(
                    f"{self.phase.name}: the {key} of epoch {epoch + 1} is {row[key]}; lower "
                    "learning_rate in params.yaml."
                )
        return row

    def _source(self, epoch: int) -> tuple[Tensor, tuple[Tensor, ...], Change]:
        """Return an epoch's images, their targets, and the function that changes a batch."""
        if self.views is None:
            how = self.training.augment
            return self.images, (self.labels,), lambda batch, draws: augment(batch, how, draws)
        view, logits = self.views.view(self.images, epoch)
        flips = self.views.how.flip
        change = random_flip if flips else lambda batch, _: batch
        return view, (self.labels, logits), change

    def _train(self, epoch: int, batches: Batches) -> dict[str, Any]:
        phase = self.phase
        self.model.eval()
        for module in phase.train:
            module.train()
        # Sums stay on the device: reading them at every step would make the CPU wait.
        total_loss, hits, seen = (torch.zeros((), device=self.device) for _ in range(3))
        classifies = False
        name = f"{phase.name} {epoch + 1}/{phase.epochs}"
        bar = tqdm(batches, desc=name, leave=False, disable=None)
        for number, (images, labels, *wanted) in enumerate(bar):
            factor = phase.method.rate((epoch + number / len(batches)) / phase.epochs)
            loss, logits = self.step(factor, images, labels, *wanted)
            with torch.no_grad():
                total_loss += loss
                seen += len(labels)
                if logits is not None:
                    classifies = True
                    hits += (logits.argmax(dim=1) == labels).sum()
            if not bar.disable and number % _BAR_STEPS == 0:
                mean, percent = float(total_loss) / (number + 1), 100 * float(hits / seen)
                bar.set_postfix(loss=f"{mean:.4f}", acc=f"{percent:.1f}%")
        mean_loss = float(mean_over_processes(total_loss)) / len(batches)
        accuracy = 100 * float(mean_over_processes(hits / seen))
        return {
            "learning_rate": self.step.learning_rate,
            "loss": round(mean_loss, 6),
            "accuracy": round(accuracy, 3) if classifies else None,
        }
