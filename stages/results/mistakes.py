"""The stored test results of one network: its confusion matrix and its most confident mistakes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError
from models.files.zips import read_npz
from stages.pipeline.paths import DATASET, artifact
from stages.results.logits import load_logits

_MEND = "run `dvc repro prepare_data`"


@dataclass(frozen=True)
class Classified:
    """Integer logits int8 [n, classes] on the test images, their labels [n], the class names."""

    logits: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts [true class, predicted class]; of equal logits the first one counts."""
        counts = np.zeros((len(self.names), len(self.names)), np.int64)
        np.add.at(counts, (self.labels, self.logits.argmax(axis=1)), 1)
        return counts


@dataclass(frozen=True)
class Mistake:
    """A test image that is classified wrongly: its index, and by how much, in units of the logits.

    `margin` is the predicted class's logit less the true class's.
    """

    image: int
    true: str
    predicted: str
    margin: int


def results_of(network: str) -> Classified:
    """Read a network's logits and the labels; PipelineError if one is missing or they differ."""
    path = artifact(network, "qat_logits.npz")
    logits = load_logits(path)
    stored = read_npz(DATASET, ("test_labels", "class_names"), _MEND)
    labels, names = stored["test_labels"], tuple(map(str, stored["class_names"]))
    if logits.shape != (len(labels), len(names)):
        raise PipelineError(
            f"{path} holds logits of shape {list(logits.shape)}, but {DATASET} has {len(labels)} "
            f"test images of {len(names)} classes; run `dvc repro dump_params`."
        )
    return Classified(logits, labels, names)


def most_confident(results: Classified, count: int) -> list[Mistake]:
    """Return the mistakes with the largest margins, at most `count`; equal ones by their index."""
    predicted = results.logits.argmax(axis=1)
    each = np.arange(len(results.labels))
    logits = results.logits.astype(np.int64)
    margins = logits[each, predicted] - logits[each, results.labels]
    wrong = each[predicted != results.labels]
    chosen = wrong[np.argsort(-margins[wrong], kind="stable")][:count]
    return [
        Mistake(
            int(image),
            results.names[results.labels[image]],
            results.names[predicted[image]],
            int(margins[image]),
        )
        for image in chosen
    ]
