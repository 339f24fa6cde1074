"""Networks whose values are no numbers: the stages refuse them by name and write nothing."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.files.errors import PipelineError
from models.qat.calibrate import calibrate
from models.qat.fold import fold
from models.qat.layers import prepare
from stages import dump_params, quantize
from stages.networks.evaluation import predict
from tests.support import specimens

WEIGHTS = Path("data/toy/float.pt")
PIXELS = torch.arange(8 * 3072).remainder(256).view(8, 3, 32, 32).to(torch.uint8)


def overflowing(value):
    network = specimens.float_network()
    with torch.no_grad():
        network.embed_linear.weight.fill_(value)
        network.norm.weight.fill_(value)
    return network


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(PipelineError, match=r"logits of 8 of 8 images are not finite .*dvc pull"):
        predict(overflowing(1e30), PIXELS, torch.device("cpu"))


@pytest.mark.parametrize("value", [1e20, 1e38])
def test_a_network_that_overflows_is_not_quantised(value):
    folded = fold(overflowing(value))
    network = prepare(copy.deepcopy(folded))
    calibrate(network, folded, PIXELS)
    with pytest.raises(PipelineError, match=r"data/toy/float\.pt cannot be quantised: .*dvc pull"):
        quantize._check_scales(network, WEIGHTS)


def test_a_network_without_integers_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = SimpleNamespace()
    monkeypatch.setattr(dump_params, "load_inputs", lambda name: (params, specimens.dataset()))
    monkeypatch.setattr(dump_params, "load_quantized", lambda *_: specimens.qat_network())

    def fail(_):
        raise ValueError("w holds values outside int8")

    with monkeypatch.context() as patch:
        patch.setattr(dump_params, "export", fail)
        with pytest.raises(PipelineError, match=r"data/toy/qat\.pt gives no INT8 network: w .*dvc"):
            dump_params.main("toy")
    assert not list(tmp_path.rglob("*"))
    dump_params.main("toy")
    files = sorted(path.name for path in Path("data/toy").iterdir())
    assert files == ["int8.pkl", "qat_logits.npz"]
    assert np.load("data/toy/qat_logits.npz")["logits"].shape == (3, 3)
