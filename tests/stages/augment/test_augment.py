"""The random changes of training images, measured on images in which every pixel says where it is.

Pixel (row, column) of `coordinates` is (row + 1, column + 1, image); black is nowhere in it.
"""

import random
from collections import Counter

import numpy as np
import pytest
import torch

from stages.augment.augment import augment, rand_augment, random_crop, random_flip
from stages.pipeline.params import Augment

SIZE = 32
POSITIONS = torch.arange(1, SIZE + 1, dtype=torch.uint8)
ALL = Augment(crop_padding=4, flip=True, rand_augment=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def coordinates(count):
    rows = POSITIONS[:, None].expand(count, SIZE, SIZE)
    columns = POSITIONS[None, :].expand(count, SIZE, SIZE)
    number = (torch.arange(count) % 255 + 1).to(torch.uint8)[:, None, None]
    return torch.stack([rows, columns, number.expand(count, SIZE, SIZE)], dim=1)


def noise(count, seed=3):
    shape = (count, 3, SIZE, SIZE)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))


def shifted(image, down, right):
    """Move an image [3, 32, 32] down and right pixel by pixel; what comes in is black."""
    result = torch.zeros_like(image)
    for row in range(SIZE):
        for column in range(SIZE):
            if 0 <= row - down < SIZE and 0 <= column - right < SIZE:
                result[:, row, column] = image[:, row - down, column - right]
    return result


def shift_of(image):
    """Return (down, right) of a shifted image of `coordinates`, read where it is not black."""
    row, column = image[2].nonzero()[0].tolist()
    was_row, was_column = (image[:2, row, column].int() - 1).tolist()
    return row - was_row, column - was_column


@pytest.mark.parametrize("padding", [1, 4, 16])
def test_a_crop_is_a_shift_within_the_padding_that_fills_black(padding):
    images = coordinates(40)
    cropped = random_crop(images, padding, generator())
    for before, after in zip(images, cropped, strict=True):
        down, right = shift_of(after)
        assert abs(down) <= padding and abs(right) <= padding
        assert torch.equal(after, shifted(before, down, right))


def test_every_shift_occurs_about_equally_often():
    shifts = Counter(map(shift_of, random_crop(coordinates(5000), 2, generator())))
    expected = {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    assert set(shifts) == expected
    deviation = (200 * 24 / 25) ** 0.5
    assert all(abs(count - 200) < 4.5 * deviation for count in shifts.values())


def test_a_flip_mirrors_left_to_right_half_of_the_images():
    images = coordinates(4000)
    flipped = random_flip(images, generator())
    mirrored = (flipped == images.flip(-1)).all(dim=(1, 2, 3))
    kept = (flipped == images).all(dim=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert abs(mirrored.sum().item() - 2000) < 4.5 * 1000**0.5


def test_the_flip_does_not_depend_on_the_shift():
    images = augment(coordinates(4000), Augment(2, True, False), generator())
    middle = images[:, 1, 16, 14:18].int()
    mirrored = middle[:, 3] < middle[:, 0]
    down = 17 - images[:, 0, 16, 16].int()
    for shift in range(-2, 3):
        rate = mirrored[down == shift].double().mean().item()
        assert rate == pytest.approx(0.5, abs=0.08)  # 4.5 deviations of 800 draws


@pytest.mark.parametrize(
    "change",
    [
        lambda images, draw: random_crop(images, 4, draw),
        random_flip,
        rand_augment,
        lambda images, draw: augment(images, ALL, draw),
    ],
    ids=["crop", "flip", "rand_augment", "all"],
)
def test_changes_come_from_the_generator_alone(change):
    images = noise(24)
    before = images.clone()
    one = change(images, generator(1))
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - it is the global state that must stay
    again = change(images, generator(1))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002
    torch.rand(5)  # draws elsewhere
    assert torch.equal(one, again) and torch.equal(one, change(images, generator(1)))
    assert not torch.equal(one, change(images, generator(2)))
    assert one.dtype == torch.uint8 and one.shape == images.shape
    assert torch.equal(images, before)


def test_a_generator_goes_on_from_batch_to_batch():
    images, draw = noise(24), generator()
    assert not torch.equal(augment(images, ALL, draw), augment(images, ALL, draw))


def test_nothing_asked_changes_nothing():
    images = noise(5)
    assert torch.equal(augment(images, Augment(0, False, False), generator()), images)


@pytest.mark.parametrize(
    ("how", "change"),
    [
        (Augment(3, False, False), lambda images, draw: random_crop(images, 3, draw)),
        (Augment(0, True, False), random_flip),
        (Augment(0, False, True), rand_augment),
    ],
)
def test_each_setting_switches_its_change_on(how, change):
    images = noise(24)
    assert torch.equal(augment(images, how, generator()), change(images, generator()))


def test_rand_augment_changes_every_image_in_a_way_of_its_own():
    images = noise(1).expand(40, -1, -1, -1)
    changed = rand_augment(images, generator())
    kinds = {image.numpy().tobytes() for image in changed}
    assert len(kinds) > 20
    assert (changed != images).flatten(1).any(dim=1).sum() > 20
