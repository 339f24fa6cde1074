"""Image size and normalisation for test networks: those of CIFAR-10 in params.yaml."""

from stages.pipeline.params import IMAGE_SIZE, load_params
from tests.support.paths import ROOT

_DATA = load_params(ROOT / "params.yaml").data
IMAGES = {"image_size": IMAGE_SIZE, "mean": _DATA.mean, "std": _DATA.std}
