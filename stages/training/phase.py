"""A training phase (some epochs with one loss), and the code that runs its epochs."""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from models.files.errors import PipelineError
from stages.augment.augment import augment, random_flip
from stages.augment.mixup import mixup
from stages.augment.views import ViewCache, Views
from stages.networks.distributed import data_parallel, mean_over_processes, world_size
from stages.networks.evaluation import Forward, to_tensors
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Training
from stages.training.average import WeightAverage, measure_statistics
from stages.training.batches import Batches, Change
from stages.training.device_steps import training_step
from stages.training.optimizers import Method, ParameterGroup
from stages.training.validation import Loss, Validation

_BAR_STEPS = 20  # steps between two updates of the progress bar's figures
_SETTLING_IMAGES = 4096  # from which the norms' statistics of averaged weights are measured


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

    `mixup` is the share of mixed images; for it the loss gets labels float [n, classes], the share
    of each class. `ema` is the decay of the average of weights that is validated after each epoch
    and replaces the weights after the last; 0: no average.
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
    mixup: float = 0.0
    ema: float = 0.0


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
        parts = PhaseLoss(phase)
        self.average = WeightAverage(parts, phase.ema) if phase.ema else None
        loss = data_parallel(parts)
        self.step = training_step(loss, self.optimizer, device, record, compile_for)
        self.views = None if phase.views is None else ViewCache(phase.views, device)
        self.validation = Validation(phase.loss, dataset.validation, device, phase.teacher)
        self.images, self.labels = to_tensors(dataset.train)
        self.classes = len(dataset.class_names)
        if self.views is None:  # views are drawn on the CPU
            self.images, self.labels = self.images.to(device), self.labels.to(device)

    def run(self, epoch: int, generator: Generator) -> dict[str, Any]:
        """Train one epoch and validate; all random numbers come from the generator.

        Returns a row of the history: learning_rate, loss, accuracy, val_loss, val_accuracy.
        Accuracies are in percent, None if the phase does not classify. PipelineError if a loss is
        not finite.
        """
        batches = self._batches(epoch, generator)
        row = self._train(epoch, batches) | self._validated(epoch, generator)
        for key in ("loss", "val_loss"):  # only val_loss includes the effect of the last step
            if not math.isfinite(row[key]):
                raise PipelineError(
                    f"{self.phase.name}: the {key} of epoch {epoch + 1} is {row[key]}; lower "
                    "learning_rate in params.yaml."
                )
        return row

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs besides the model: optimizer, and average if there is one."""
        state = {"optimizer": self.optimizer.state_dict()}
        return state if self.average is None else state | {"average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _validated(self, epoch: int, generator: Generator) -> dict[str, Any]:
        """Validate the model, or the average of its weights, which stays after the last epoch."""
        if self.average is None:
            return self.validation(self.model)

        def settle(norms: list[_BatchNorm]) -> None:
            batches = self._batches(epoch, generator)
            count = math.ceil(_SETTLING_IMAGES / self.training.batch_size)
            images = (batch[0] for batch in islice(batches, count))
            measure_statistics(norms, self.model, self._forward, images)

        self.average.put_in_place(settle)
        row = self.validation(self.model)
        if epoch + 1 < self.phase.epochs:
            self.average.undo()
        return row

    def _forward(self, images: Tensor) -> None:
        """Run the model on pixels, by the pass that trains it and without its teacher."""
        labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        given = self.phase.teacher is not None or self.phase.views is not None
        logits = [torch.zeros(len(images), self.classes, device=images.device)] if given else []
        self.phase.loss(images, labels, *logits)

    def _batches(self, epoch: int, generator: Generator) -> Batches:
        images, targets, change = self._source(epoch)
        size = self.training.batch_size
        mix = self._mix if self.phase.mixup else None
        return Batches(images, targets, change, size, generator, self.device, mix)

    def _mix(self, images: Tensor, labels: Tensor, draws: Generator) -> tuple[Tensor, Tensor]:
        # Not one_hot, which reads the labels' range and so makes the CPU wait for a GPU.
        shares = torch.eye(self.classes, device=labels.device)[labels]
        return mixup(images, shares, self.phase.mixup, draws)

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
            if self.average is not None:
                self.average.update()
            with torch.no_grad():
                total_loss += loss
                seen += len(labels)
                if logits is not None:
                    classifies = True
                    hits += (logits.argmax(dim=1) == _largest(labels)).sum()
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


def _largest(labels: Tensor) -> Tensor:
    """Return labels [n], or the class with the largest share of labels [n, classes]."""
    return labels if labels.dim() == 1 else labels.argmax(dim=1)
