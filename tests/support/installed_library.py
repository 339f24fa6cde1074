"""What a library user does with the installed package `lerp_psa`; run where only that is found.

`python installed_library.py` prints a line per thing that works.
"""

import copy
import io
import os
import pickle
import sys
import tempfile
import warnings
from pathlib import Path

import lerp_psa
import numpy as np
import torch
from lerp_psa import BSpline, LerpPsa, lerp
from torch import Tensor, nn

BATCH, CHANNELS = 16, 6


def model() -> nn.Module:
    """Return a small network with both activations."""
    torch.manual_seed(0)
    layers = [nn.Linear(CHANNELS, CHANNELS), LerpPsa(CHANNELS)]
    layers += [nn.Linear(CHANNELS, CHANNELS), BSpline(CHANNELS, grid_size=17)]
    return nn.Sequential(*layers)


def data() -> Tensor:
    """Return inputs that reach beyond the grid."""
    return 4 * torch.randn(BATCH, CHANNELS)


def from_elsewhere() -> None:
    """The package is the installed one, and no package of the pipeline came with it."""
    assert Path(lerp_psa.__file__).is_relative_to(os.environ["SITE"]), lerp_psa.__file__
    assert not {"models", "stages", "hls"} & set(sys.modules)


def gradients() -> None:
    """Forward, backward and double backward."""
    network, x = model().double(), data().double().requires_grad_()
    loss = network(x).square().mean()
    (first,) = torch.autograd.grad(loss, x, create_graph=True)
    first.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    layer = LerpPsa(2, grid_size=9).double()
    inside = (3 * torch.rand(3, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (inside,))


def weights() -> None:
    """state_dict, deepcopy and pickle keep the function; another grid is refused."""
    network, x = model(), data()
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = model()
    other.load_state_dict(torch.load(file, weights_only=True))
    for twin in (other, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301 - ours
        assert torch.equal(twin(x), network(x))
    try:
        LerpPsa(CHANNELS, grid_size=32).load_state_dict(LerpPsa(CHANNELS).state_dict())
    except RuntimeError as error:
        assert "was trained with 64 knots" in str(error)
    else:
        raise AssertionError("another grid was loaded")


def precisions() -> None:
    """autocast, float16 and bfloat16."""
    network, x = model(), data()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(x)
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    for dtype in (torch.float16, torch.bfloat16):
        narrow = model().to(dtype)(x.to(dtype))
        assert narrow.dtype == dtype
        torch.testing.assert_close(narrow.float(), network(x), rtol=0.1, atol=0.5)


def compiled() -> None:
    """torch.compile in one graph, with gradients; a backend that needs no C++ compiler."""
    network, x = model(), data()
    whole = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(whole(x), network(x))
    whole(x).sum().backward()


def exported() -> None:
    """torch.export and torch.jit.trace hold PyTorch's own operators alone."""
    network, x = model().eval(), data()
    program = torch.export.export(network, (x,), dynamic_shapes=(({0: torch.export.Dim("rows")}),))
    assert "lerp_psa." not in str(program.graph)
    traced = torch.jit.trace(network, x)
    assert "lerp_psa::" not in str(traced.inlined_graph)
    for form in (program.module(), traced):
        torch.testing.assert_close(form(data()[:5]).shape, (5, CHANNELS), rtol=0, atol=0)
        torch.testing.assert_close(form(x), network(x))


def onnx() -> None:
    """Both ONNX exporters, run by onnxruntime with another number of rows."""
    import onnxruntime

    network, x = model().eval(), data()
    more = torch.cat([x, data()])
    expected = network.double()(more.double()).detach().numpy()
    network.float()
    rows = {0: torch.export.Dim("rows")}
    for dynamo, axes in (
        (True, {"dynamic_shapes": (rows,)}),
        (False, {"dynamic_axes": {"x": [0]}}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/network.onnx"
            names = {"input_names": ["x"], "output_names": ["y"], "opset_version": 18}
            torch.onnx.export(network, (x,), file, dynamo=dynamo, verbose=False, **names, **axes)
            session = onnxruntime.InferenceSession(file)
            (found,) = session.run(None, {"x": more.numpy()})
        scale = np.abs(expected).max()
        assert np.abs(found - expected).max() <= 1e-5 * scale, np.abs(found - expected).max()


def data_parallel() -> None:
    """A training step under DistributedDataParallel changes every parameter."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meeting", rank=0, world_size=1
        )
        network = nn.parallel.DistributedDataParallel(model())
        before = copy.deepcopy(network.state_dict())
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        network(data()).square().mean().backward()
        optimizer.step()
        assert not any(torch.equal(before[k], v) for k, v in network.state_dict().items())
        torch.distributed.destroy_process_group()


def shapes() -> None:
    """Channels first, sizes in `repr`, and one sentence for what does not fit."""
    images = torch.randn(2, CHANNELS, 5, 5)
    layer = LerpPsa(CHANNELS, dim=1)
    expected = lerp(images.movedim(1, -1), *layer.table()).movedim(-1, 1)
    assert torch.equal(layer(images), expected)
    assert "LerpPsa(6, grid_size=64, grid_range=4.0" in repr(layer)
    for call, words in (
        (lambda: LerpPsa(CHANNELS)(images), "for channels in another dimension pass dim"),
        (lambda: torch.jit.script(layer), "torch.jit.trace"),
    ):
        try:
            call()
        except (RuntimeError, ValueError) as error:
            assert words in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError(words)


def main() -> None:
    """Run every check."""
    warnings.simplefilter("ignore")  # of PyTorch about its own exporters
    checks = [from_elsewhere, gradients, weights, precisions, compiled, exported, data_parallel]
    checks += [shapes] if "--without-onnx" in sys.argv else [shapes, onnx]
    for check in checks:
        check()
        sys.stdout.write(f"{check.__name__}\n")


if __name__ == "__main__":
    main()
