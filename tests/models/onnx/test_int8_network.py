"""The INT8 network as ONNX: every integer of every layer is numpy's, on any processor."""

import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from models.files.errors import PipelineError
from models.integer import resmlp
from models.integer.params import IntLayer
from models.onnx.int8_network import IMAGES, ZERO, write
from models.onnx.runtime import evaluate

SIZE = 8  # pixels; 16 tokens of 2 x 2 pixels
SIZES = {"patch_dim": 12, "num_patches": 16, "embed_dim": 6, "hidden_dim": 10, "input_lut": True}
STANDARD = {
    *("MatMulInteger", "QuantizeLinear", "DequantizeLinear", "GatherElements", "Gather"),
    *("Cast", "Add", "Sub", "Mul", "BitShift", "Relu", "ReduceSum", "Reshape", "Transpose"),
}


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(params=[True, False], ids=["tables", "relu"])
def network(request, random_network):
    return random_network(seed=3, **SIZES, tables=request.param)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tables", [True, False], ids=["tables", "relu"])
def test_every_logit_is_that_of_numpy(random_network, seed, tables):
    network = random_network(seed=seed, **SIZES, tables=tables)
    pixels = images(40, seed)
    logits = evaluate(write(network, "net", SIZE), pixels, threads=2, batch=7)
    assert logits.dtype == np.int8
    assert np.array_equal(logits, resmlp.evaluate(network, pixels))


def test_every_layer_is_that_of_numpy(network):
    """Values inside are [channels, images * tokens], v + 128 for v. ReLU is a part of its layer."""
    pixels, layers, tables = images(5), {}, network.has_tables
    resmlp.forward(network, resmlp.quantize_images(network, pixels), layers.__setitem__)
    model = onnx.load_from_string(write(network, "net", SIZE))
    numpy_names = set(layers) - {f"blocks_{i}_mlp_linear_1" for i in range(2) if not tables}
    assert numpy_names <= {node.name for node in model.graph.node}
    shape = [None, None]
    for name in sorted(numpy_names):
        kind = np.int8 if name == "classifier_linear" else np.uint8
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for name in numpy_names:
        (values,) = session.run([name], {IMAGES: pixels})
        expected = layers[name].reshape(-1, layers[name].shape[-1]).T
        zero = ZERO if values.dtype == np.uint8 else 0
        assert np.array_equal(values.astype(int) - zero, expected), name


@pytest.mark.parametrize("bias", [-128, -1, 0, 127])
def test_the_rounding_is_exact_at_every_limit(random_network, bias):
    """Largest weights, every shift, ties above and below zero, saturation on both sides."""
    rng = np.random.default_rng(bias + 128)
    network = random_network(
        seed=1, patch_dim=48, num_patches=4, embed_dim=32, num_classes=64, input_lut=True
    )

    def limits(outputs, inputs):
        w = rng.choice([-128, -127, -1, 0, 1, 127], (outputs, inputs)).astype(np.int32)
        shifts = np.resize(np.arange(1, 17, dtype=np.int32), outputs)
        return IntLayer(w, np.full(outputs, bias, np.int32), shifts)

    network = replace(
        network, embed_linear=limits(32, 48), classifier_linear=limits(64, 32), input_lut=None
    )
    network = replace(network, input_lut=np.tile(np.arange(-128, 128), (3, 1)).astype(np.int32))
    pixels = images(64)
    pixels[:8], pixels[8:16] = 0, 255  # sums of the largest magnitude
    logits = evaluate(write(network, "net", SIZE), pixels, threads=1)
    expected = resmlp.forward(network, resmlp.quantize_images(network, pixels), exact_integers=True)
    assert np.array_equal(logits, expected)


def test_another_integer_gives_other_logits(network):
    pixels = images(40)
    bias = network.classifier_linear.b.copy()
    bias[1] += 1 if bias[1] < 0 else -1
    other = replace(network, classifier_linear=replace(network.classifier_linear, b=bias))
    first, second = (evaluate(write(net, "net", SIZE), pixels, 1) for net in (network, other))
    assert not np.array_equal(first[:, 1], second[:, 1])
    assert np.array_equal(first[:, 0], second[:, 0])


def test_the_file_is_standard_named_and_the_same_every_time(network):
    content = write(network, "net", SIZE)
    assert content == write(network, "net", SIZE)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert {node.op_type for node in model.graph.node} <= STANDARD
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) and all(names)
    assert {"blocks_0_token_mixer_affine_1", "blocks_1_mlp", "classifier_linear"} <= set(names)


def test_the_file_says_what_it_is(network):
    model = onnx.load_from_string(write(network, "net", SIZE))
    said = {item.key: item.value for item in model.metadata_props}
    assert said["network"] == "net" == model.graph.name
    assert "half up" in said["rounding"] and "uint8 [n, height, width, 3]" in said["layout"]


def test_weights_and_values_are_uint8(network):
    """Products of uint8 and int8 saturate in onnxruntime on processors with AVX2 alone."""
    model = onnx.load_from_string(write(network, "net", SIZE))
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMulInteger":
            weights = [constants[name] for name in node.input if name in constants]
            assert {item.data_type for item in weights} == {onnx.TensorProto.UINT8}


def test_a_network_whose_input_scale_is_unknown_is_refused(random_network):
    network = random_network(**(SIZES | {"input_lut": False}))
    with pytest.raises(PipelineError, match="no table from pixels to its input"):
        write(network, "net", SIZE)


def test_a_network_for_other_images_is_refused(network):
    with pytest.raises(PipelineError, match="16 tokens of 12 values, but images of 10 x 10"):
        write(network, "net", 10)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_an_absent_package_is_named(network, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    words = f"^The Python package {package} is not installed; run `make setup`"
    with pytest.raises(PipelineError, match=words):
        evaluate(write(network, "net", SIZE), images(1), 1)


def test_a_file_that_onnxruntime_cannot_load_is_refused_in_one_sentence():
    with pytest.raises(PipelineError, match=re.escape("cannot load the network (")) as error:
        evaluate(b"no network", images(1), 1)
    assert "\n" not in str(error.value)
