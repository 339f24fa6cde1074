"""What BSpline and LerpPsa share: how they print, and which weights they take."""

import io

import pytest
import torch
from torch import nn

from models.float.activations import BSpline, LerpPsa


def test_repr_shows_the_sizes():
    assert repr(LerpPsa(96)) == (
        "LerpPsa(96, grid_size=64, grid_range=4.0, expansion=8, epsilon=1.0, dim=-1)"
    )
    assert repr(BSpline(3, 17, 2, dim=1)) == (
        "BSpline(3, grid_size=17, grid_range=2.0, tv2=1e-05, dim=1)"
    )


@pytest.mark.parametrize("changed", [{"grid_size": 33}, {"grid_range": 3.0}])
@pytest.mark.parametrize("layer", [LerpPsa, BSpline])
def test_weights_of_another_grid_are_refused(layer, changed):
    file = io.BytesIO()
    torch.save(nn.Sequential(layer(4)).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    with pytest.raises(RuntimeError, match=r"\t0 was trained with 6[45] knots to 4 and would be"):
        nn.Sequential(layer(4, **changed)).load_state_dict(state)
    nn.Sequential(layer(4)).load_state_dict(state)


def test_weights_without_a_record_of_the_grid_load():
    layer = LerpPsa(4)
    LerpPsa(4).load_state_dict(dict(layer.state_dict()))


@pytest.mark.parametrize("layer", [LerpPsa, BSpline])
def test_images_have_their_channels_first(layer):
    torch.manual_seed(0)
    images = torch.randn(2, 4, 3, 5)
    first = layer(4, dim=1)
    last = layer(4)
    last.load_state_dict(first.state_dict())
    assert torch.equal(first(images), last(images.movedim(1, -1)).movedim(-1, 1))


def test_a_spline_without_a_knot_at_zero_is_refused():
    with pytest.raises(ValueError, match="grid_size is 64, but must be odd"):
        BSpline(4, grid_size=64)
