"""The first scales and shifts lose little, and each scale fits the tensor that stays on it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from models.float.resmlp import ResMLP
from models.integer import resmlp as int_resmlp
from models.qat.calibrate import best_abs_max, calibrate
from models.qat.fold import fold
from models.qat.layers import QuantLayer, QuantTable, export, prepare
from tests.support.images import IMAGES

ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
SMALL = {"embed_dim": 16, "hidden_dim": 24, "patch_size": 8, "num_blocks": 2, "num_classes": 4}
SMALL |= IMAGES


def images_of(count, seed=0):
    """Return noise on top of a colour and a slope that tell the class (index modulo 4)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(-60, 61, (count, 3, 32, 32), generator=generator)
    label = torch.arange(count) % 4
    level = 100 + 40 * (label % 2).view(-1, 1, 1, 1)
    slope = torch.linspace(-30, 30, 32).view(1, 1, 1, -1) * (2 * (label // 2) - 1).view(-1, 1, 1, 1)
    return (noise + level + slope).clamp(0, 255).to(torch.uint8), label


def trained(activation, steps=25):
    """Return a folded network that has learned to tell the four classes apart."""
    torch.manual_seed(0)
    network = ResMLP(activation, **SMALL)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(steps):
        images, labels = images_of(32, step)
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fold(network)


@pytest.fixture(scope="module")
def folded_networks():
    return {name: trained(name) for name in ("relu", "bspline", "lerp_psa")}


@pytest.fixture
def calibrated(folded_networks):
    """Return a function that gives a folded network and its calibrated INT8 counterpart."""

    def make(activation, images=None, **options):
        folded = folded_networks[activation]
        network = prepare(copy.deepcopy(folded))
        calibrate(network, folded, images_of(32, 99)[0] if images is None else images, **options)
        return folded, network

    return make


# ---- the range of a tensor


def mean_square_error(values, abs_max):
    """Return the error of `values` in numpy on the grid of 256 multiples of abs_max / 128."""
    step = abs_max / 128
    return np.mean((np.clip(np.round(values / step), -128, 127) * step - values) ** 2)


COUNT = 20_000
DISTRIBUTIONS = {
    "normal": lambda rng: rng.normal(size=COUNT),
    "wide": lambda rng: 1e4 * rng.normal(size=COUNT),
    "laplace": lambda rng: rng.laplace(size=COUNT),
    "heavy tails": lambda rng: rng.standard_t(2.5, size=COUNT),
    "uniform": lambda rng: rng.uniform(-1, 1, size=COUNT),
    "positive": lambda rng: np.maximum(rng.normal(size=COUNT), 0),
    "outliers": lambda rng: np.append(rng.normal(size=COUNT), [25, -40]),
}


@pytest.mark.parametrize("name", [*DISTRIBUTIONS])
def test_best_abs_max_is_almost_as_good_as_the_best_of_a_fine_search(name):
    values = DISTRIBUTIONS[name](np.random.default_rng(0)).astype(np.float32)
    largest = float(np.abs(values).max())
    found = best_abs_max(torch.from_numpy(values))
    assert 0.05 * largest <= found <= largest * (1 + 1e-6)
    least = min(mean_square_error(values, largest * f) for f in np.geomspace(0.05, 1.05, 200))
    assert mean_square_error(values, found) <= 1.05 * least


def test_best_abs_max_clips_an_outlier_and_keeps_a_uniform_range():
    rng = np.random.default_rng(0)
    outlier = torch.from_numpy(np.append(rng.normal(size=100_000), 40))
    assert best_abs_max(outlier) < 30
    assert best_abs_max(torch.from_numpy(rng.uniform(-1, 1, 3000))) > 0.9


def test_best_abs_max_follows_the_unit_of_the_values():
    values = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    assert best_abs_max(256 * values) == pytest.approx(256 * best_abs_max(values), rel=1e-6)


def test_best_abs_max_of_zeros_is_one():
    assert best_abs_max(torch.zeros(10)) == 1


# ---- scales


@ACTIVATIONS
def test_every_scale_fits_the_tensor_that_finally_stays_on_it(calibrated, activation):
    images = images_of(16, 5)[0]
    folded, network = calibrated(activation, images)
    seen = {}
    for name, part in folded.named_modules():
        part.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output}))
    with torch.no_grad():
        folded(images)
    for part in folded.modules():
        part._forward_hooks.clear()
    final = {}
    for name, part in network.named_modules():
        if isinstance(part, QuantLayer | QuantTable):
            place = name.replace("affine_2", "residual").replace("linear_2", "residual")
            if activation == "relu":
                place = place.replace("linear_1", "act_hidden")
            final[name] = seen[place], part.scale()
    assert len(final) == 2 + 2 * (5 if activation == "relu" else 7)
    final["input"] = seen["input"], network.input.scale
    for name, (values, scale) in final.items():
        expected = best_abs_max(values.flatten()) / 128
        assert scale.item() == pytest.approx(expected, rel=1e-5), name


def test_the_input_table_is_that_of_the_input_scale(calibrated):
    folded, network = calibrated("relu")
    mean, std = folded.input.mean.tolist(), folded.input.std.tolist()
    expected = int_resmlp.make_input_lut(128 * network.input.scale.item(), mean, std)
    assert network.input.lut.tolist() == expected.tolist()


@ACTIVATIONS
def test_the_batch_size_does_not_matter(calibrated, activation):
    images = images_of(13)[0]
    _, one = calibrated(activation, images, batch_size=4)
    _, other = calibrated(activation, images)
    for key, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[key], rtol=1e-4, atol=1e-4)


# ---- shifts


@ACTIVATIONS
def test_shifts_are_in_range_and_lose_no_more_than_their_neighbours(calibrated, activation):
    _, network = calibrated(activation)
    layers = {n: part for n, part in network.named_modules() if isinstance(part, QuantLayer)}
    scales = {}
    for name, part in layers.items():
        part.register_forward_pre_hook(
            lambda _, inputs, name=name: scales.update({name: inputs[0].scale.item()})
        )
    network(images_of(1)[0])
    used = set()
    for name, part in layers.items():
        assert part.shift.dtype == torch.int32
        rows = part.weight.detach().double().view(len(part.weight), -1).numpy()
        for row, shift in zip(rows, part.shift.tolist(), strict=True):
            assert 1 <= shift <= 16
            errors = [
                mean_square_error(row, 128 * part.scale().item() / scales[name] / 2**s)
                for s in range(1, 17)
            ]
            # Two shifts above the one that clips nothing, no clipping error can pay.
            assert errors[shift - 1] <= 1.3 * min(errors) + 1e-15, (name, shift)
            used.add(shift)
    assert len(used) > 2


def test_weights_of_any_size_get_a_shift_in_range(calibrated, folded_networks):
    folded = copy.deepcopy(folded_networks["relu"])
    with torch.no_grad():
        for factor, layer in zip((1e-9, 0.0, 1e9), folded.blocks[0].mlp.children(), strict=False):
            for parameter in layer.parameters():
                parameter *= factor
        folded.classifier.weight[0] *= 0
        folded.classifier.weight[1] *= 1e6
        folded.classifier.weight[2] *= 1e-9
    network = prepare(copy.deepcopy(folded))
    images = images_of(8)[0]
    calibrate(network, folded, images)
    for part in network.modules():
        if isinstance(part, QuantLayer):
            assert part.shift.min() >= 1 and part.shift.max() <= 16
    integers = export(network)
    logits = int_resmlp.evaluate(integers, images.permute(0, 2, 3, 1).numpy())
    assert (network(images).values.detach().numpy() == logits).all()


# ---- the whole


@ACTIVATIONS
def test_the_calibrated_network_is_close_to_the_float_network(calibrated, activation):
    folded, network = calibrated(activation)
    images, labels = images_of(256, 1000)
    with torch.no_grad():
        real, expected = network(images).real(), folded(images)
    assert (expected.argmax(1) == labels).float().mean() > 0.95, "this network has learned nothing"
    assert (real - expected).square().mean().sqrt() < 0.1 * expected.std()
    assert (real.argmax(1) == expected.argmax(1)).float().mean() > 0.97


@ACTIVATIONS
def test_all_zero_activations_do_not_break_it(activation):
    torch.manual_seed(0)
    network = ResMLP(activation, **SMALL)
    for parameter in network.parameters():
        parameter.data.zero_()
    folded = fold(network)
    network, images = prepare(copy.deepcopy(folded)), images_of(4)[0]
    calibrate(network, folded, images)
    output = network(images)
    assert not output.values.any() and math.isfinite(output.scale.item())
    integers = export(network)
    assert not int_resmlp.evaluate(integers, images.permute(0, 2, 3, 1).numpy()).any()


@ACTIVATIONS
def test_weights_stay_as_they_were_and_no_hook_stays(calibrated, folded_networks, activation):
    before = copy.deepcopy(folded_networks[activation].state_dict())
    folded, network = calibrated(activation)
    for key, tensor in folded.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    weights = prepare(copy.deepcopy(folded)).named_parameters()
    for name, weight in weights:
        if not name.endswith("log2_scale"):
            assert torch.equal(dict(network.named_parameters())[name], weight), name
    for part in (*folded.modules(), *network.modules()):
        assert not part._forward_hooks and not part._forward_pre_hooks
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_many_images_are_thinned_out_evenly(calibrated, monkeypatch):
    from models.qat import calibrate as module

    monkeypatch.setattr(module, "_MAX_VALUES", 2000)
    images = images_of(48)[0]
    _, thinned = calibrated("relu", images, batch_size=16)
    monkeypatch.undo()
    _, full = calibrated("relu", images)
    for key, tensor in thinned.state_dict().items():
        if key.endswith("log2_scale"):
            assert abs(tensor - full.state_dict()[key]) < 0.7, key
