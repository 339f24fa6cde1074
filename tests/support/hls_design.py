"""Small designs for tests of the HLS code: random networks, their headers and test images."""

import numpy as np

from hls.cpp.accelerators import SIMD, STREAMING
from hls.headers import network as headers
from hls.headers.design import design_text
from hls.headers.simd_parameters import parameters_text
from hls.plan.design import Design
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import Fold, Folding, check_folding, divisors, published_folding
from hls.simulate.gpp import ImageFiles
from models.integer import resmlp as int_resmlp


def make_folding(network, lanes, pe, simd, handover=0):
    """Return a folding; `pe` and `simd` are the factors in the order of `products`."""
    names = products(Sizes.of(network))
    folds = {name: Fold(*fold) for name, *fold in zip(names, pe, simd, strict=True)}
    folding = Folding(lanes=lanes, handover=handover, **folds)
    check_folding(folding, Sizes.of(network))
    return folding


def wide_folding(network, lanes):
    """Return a folding with `lanes` outputs per cycle in each layer and all inputs at once.

    The classifier has one output per cycle.
    """
    layers = products(Sizes.of(network))
    pe = [1 if name == "classifier_linear" else lanes for name in layers]
    return make_folding(network, lanes, pe, [product.inputs for product in layers.values()])


def random_folding(network, lanes, seed):
    """Return a folding with random factors that divide the network's sizes."""
    rng = np.random.default_rng(seed)
    layers = products(Sizes.of(network)).values()
    pe = [int(rng.choice(divisors(product.outputs))) for product in layers]
    simd = [int(rng.choice(divisors(product.inputs))) for product in layers]
    return make_folding(network, lanes, pe, simd, handover=int(rng.integers(2)))


def write_headers(network, folder, folding=None, binding=None, **depths):
    """Write config.hpp, params.hpp and design.hpp, by default of the published design.

    `depths` replaces the computed depths of FIFOs by name. Returns all depths.
    """
    sizes = Sizes.of(network)
    folding = folding or published_folding(sizes)
    depths = {**size_fifos(streaming_network(sizes, folding)).depths, **depths}
    design = Design("", STREAMING, sizes, folding, depths, binding=binding or Binding())
    (folder / "config.hpp").write_text(headers.config_text(network))
    (folder / "params.hpp").write_text(headers.params_text(network))
    (folder / "design.hpp").write_text(design_text(design))
    return depths


def write_simd_headers(network, folder, array):
    """Write config.hpp, design.hpp and parameters.hpp of the SIMD accelerator."""
    design = Design("", SIMD, Sizes.of(network), array=array)
    (folder / "config.hpp").write_text(headers.config_text(network))
    (folder / "design.hpp").write_text(design_text(design))
    (folder / "parameters.hpp").write_text(parameters_text(network, array))


def write_images(network, folder, count):
    """Write int8 tokens and logits of random images."""
    shape = (count, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(8).integers(-128, 128, shape, dtype=np.int8)
    logits = int_resmlp.forward(network, tokens.astype(np.int32)).astype(np.int8)
    files = ImageFiles(folder / "tokens", folder / "logits", count)
    files.tokens.write_bytes(tokens.tobytes())
    files.logits.write_bytes(logits.tobytes())
    return files
