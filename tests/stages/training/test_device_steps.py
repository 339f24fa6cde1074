"""The steps for an accelerator, as far as a CPU can tell: a stand-in replays instead of a graph."""

import copy
import logging
from dataclasses import replace
from functools import partial
from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn import functional

import stages.distill
from models.float.convnet import ConvNet
from models.float.fused import passes as fused_resmlp
from models.float.fused import plain
from models.float.resmlp import ResMLP
from stages.distill import distill_phase, transfer_phase
from stages.networks.convnet import mixed_precision
from stages.networks.resmlp import in_bfloat16
from stages.pipeline.params import FloatSchedule, load_params
from stages.training.batches import Batches
from stages.training.device_steps import EagerStep, RecordedStep, record_graph, training_step
from stages.training.optimizers import matrices_apart, muon
from stages.training.phase import PhaseLoss
from tests.support.images import IMAGES
from tests.support.paths import ROOT

pytestmark = pytest.mark.training

CPU = torch.device("cpu")
SCHEDULE = FloatSchedule(0.1, 0.001, weight_decay=0.01, muon_learning_rate=0.01)


class Loss(nn.Module):
    """Cross-entropy of a small network, whose norms keep statistics."""

    def __init__(self, activation="lerp_psa", num_blocks=2):
        super().__init__()
        torch.manual_seed(0)
        sizes = {"embed_dim": 8, "patch_size": 8, "num_blocks": num_blocks}
        self.network = ResMLP(activation, 8, **sizes, **IMAGES)

    def forward(self, images, labels):
        logits = self.network(images)
        return functional.cross_entropy(logits, labels), logits


class StandIn:
    """What `record_graph` does, without a graph: the replay computes into the recorded outputs."""

    def __init__(self):
        self.replays = 0

    def __call__(self, step):
        for _ in range(3):
            step()
        outputs = step()

        def replay():
            self.replays += 1
            for recorded, value in zip(outputs, step(), strict=True):
                recorded.copy_(value)

        return replay, outputs


def batches(count, size=6):
    generator = torch.Generator().manual_seed(0)
    shape = (count, size, 3, 32, 32)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return list(zip(images, torch.randint(0, 10, (count, size), generator=generator), strict=True))


def optimizer_of(module, kind="muon"):
    """Return one of the optimisers that are recorded, its groups as `fit` leaves them."""
    if kind == "sgd":
        optimizer = torch.optim.SGD(
            module.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True
        )
    else:
        optimizer = muon(SCHEDULE).optimizer(matrices_apart(module))
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def trained(step, count=5):
    """Take some steps at falling rates; return what each gave, and the state at the end."""
    given = []
    device = next(step.module.parameters()).device
    for number, batch in enumerate(batches(count)):
        loss, logits = step(1 / (1 + number), *(part.to(device) for part in batch))
        given += [loss.clone(), logits.clone()]
    return given, list(step.module.state_dict().values())


def eager(kind="muon", device="cpu"):
    module = Loss().to(device)
    return EagerStep(module, optimizer_of(module, kind))


def recorded(record, kind="muon", device="cpu"):
    module = Loss().to(device)
    return RecordedStep(module, optimizer_of(module, kind), record)


def assert_same(found, expected, rtol=1e-5):  # a tensor's rate is float32
    pairs = zip(chain(*found), chain(*expected), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("kind", ["muon", "sgd"])
def test_a_recorded_step_trains_as_an_eager_one(kind):
    stand_in = StandIn()
    step = recorded(stand_in, kind)
    assert_same(trained(step), trained(eager(kind)))
    assert stand_in.replays == 5  # what recording did has left no trace, in norms and momenta too


def test_a_recording_goes_on_from_a_loaded_state():
    whole, first, second = eager(), eager(), recorded(StandIn())
    expected = trained(whole)
    trained(first)
    second.module.load_state_dict(first.module.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert_same(trained(second), trained(whole))
    assert not torch.equal(expected[0][0], trained(whole)[0][0])


def test_a_step_sets_the_rates_of_all_groups():
    for step in (eager(), recorded(StandIn())):
        step(0.5, *batches(1)[0])
        rates = [float(group["lr"]) for group in step.optimizer.param_groups]
        assert rates == pytest.approx([0.005, 0.05]) and step.learning_rate == pytest.approx(
            rates[0]
        )


def test_an_eager_step_leaves_the_gradients_of_its_own_batch():
    step = eager()
    for images, labels in batches(2):
        other = copy.deepcopy(step.module).train()
        loss, logits = step(1.0, images, labels)
        other.zero_grad()
        expected, _ = other(images, labels)
        expected.backward()
        assert torch.equal(loss, expected) and not loss.requires_grad and not logits.requires_grad
        pairs = zip(step.module.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_a_replay_reads_the_recorded_inputs_and_keeps_addresses():
    step = recorded(StandIn())
    first, second = batches(2)
    before = [part.clone() for part in first]
    loss, logits = step(1.0, *first)
    inputs, rates = step.inputs, [group["lr"] for group in step.optimizer.param_groups]
    again = step(0.5, *second)
    assert again[0] is loss and again[1] is logits and step.inputs is inputs
    assert all(a["lr"] is b for a, b in zip(step.optimizer.param_groups, rates, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, before, strict=True))


def refuse(step):
    step()
    raise RuntimeError("operation not permitted when stream is capturing")


def test_a_step_that_cannot_be_recorded_is_eager_and_says_so_once(caplog):
    with caplog.at_level(logging.INFO):
        found = trained(recorded(refuse))
    assert [record.message.count("not permitted") for record in caplog.records] == [1]
    assert_same(found, trained(eager()))


def test_a_form_that_cannot_be_compiled_gives_way_to_the_next(caplog):
    def broken(*batch):
        raise RuntimeError("no compiler")

    stand_in = StandIn()
    step = recorded(stand_in)
    step.forms = [broken, step.module]
    with caplog.at_level(logging.INFO):
        found = trained(step)
    assert "no compiler" in caplog.text and stand_in.replays == 5
    assert_same(found, trained(eager()))


def test_a_graph_is_for_cuda_where_it_is_asked_for():
    cuda, module = torch.device("cuda"), Loss()
    optimizer = optimizer_of(module)
    assert type(training_step(module, optimizer, CPU, record=True)) is EagerStep
    assert type(training_step(module, optimizer, cuda, record=False)) is EagerStep
    step = training_step(module, optimizer, cuda, record=True)
    assert type(step) is RecordedStep and step.forms == [module]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["muon", "sgd"])
def test_a_cuda_graph_trains_as_eager_steps(kind):
    expected = trained(eager(kind, "cuda"))
    step = recorded(record_graph, kind, "cuda")
    found = trained(step)
    assert step.replay is not None
    if kind == "muon":  # AdamW moves a bias that a norm takes out again by what rounding leaves
        found, expected = found[:1], expected[:1]
    assert_same(found, expected, rtol=1e-3)  # sums over atomic additions


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, in its compiler
def test_a_long_phase_is_compiled():
    cuda, module = torch.device("cuda"), Loss()
    step = training_step(module, optimizer_of(module), cuda, record=True, compile_for=10**6)
    assert len(step.forms) == 2 and step.forms[1] is module


def wide_pass(network, training):
    """Stand in for `forward_pass` and its like: what CUDA runs, but in float32."""
    return partial(fused_resmlp.fused_forward, network, dtype=torch.float32)


def wide_frozen_pass(network, training):
    return fused_resmlp.fused_inference(network, dtype=torch.float32)


def wide_feature_pass(network, training):
    return partial(fused_resmlp.fused_features, network, dtype=torch.float32)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, in its compiler
@pytest.mark.parametrize("phase", ["distill", "two teachers", "transfer"])
def test_the_fused_passes_compile_as_one_graph(monkeypatch, phase):
    """What CUDA compiles: the plain form of the fused passes, its backward pass, the teacher's."""
    monkeypatch.setattr(fused_resmlp, "_operations", lambda x: plain)
    monkeypatch.setattr(stages.distill, "forward_pass", wide_pass)
    monkeypatch.setattr(stages.distill, "frozen_pass", wide_frozen_pass)
    monkeypatch.setattr(stages.distill, "feature_pass", wide_feature_pass)
    blocks = 2 if phase == "transfer" else 1  # transfer of the second has a frozen first
    student = Loss(num_blocks=blocks).network.train()
    teacher = Loss("relu", blocks).network.eval().requires_grad_(False)
    variant = load_params(ROOT / "params.yaml").variant("lerp_psa_h96")
    images, labels = batches(1)[0]
    convnet = None
    if phase == "two teachers":  # and mixed images
        asked = replace(variant.distill, stored_views=False, convnet_share=0.5)
        variant = replace(variant, distill=asked)
        convnet = ConvNet((8, 8, 8), 10, [0.5] * 3, [0.2] * 3).eval().requires_grad_(False)
        convnet = mixed_precision(convnet, enabled=True)
        labels = torch.rand(len(images), 10).softmax(dim=1)
    eager_loss = PhaseLoss(
        transfer_phase(variant, student, teacher, 1, None)
        if phase == "transfer"
        else distill_phase(variant, student, teacher, None, None, convnet)
    )
    # The same operators, decompositions and partition as the default backend, without a compiler.
    backend = "aot_eager_decomp_partition"
    compiled = torch.compile(eager_loss, backend=backend, fullgraph=True, dynamic=False)
    gradients = []
    for form in (eager_loss, compiled):
        student.zero_grad()
        form(images, labels)[0].backward()
        named = student.named_parameters()
        gradients += [{name: p.grad.clone() for name, p in named if p.grad is not None}]
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("together", [2, 3, 100])
def test_batches_changed_together_are_the_same_batches(together):
    images = torch.arange(23, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    calls = []

    def change(batch, generator):
        calls.append(len(batch))
        return batch + 1

    def epoch():
        generator = torch.Generator().manual_seed(1)
        return Batches(images, (torch.arange(23),), change, 5, generator, CPU)

    alone, several = epoch(), epoch()
    expected = list(alone)
    several.together = together
    calls.clear()
    found = list(several)
    assert len(found) == 4 and len(calls) == -(-4 // together)
    for (a, b), (c, d) in zip(expected, found, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)
        assert torch.equal(c[:, 0, 0, 0].long(), d + 1)


def test_half_precision_keeps_the_logits_and_their_gradients():
    module = Loss()
    images, labels = batches(1, size=16)[0]
    network, half = module.network, in_bfloat16(module.network, "cpu")
    expected, got = network(images), half(images)
    assert got.dtype == torch.float32 and not torch.equal(got, expected)
    assert (got - expected).norm() < 0.05 * expected.norm()
    functional.cross_entropy(got, labels).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())
