"""Random changes of a batch of volumes."""

import torch

from medai_lab.mri.augment import Augmentation
from medai_lab.mri.datamodule import hide_sequences

STILL = {"flip": (), "affine": 0.0, "gain": 0.0, "offset": 0.0, "noise": 0.0}


def batch(n=4, channels=1):
    return torch.randn(n, channels, 12, 14, 10, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(Augmentation(**STILL)(batch(), 1, 1), batch())


def test_the_same_seed_repeats_and_another_does_not():
    change = Augmentation()
    assert torch.equal(change(batch(), 5, 1), change(batch(), 5, 1))
    assert not torch.equal(change(batch(), 5, 1), change(batch(), 6, 1))


def test_the_input_is_left_alone():
    volumes = batch()
    Augmentation(affine=1.0)(volumes, 0, 1)
    assert torch.equal(volumes, batch())


def test_mirroring_is_along_the_axes_asked_for():
    out = Augmentation(**{**STILL, "flip": (1,)})(batch(32), 0, 1)
    flipped = [bool(torch.equal(o, v.flip(2))) for o, v in zip(out, batch(32), strict=True)]
    same = [bool(torch.equal(o, v)) for o, v in zip(out, batch(32), strict=True)]
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    assert 4 < sum(flipped) < 28


def test_moving_keeps_the_range_and_the_mean_about():
    smooth = torch.nn.functional.avg_pool3d(batch(8), 3, 1, 1)
    out = Augmentation(**{**STILL, "affine": 1.0})(smooth, 0, 1)
    assert out.min() >= smooth.min() - 1e-4
    assert out.max() <= smooth.max() + 1e-4
    assert not torch.equal(out, smooth)


def test_a_shift_moves_by_its_share_of_the_grid():
    volume = torch.zeros(1, 1, 16, 16, 16)
    volume[:, :, 8, 8, 8] = 1
    centres = set()
    for seed in range(20):
        out = Augmentation(**{**STILL, "affine": 1.0}, degrees=0, scale=0, shift=0.25)(volume, seed, 1)
        centres.add(int(out.argmax()) // 256)
    assert min(centres) >= 4
    assert max(centres) <= 12
    assert len(centres) > 3


def test_masks_keep_their_values():
    volumes = torch.cat([batch(4), torch.ones(4, 1, 12, 14, 10)], dim=1)
    out = Augmentation(affine=0.0)(volumes, 0, 1)
    assert (out[:, 1] == 1).all()
    assert not torch.equal(out[:, 0], volumes[:, 0])


def test_hidden_sequences_lose_image_and_mask_but_never_all():
    volumes = torch.cat([batch(64, 2) + 10, torch.ones(64, 2, 12, 14, 10)], dim=1)
    volumes[:32, [1, 3]] = 0
    out = hide_sequences(volumes, 2, 0.5, 0)
    masks = out[:, 2:, 0, 0, 0]
    assert (masks.sum(dim=1) >= 1).all()
    assert (masks[32:].sum(dim=1) == 1).any()
    assert ((out[:, :2].abs().sum(dim=(2, 3, 4)) > 0) == (masks > 0)).all()
