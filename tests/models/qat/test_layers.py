"""QAT computes in integers what numpy computes, and its gradients are those of learned steps."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.float.checkpoint import load_state, save_state
from models.float.resmlp import ChannelNorm, ResMLP
from models.integer import fixed_point
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params, save_int_params
from models.qat.calibrate import calibrate
from models.qat.fold import fold
from models.qat.layers import (
    IntTensor,
    QuantAffine,
    QuantLinear,
    QuantMeanPool,
    QuantReLU,
    QuantResidual,
    QuantTable,
    QuantTokenLinear,
    export,
    prepare,
    requantize,
    round_half_up,
    to_int8,
)
from tests.support.images import IMAGES

pytestmark = pytest.mark.slow

ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
SMALL = {"embed_dim": 12, "hidden_dim": 20, "patch_size": 8, "num_blocks": 2, "num_classes": 5}
SMALL |= IMAGES
INT8 = torch.arange(-128.0, 128)


def images_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


def quantized(activation, seed=0, perturb=0.0, **sizes):
    """Return a calibrated INT8 network whose weights, statistics and then scales are random."""
    torch.manual_seed(seed)
    network = ResMLP(activation, **{**SMALL, **sizes})
    for parameter in network.parameters():
        parameter.data += 0.2 * parameter.abs().mean() * torch.randn_like(parameter)
    for part in network.modules():
        if isinstance(part, ChannelNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    folded = fold(network)
    result = prepare(copy.deepcopy(folded))
    calibrate(result, folded, images_of(4, seed))
    with torch.no_grad():
        for name, parameter in result.named_parameters():
            size = 1 if name.endswith("log2_scale") else parameter.abs().max()
            parameter += perturb * size * torch.randn_like(parameter)
    return result


def logits_of(network, images):
    with torch.no_grad():
        return network(images).values.numpy()


def numpy_logits(integers, images):
    return int_resmlp.evaluate(integers, images.permute(0, 2, 3, 1).numpy())


# ---- bit for bit


@settings(max_examples=50, deadline=None)
@given(
    activation=st.sampled_from(["relu", "bspline", "lerp_psa"]),
    seed=st.integers(0, 10_000),
    perturb=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    embed_dim=st.integers(1, 32),
    hidden_dim=st.integers(1, 48),
    patch_size=st.sampled_from([2, 4, 8, 16]),
    num_blocks=st.integers(1, 3),
)
def test_numpy_computes_the_same_integers(
    activation, seed, perturb, embed_dim, hidden_dim, patch_size, num_blocks
):
    network = quantized(
        activation,
        seed,
        perturb,
        embed_dim=embed_dim,
        hidden_dim=hidden_dim,
        patch_size=patch_size,
        num_blocks=num_blocks,
    )
    images = images_of(3, seed + 1)
    mine, other = logits_of(network, images), numpy_logits(export(network), images)
    assert (mine != other).sum() == 0


def numpy_name(module_name):
    """Return numpy's name of what a module of the QAT network gives out."""
    name = module_name.replace(".", "_").replace("classifier", "classifier_linear")
    name = name.removesuffix("_residual")  # it adds: the sum is the output of its sublayer
    return "mean" if name == "pool" else name


@ACTIVATIONS
@pytest.mark.parametrize("perturb", [0.0, 1.0])
def test_every_layer_holds_the_integers_that_numpy_computes(activation, perturb):
    network = quantized(activation, perturb=perturb)
    layers, images = {}, images_of(16, 1)
    hooks = [
        part.register_forward_hook(
            lambda part, inputs, output, name=name: layers.update({numpy_name(name): output})
        )
        for name, part in network.named_modules()
        if name and ".function" not in name  # the float functions inside tables
    ]
    logits_of(network, images)
    for hook in hooks:
        hook.remove()
    integers, expected = export(network), {}
    tokens = int_resmlp.quantize_images(integers, images.permute(0, 2, 3, 1).numpy())
    int_resmlp.forward(integers, tokens, expected.__setitem__)
    compared = set()
    for name, output in layers.items():
        assert isinstance(output, IntTensor) or name.endswith("patchify")
        values = output.values if isinstance(output, IntTensor) else output
        values = values.detach().numpy()
        assert np.array_equal(values, np.round(values)), f"{name} holds fractions"
        assert values.min() >= -128 and values.max() <= 127, name
        alias = name.replace("act_hidden", "relu") if activation == "relu" else name
        if alias in expected:
            np.testing.assert_array_equal(values, expected[alias], err_msg=name)
            compared.add(alias)
    missing = set(expected) - compared
    assert all(name.endswith("_residual") for name in missing)  # inside QuantResidual
    np.testing.assert_array_equal(layers["input"].values.numpy(), tokens)


@ACTIVATIONS
def test_it_is_exact_in_training_mode_and_after_steps_of_an_optimiser(activation):
    network = quantized(activation).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    images, labels = images_of(16), torch.arange(16) % 5
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(network(images).real(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    images = images_of(16, 7)
    assert np.array_equal(logits_of(network, images), numpy_logits(export(network), images))


@ACTIVATIONS
def test_inputs_and_layers_that_saturate(activation):
    network = quantized(activation)
    with torch.no_grad():
        network.input.lut.copy_(fixed_point.saturate(3 * network.input.lut))
        for name, parameter in network.named_parameters():
            if name.endswith("log2_scale"):
                parameter -= 1.5
    images = images_of(16, 2)
    tokens = network.input(images).values
    assert (tokens == 127).float().mean() > 0.1 and (tokens == -128).float().mean() > 0.1
    mine = logits_of(network, images)
    assert np.array_equal(mine, numpy_logits(export(network), images))
    assert ((mine == 127) | (mine == -128)).any()


@ACTIVATIONS
def test_the_parameter_file_carries_the_network(activation, tmp_path):
    network = quantized(activation, perturb=0.5)
    save_int_params(export(network), tmp_path / "int8.pkl")
    images = images_of(8, 3)
    loaded = load_int_params(tmp_path / "int8.pkl")
    assert np.array_equal(logits_of(network, images), numpy_logits(loaded, images))
    assert loaded.has_tables == (activation != "relu")


def test_a_function_without_an_int8_form_is_refused():
    network = fold(ResMLP("relu", **SMALL))
    network.blocks[1].mlp.act_hidden = nn.GELU()
    with pytest.raises(TypeError, match=r"^GELU has no INT8 form: .* `tabulated=True`"):
        prepare(network)


@ACTIVATIONS
def test_the_checkpoint_carries_the_integers(activation, tmp_path):
    network = quantized(activation, perturb=0.5)
    save_state(network, tmp_path / "qat.pt")
    torch.manual_seed(99)
    other = prepare(fold(ResMLP(activation, **SMALL)))
    load_state(other, tmp_path / "qat.pt")
    for (name, mine), (_, loaded) in zip(
        export(network).leaves(), export(other).leaves(), strict=True
    ):
        for key, array in vars(mine).items():
            np.testing.assert_array_equal(getattr(loaded, key), array, err_msg=name)
    np.testing.assert_array_equal(export(other).input_lut, export(network).input_lut)


@ACTIVATIONS
def test_export_changes_nothing_and_leaves_no_hooks(activation):
    network = quantized(activation)
    before = copy.deepcopy(network.state_dict())
    export(network)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert not any(part._forward_pre_hooks for part in network.modules())


@ACTIVATIONS
def test_the_residual_rescaling_has_no_bias_and_a_weight_of_full_precision(activation):
    for block in export(quantized(activation)).blocks:
        for part in (block.token_mixer, block.mlp):
            res = part.residual
            assert not res.b.any() and len(set(res.w.tolist())) == 1
            assert 64 <= res.w[0] <= 127 or res.s[0] == 1


@pytest.mark.parametrize("ratio", [2.0**-12, 1e-3, 0.24, 0.25, 0.5, 0.77, 1.0, 1.3, 31.7, 63.0])
def test_the_residual_factor_is_the_nearest_to_the_ratio_of_scales(ratio):
    p = QuantResidual().integers(torch.tensor(ratio), torch.tensor(1.0))
    w, s = int(p["w"]), int(p["s"])
    if ratio > 64 / 2**16:  # a smaller one would need a shift above 16
        assert 64 <= w <= 127 and 1 <= s <= 16
    options = [(abs(k / 2**n - ratio), -k, n) for n in range(1, 17) for k in range(128)]
    assert abs(w / 2**s - ratio) == pytest.approx(min(options)[0], abs=1e-9)


# ---- roundings and their gradients


@given(st.floats(-300, 300, width=32))
def test_round_half_up_is_an_integer_next_to_x(x):
    result = round_half_up(torch.tensor(x)).item()
    assert result == round(result) and abs(result - x) <= 0.5 + 1e-5
    if abs(x) < 2**20 and (2 * x) == round(2 * x):
        assert result == math.floor(x + 0.5)


def test_roundings_pass_gradients_straight_through_and_stop_at_saturation():
    x = torch.tensor(
        [-200.0, -128.4, -128.0, -0.5, 0.3, 126.9, 127.0, 127.2, 500], requires_grad=True
    )
    y = to_int8(x)
    assert y.tolist() == [-128, -128, -128, 0, 0, 127, 127, 127, 127]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]


@given(
    acc=st.lists(st.integers(-(1 << 22), 1 << 22), min_size=3, max_size=3),
    shift=st.lists(st.integers(1, 16), min_size=3, max_size=3),
    bias=st.lists(st.integers(-128, 127), min_size=3, max_size=3),
)
def test_requantize_is_that_of_fixed_point(acc, shift, bias):
    arrays = [np.array(values, dtype=np.int32) for values in (acc, shift, bias)]
    tensors = [torch.tensor(acc).float(), torch.tensor(shift), torch.tensor(bias).float()]
    result = requantize(*tensors)
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result.numpy(), fixed_point.requantize(*arrays))


def test_requantize_passes_gradients_where_it_does_not_saturate():
    acc = torch.tensor([[100.0, 100], [4000, -9000]], requires_grad=True)
    bias = torch.tensor([5.0, -6], requires_grad=True)
    y = requantize(acc, torch.tensor([2, 4], dtype=torch.int32), bias)
    assert y.tolist() == [[30, 0], [127, -128]]
    y.backward(torch.tensor([[1.0, 10], [100, 1000]]))
    assert acc.grad.tolist() == [[0.25, 0.625], [0, 0]]
    assert bias.grad.tolist() == [1, 10]


def affine_of(weight, bias, out_scale, shift):
    """Return an INT8 affine of one channel."""
    layer = QuantAffine(torch.tensor([weight]), torch.tensor([bias]))
    layer.log2_scale.data.fill_(math.log2(out_scale))
    layer.shift.fill_(shift)
    return layer


@pytest.mark.parametrize(
    ("x", "weight", "bias", "out_scale", "shift"),
    [
        (37.0, 0.8, 0.3, 0.05, 5),
        (-90.0, -0.31, 0.0, 0.03, 7),
        (12.0, 0.011, -0.2, 0.01, 4),
        (101.0, 0.4, 0.135, 0.02, 6),
    ],
)
def test_gradients_of_one_layer_are_those_of_learned_steps(x, weight, bias, out_scale, shift):
    """The real output is S·(round(v) + ...) with v = (x·S_in·W + B)/S: dy/dS = round(v) - v."""
    in_scale = 0.02
    layer = affine_of(weight, bias, out_scale, shift)
    step = 2.0**-shift * out_scale / in_scale
    w_int, b_int = math.floor(weight / step + 0.5), math.floor(bias / out_scale + 0.5)
    assert abs(w_int) <= 127 and abs(b_int) <= 127
    y_int = math.floor(x * w_int / 2**shift + 0.5) + b_int
    assert abs(y_int) < 127
    values = torch.tensor([[x]], requires_grad=True)
    output = layer(IntTensor(values, torch.tensor(in_scale)))
    assert output.values.item() == y_int
    output.real().backward()
    assert layer.weight.grad.item() == pytest.approx(x * in_scale, rel=1e-5)
    assert layer.bias.grad.item() == pytest.approx(1, rel=1e-5)
    assert values.grad.item() == pytest.approx(out_scale * w_int / 2**shift, rel=1e-5)
    learned_step = y_int - (x * in_scale * weight + bias) / out_scale
    expected = learned_step * out_scale * math.log(2)  # of log2 of the scale
    assert layer.log2_scale.grad.item() == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_saturated_output_moves_the_scale_by_its_bound(sign):
    layer = affine_of(sign * 0.9, 0.0, 0.01, 4)
    values = torch.tensor([[120.0]], requires_grad=True)
    output = layer(IntTensor(values, torch.tensor(0.05)))
    bound = 127 if sign > 0 else -128
    assert output.values.item() == bound
    output.real().backward()
    assert layer.log2_scale.grad.item() == pytest.approx(bound * 0.01 * math.log(2), rel=1e-5)
    assert layer.weight.grad.item() == layer.bias.grad.item() == values.grad.item() == 0


def test_a_saturated_weight_gets_no_gradient_but_its_scale_does():
    layer = affine_of(0.9, 0.0, 0.02, 8)  # 0.9 is 230 steps
    output = layer(IntTensor(torch.tensor([[40.0]]), torch.tensor(0.02)))
    assert output.values.item() == math.floor(40 * 127 / 256 + 0.5)
    output.real().backward()
    assert layer.weight.grad.item() == 0
    expected = output.values.item() * 0.02 * math.log(2)  # the weight stays at 127 units
    assert layer.log2_scale.grad.item() == pytest.approx(expected, rel=1e-4)


@ACTIVATIONS
def test_every_parameter_gets_a_gradient(activation):
    network = quantized(activation).train()
    logits = network(images_of(16)).real()
    nn.functional.cross_entropy(logits, torch.arange(16) % 5).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_scales_of_all_layers_are_parameters():
    network = quantized("bspline", num_blocks=1)
    scales = {name for name, _ in network.named_parameters() if name.endswith("log2_scale")}
    mixer, mlp = "blocks.0.token_mixer", "blocks.0.mlp"
    assert scales == {
        "embed_linear.log2_scale",
        *(f"{mixer}.{name}.log2_scale" for name in ("affine_1", "linear", "affine_2")),
        *(f"{mlp}.{name}.log2_scale" for name in ("act_in", "linear_1", "act_hidden", "linear_2")),
        "classifier.log2_scale",
    }


# ---- tables


class Rows(nn.Module):
    """A function given by its 65 values [F, 65] in real units, knot after knot."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x):
        assert x.shape == self.rows.T.shape
        return self.rows.T + 0 * x


def lookup(knots):
    """Return what `fixed_point.table_lookup` gives for all 256 inputs, [256, F]."""
    channel = np.arange(len(knots))[None, :]
    values = np.arange(-128, 128)[:, None]
    return fixed_point.table_lookup(knots.astype(np.int32), channel, values)


def apply(table, channels):
    inputs = INT8.unsqueeze(1).repeat(1, channels)
    return table(IntTensor(inputs, torch.tensor(1.0))).values.detach().numpy()


def test_interpolation_is_table_lookup_for_all_pairs_of_knots_and_all_inputs():
    left, first = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128, 32), indexing="ij")
    knots = np.empty((left.size, 65))
    knots[:, 0::2] = left.reshape(-1, 1)  # left, right, left, right + 1, left, ...
    knots[:, 1::2] = first.reshape(-1, 1) + np.arange(32)
    table = QuantTable(Rows(torch.from_numpy(knots).float()))
    assert np.array_equal(apply(table, len(knots)), lookup(knots))


def test_knots_are_the_rounded_and_saturated_function_at_multiples_of_four():
    table = QuantTable(nn.Sequential(nn.Hardtanh(-2.0, 1.5)))
    table.log2_scale.data.fill_(math.log2(1 / 64))
    in_scale = 3 / 128
    knots = table.knots(torch.tensor(in_scale), 2)
    expected = [
        min(127, math.floor(64 * min(1.5, max(-2, in_scale * x)) + 0.5))
        for x in range(-128, 129, 4)
    ]
    assert knots.tolist() == [expected, expected]
    assert expected[-1] == 96 and expected[0] == -128


def test_gradients_of_a_table_reach_the_function_the_input_and_the_scales():
    knots = torch.linspace(-100, 92, 65).repeat(2, 1)  # three units per knot
    table = QuantTable(Rows(knots))
    values = torch.tensor([[-126.0, 5], [8, 127]], requires_grad=True)
    output = table(IntTensor(values, torch.tensor(1.0)))
    output.values.sum().backward()
    assert values.grad.tolist() == [[0.75, 0.75], [0.75, 0.75]]
    expected = torch.zeros(2, 65)
    for channel, inputs in enumerate([(-126, 8), (5, 127)]):
        for x in inputs:
            i, r = divmod(x + 128, 4)
            expected[channel, i] += 1 - r / 4
            expected[channel, i + 1] += r / 4
    torch.testing.assert_close(table.function.rows.grad, expected)


def test_a_table_trains_its_scale_by_the_learned_step_rule():
    table = QuantTable(Rows(torch.full((1, 65), 0.537)))
    table.log2_scale.data.fill_(math.log2(0.01))
    output = table(IntTensor(torch.tensor([[7.0]]), torch.tensor(1.0)))
    assert output.values.item() == 54
    output.real().backward()
    expected = (54 - 53.7) * 0.01 * math.log(2)
    assert table.log2_scale.grad.item() == pytest.approx(expected, rel=1e-3)


# ---- single parts


@given(st.integers(0, 99), st.sampled_from([QuantLinear, QuantTokenLinear]))
@settings(max_examples=20, deadline=None)
def test_a_linear_layer_by_its_equation(seed, kind):
    torch.manual_seed(seed)
    layer = kind(torch.randn(3, 4), torch.randn(3))
    layer.log2_scale.data.fill_(-4.3)
    layer.shift.copy_(torch.randint(1, 9, (3,)))
    x = IntTensor(torch.randint(-128, 128, (2, 5, 4)).float(), torch.tensor(0.03))
    p = {key: value.detach().int() for key, value in layer.integers(x.scale).items()}
    acc = torch.einsum("ntc,oc->nto", x.values.int(), p["w"])
    expected = fixed_point.requantize(acc, p["s"], p["b"]).float()
    if kind is QuantTokenLinear:
        x, expected = IntTensor(x.values.mT, x.scale), expected.mT
    output = layer(x)
    assert torch.equal(output.values, expected)
    assert output.scale.item() == pytest.approx(2**-4.3)


def test_weights_and_biases_are_on_the_grids_that_the_shifts_imply():
    layer = QuantLinear(torch.tensor([[0.5, -0.25], [0.1, 9.0]]), torch.tensor([0.33, -9.0]))
    layer.log2_scale.data.fill_(-5)
    layer.shift.copy_(torch.tensor([6, 8]))
    p = layer.integers(torch.tensor(0.02))
    steps = [2.0**-6 / 32 / 0.02, 2.0**-8 / 32 / 0.02]
    expected = [[math.floor(0.5 / steps[0] + 0.5), math.floor(-0.25 / steps[0] + 0.5)]]
    expected += [[math.floor(0.1 / steps[1] + 0.5), 127]]
    assert p["w"].tolist() == expected
    assert p["b"].tolist() == [math.floor(0.33 * 32 + 0.5), -128]
    torch.testing.assert_close(layer.step(torch.tensor(0.02)), torch.tensor(steps))


def test_relu_keeps_the_scale():
    output = QuantReLU()(IntTensor(INT8, torch.tensor(0.3)))
    assert torch.equal(output.values, INT8.clamp(min=0)) and output.scale == 0.3


@pytest.mark.parametrize("tokens", [2, 4, 64, 256])
def test_mean_pool_rounds_half_up(tokens):
    values = torch.randint(-128, 128, (50, tokens, 3)).float()
    output = QuantMeanPool()(IntTensor(values, torch.tensor(0.3)))
    assert torch.equal(output.values, (values.double().mean(1) + 0.5).floor().float())


def test_real_is_values_times_scale():
    x = IntTensor(torch.tensor([3.0, -4]), torch.tensor(0.25))
    assert x.real().tolist() == [0.75, -1]
