"""RandAugment for batches against torchvision's, operation by operation, in both of its forms."""

import sys
from functools import cache
from importlib import import_module

import pytest
import torch

from benchmarks.reference import rand_augment_reference
from stages.augment import kernels
from stages.augment import rand_augment as rand_augment_module
from stages.augment.augment import augment
from stages.augment.operations import OPERATIONS
from stages.augment.rand_augment import apply_operations, apply_operations_plain, rand_augment
from stages.pipeline.params import Augment
from stages.sources.torchvision_import import import_torchvision

pytestmark = pytest.mark.slow

ALL = Augment(crop_padding=4, flip=True, rand_augment=True)
FORMS = pytest.mark.parametrize("form", [apply_operations, apply_operations_plain])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(height=32, width=32):
    """Return noise over all levels, over few, dark, bright, and images with flat channels."""
    draw = generator(1)
    noise = torch.rand(60, 3, height, width, generator=draw)
    least = torch.randint(200, (40, 3, 1, 1), generator=draw)
    span = torch.randint(1, 56, (40, 3, 1, 1), generator=draw)
    some = (least + noise[:40] * span).to(torch.uint8)
    skewed = (256 * noise[:40] ** 4).to(torch.uint8)
    flat = torch.randint(256, (10, 3, 1, 1), generator=draw).expand(-1, -1, height, width)
    ramp = torch.arange(height * width).view(1, 1, height, width).expand(1, 3, -1, -1) % 256
    parts = [(256 * noise), some, skewed, 255 - skewed, flat, ramp]
    return torch.cat([part.to(torch.uint8) for part in parts])


def torchvision_result(batch, name, negative):
    """Apply one operation of torchvision's RandAugment(), image by image, at its own strength."""
    import_torchvision()
    module = import_module("torchvision.transforms.autoaugment")
    transform = module.RandAugment()
    space = transform._augmentation_space(transform.num_magnitude_bins, batch.shape[2:])
    strengths, signed = space[name]
    strength = strengths[transform.magnitude].item() if strengths.ndim else 0.0
    strength = -strength if signed and negative else float(strength)
    mode, fill = transform.interpolation, transform.fill
    return torch.stack([module._apply_op(one, name, strength, mode, fill) for one in batch])


@cache
def expected_pixels(name, negative):
    return torchvision_result(images(), name, negative)


def ours(form, batch, name, negative):
    number = list(OPERATIONS).index(name)
    return form(batch, torch.full([len(batch)], number), torch.full([len(batch)], negative))


def draws(count):
    numbers = torch.randint(len(OPERATIONS), [count], generator=generator(5))
    return numbers, torch.rand(count, generator=generator(6)) < 0.5


def test_the_operations_are_those_of_torchvision():
    import_torchvision()
    transform = import_module("torchvision.transforms").RandAugment()
    assert list(transform._augmentation_space(31, (32, 32))) == list(OPERATIONS)
    assert transform.num_ops == rand_augment_module._ROUNDS


@FORMS
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_pixel_differs_from_torchvision(form, name, negative):
    assert torch.equal(ours(form, images(), name, negative), expected_pixels(name, negative))


@FORMS
@pytest.mark.parametrize("size", [(24, 40), (33, 31), (3, 3)])
def test_no_pixel_differs_at_other_sizes(form, size):
    batch = images(*size)[::8]
    for name in OPERATIONS:
        for negative in (False, True):
            expected = torchvision_result(batch, name, negative)
            assert torch.equal(ours(form, batch, name, negative), expected), name


def test_strengths_have_an_effect_and_a_sign():
    batch = images()[:20]
    unsigned = {"Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"}
    for name in OPERATIONS:
        one, other = (ours(apply_operations, batch, name, sign) for sign in (False, True))
        assert torch.equal(one, other) == (name in unsigned)
        assert torch.equal(one, batch) == (name == "Identity")


@FORMS
def test_every_image_gets_its_own_operation(form):
    batch = images()[:100]
    numbers, negative = draws(len(batch))
    result = form(batch, numbers, negative)
    names = list(OPERATIONS)
    for i, image in enumerate(batch.split(1)):
        expected = torchvision_result(image, names[numbers[i]], negative[i])
        assert torch.equal(result[i], expected[0])


def test_both_forms_agree_on_many_images():
    batch = images().repeat(20, 1, 1, 1)
    arguments = (batch, *draws(len(batch)))
    assert torch.equal(apply_operations(*arguments), apply_operations_plain(*arguments))


def test_results_occur_as_often_as_torchvisions():
    """Compare the counts of all results of one image with the probabilities of all draws."""
    image = images()[:1]
    expected, every = {}, [(name, sign) for name in OPERATIONS for sign in (False, True)]
    first = torch.cat([torchvision_result(image, *one) for one in every])
    for second in every:
        for result in torchvision_result(first, *second):
            key = result.numpy().tobytes()
            expected[key] = expected.get(key, 0) + 1 / len(every) ** 2
    count = 40_000
    results = rand_augment(image.expand(count, -1, -1, -1), generator(2))
    seen = dict.fromkeys(expected, 0)
    for result in results:
        seen[result.numpy().tobytes()] += 1  # a KeyError is a result torchvision cannot give
    squares = [(seen[key] - count * p) ** 2 / (count * p) for key, p in expected.items()]
    degrees = len(squares) - 1
    assert abs(sum(squares) - degrees) < 4.5 * (2 * degrees) ** 0.5


def test_plain_pytorch_takes_over_where_numba_does_not_work(monkeypatch):
    batch = images()
    expected = augment(batch, ALL, generator(3))
    monkeypatch.setitem(sys.modules, "stages.augment.cpu", None)
    monkeypatch.delattr("stages.augment.cpu", raising=False)
    kernels._cpu_kernels.cache_clear()
    try:
        assert kernels.kernels_for(batch.device) is None
        assert torch.equal(augment(batch, ALL, generator(3)), expected)
    finally:
        kernels._cpu_kernels.cache_clear()


def test_on_the_cpu_the_kernels_work_here():
    assert kernels.kernels_for(torch.device("cpu")) is not None
    assert kernels.kernels_for(torch.device("cuda")) is None


def test_no_step_waits_for_the_device():
    """Tensors on `meta` have no values: reading one, or mixing devices, raises."""
    changed = augment(images().to("meta"), ALL, generator())
    assert changed.device.type == "meta" and changed.shape == images().shape
    assert changed.dtype == torch.uint8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_pixels():
    changed = augment(images().cuda(), ALL, generator(3))
    assert changed.is_cuda
    assert torch.equal(changed.cpu(), augment(images(), ALL, generator(3)))


@FORMS
@pytest.mark.parametrize("count", [0, 1])
def test_tiny_batches(form, count):
    batch = images()[:count]
    assert form(batch, *draws(count)).shape == batch.shape


@pytest.mark.parametrize("compiled", [True, False])
def test_the_memory_layout_does_not_matter(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(kernels, "kernels_for", lambda device: None)
    batch = images()
    channels_last = batch.contiguous(memory_format=torch.channels_last)
    one, other = augment(batch, ALL, generator()), augment(channels_last, ALL, generator())
    assert torch.equal(one, other) and one.is_contiguous() and other.is_contiguous()


def test_the_reference_is_torchvision_seeded_by_the_generator():
    batch, state = images()[:40], torch.get_rng_state()
    one = rand_augment_reference(batch, generator(1))
    assert torch.equal(one, rand_augment_reference(batch, generator(1)))
    assert not torch.equal(one, rand_augment_reference(batch, generator(2)))
    assert torch.equal(torch.get_rng_state(), state)
    import_torchvision()
    transform = import_module("torchvision.transforms").RandAugment()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator(1))))
        assert torch.equal(one, torch.stack([transform(image) for image in batch]))


def test_torchvision_is_not_needed(monkeypatch):
    """Import the augmentation anew, where torchvision cannot be imported, and run it."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("stages", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError):
        import_module("torchvision")
    anew = import_module("stages.augment.augment")
    assert anew.augment is not augment
    batch = images()
    assert torch.equal(anew.augment(batch, ALL, generator()), augment(batch, ALL, generator()))
