"""The batches of an epoch: everything about an image stays together, whoever gets the batch."""

import pytest
import torch

from stages.training.batches import Batches

COUNT, BATCH = 43, 8
CPU = torch.device("cpu")
NUMBERS = torch.arange(COUNT)
IMAGES = NUMBERS.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
LOGITS = torch.stack([NUMBERS, -NUMBERS], dim=1).float()


def unchanged(images, generator):
    return images


def noisy(images, generator):
    return images.float() + torch.rand(len(images), 1, 1, 1, generator=generator) / 2


def batches(change=unchanged, seed=0, targets=(NUMBERS, LOGITS)):
    generator = torch.Generator().manual_seed(seed)
    return Batches(IMAGES, targets, change, BATCH, generator, CPU)


def test_images_and_all_targets_are_shuffled_together():
    seen = []
    for images, labels, logits in batches():
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        assert torch.equal(logits, torch.stack([labels, -labels], dim=1).float())
        seen += labels.tolist()
    assert len(set(seen)) == len(seen) and seen != sorted(seen)


def test_the_last_smaller_batch_is_dropped():
    found = list(batches())
    assert len(batches()) == len(found) == COUNT // BATCH
    assert all(len(part) == BATCH for batch in found for part in batch)


@pytest.mark.parametrize("targets", [(), (NUMBERS,), (NUMBERS, LOGITS, LOGITS)])
def test_there_may_be_any_number_of_targets(targets):
    assert {len(batch) for batch in batches(targets=targets)} == {1 + len(targets)}


def test_a_seed_gives_one_order_and_one_set_of_changes():
    one, again, other = (torch.cat([b[0] for b in batches(noisy, seed)]) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_several_processes_share_what_one_would_get(monkeypatch):
    whole = list(batches(noisy))
    shares = []
    for rank in (0, 1):

        def half(part, rank=rank):
            return part.chunk(2)[rank]

        monkeypatch.setattr("stages.training.batches.own_slice", half)
        shares.append(list(batches(noisy)))
    for batch, *halves in zip(whole, *shares, strict=True):
        for part, *slices in zip(batch, *halves, strict=True):
            assert torch.equal(torch.cat(slices), part)
