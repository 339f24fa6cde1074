"""Image size and normalisation for test networks: those of CIFAR-10."""

from stages.pipeline.params import IMAGE_SIZE
from stages.sources.registry import PUBLISHED_STATISTICS

_MEAN, _STD = PUBLISHED_STATISTICS["cifar10"]
IMAGES = {"image_size": IMAGE_SIZE, "mean": _MEAN, "std": _STD}
