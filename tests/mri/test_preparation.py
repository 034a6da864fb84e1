"""What is done to a scan before training."""

import nibabel as nib
import numpy as np
import pytest

from medai_lab.errors import ScanError
from medai_lab.mri.preparation import Preparation, bounding_box, canonical, foreground, normalise, resample
from medai_lab.mri.volumes import Volume


def head(shape=(40, 50, 30), radii=(12, 18, 10), noise=2.0, seed=0):
    """An ellipsoid head with one bright corner to tell directions apart, in noisy air."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) - n / 2 + 0.5 for n in shape), indexing="ij"))
    inside = (grid**2 / np.array(radii).reshape(3, 1, 1, 1) ** 2).sum(axis=0) < 1
    data = np.abs(generator.normal(0, noise, shape)) + inside * 100.0
    data += inside * (grid[0] > 3) * (grid[1] > 3) * (grid[2] > 3) * 60.0
    return data.astype(np.float32), inside


def save(path, data, affine):
    nib.Nifti1Image(data, affine).to_filename(path)
    return str(path)


def test_orientation_does_not_change_the_result(tmp_path):
    data, _ = head()
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    prepare = Preparation(("T1w",), "fit", (24, 24, 24))
    straight, _ = prepare([save(tmp_path / "ras.nii.gz", data, affine)])
    image = nib.Nifti1Image(data, affine)
    for codes in ("LPS", "SAR", "PIR"):
        turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
        turned = image.as_reoriented(turn)
        assert "".join(nib.aff2axcodes(turned.affine)) == codes
        turned.to_filename(tmp_path / f"{codes}.nii.gz")
        again, _ = prepare([str(tmp_path / f"{codes}.nii.gz")])
        assert np.allclose(straight.astype(float), again.astype(float), atol=0.02), codes


def test_foreground_box_is_tight_and_ignores_specks():
    data, inside = head()
    data[0, 0, 0] = 500
    box = bounding_box(foreground(data))
    truth = (
        np.array([np.where(inside)[a].min() for a in range(3)]),
        np.array([np.where(inside)[a].max() + 1 for a in range(3)]),
    )
    assert np.abs(box - np.array(truth)).max() <= 2


def test_foreground_of_a_masked_scan_is_all_that_is_not_background():
    data, inside = head(noise=0.0)
    assert np.array_equal(foreground(data), inside)


def test_normalisation_is_about_the_foreground():
    data, inside = head()
    values = normalise(data * 7 + 100, inside)[inside]
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01


def test_scale_and_offset_of_the_scanner_do_not_matter(tmp_path):
    data, _ = head()
    prepare = Preparation(("T1w",), "fit", (16, 16, 16))
    one, _ = prepare([save(tmp_path / "a.nii.gz", data, np.eye(4))])
    two, _ = prepare([save(tmp_path / "b.nii.gz", data * 13.0, np.eye(4))])
    assert np.allclose(one.astype(float), two.astype(float), atol=0.02)


def test_resampling_keeps_positions_and_averages():
    ramp = np.broadcast_to(np.arange(32.0)[:, None, None], (32, 4, 4)).astype(np.float32)
    half = resample(ramp, [(0, 2, 16), (0, 1, 4), (0, 1, 4)])
    assert np.allclose(half[1:-1, 0, 0], np.arange(16)[1:-1] * 2 + 0.5, atol=1e-4)
    same = resample(ramp, [(0, 1, 32), (0, 1, 4), (0, 1, 4)])
    assert np.allclose(same, ramp, atol=1e-5)


def test_outside_the_scan_is_its_darkest_value():
    data = np.full((4, 4, 4), -3.0, dtype=np.float32)
    data[1:3, 1:3, 1:3] = 5
    padded = resample(data, [(-4, 1, 12)] * 3)
    assert np.allclose(padded[:3], -3, atol=1e-4)
    assert padded[5, 5, 5] == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize("step", [0.4, 1.0, 2.7, 9.0])
def test_a_grid_may_reach_far_beyond_the_scan(step):
    data = np.full((6, 6, 6), 2.0, dtype=np.float32)
    data[0, 0, 0] = 1.0
    out = resample(data, [(-40 * step, step, 90)] * 3)
    assert np.isfinite(out).all()
    assert out.min() >= 1 - 1e-4
    assert out.max() <= 2 + 1e-4
    assert out[0, 0, 0] == pytest.approx(1.0)


def test_spacing_in_millimetres_is_met(tmp_path):
    data, inside = head(radii=(12, 12, 12))
    source = save(tmp_path / "a.nii.gz", data, np.diag([2.0, 2.0, 2.0, 1.0]))
    out, notes = Preparation(("T1w",), (4.0, 4.0, 4.0), (20, 20, 20))([source])
    extent = bounding_box(out[0] > -1.5)
    assert np.allclose(extent[1] - extent[0], 12, atol=2)  # 48 mm in steps of 4 mm
    assert notes["spacing"] == [2.0, 2.0, 2.0]


def test_what_the_grid_cuts_off_is_noted(tmp_path):
    data, _ = head()
    source = save(tmp_path / "a.nii.gz", data, np.eye(4))
    _, whole = Preparation(("T1w",), "fit", (24, 24, 24))([source])
    _, part = Preparation(("T1w",), (1.0, 1.0, 1.0), (12, 12, 12))([source])
    assert whole["cut"] < 0.01
    assert part["cut"] > 0.5


def test_missing_sequences_are_zeros_with_a_mask(tmp_path):
    data, _ = head()
    source = save(tmp_path / "a.nii.gz", data, np.eye(4))
    out, _ = Preparation(("T1w", "FLAIR"), "fit", (16, 16, 16), mask_channels=True)([source, None])
    assert out.shape == (4, 16, 16, 16)
    assert out[0].std() > 0
    assert not out[1].any()
    assert (out[2] == 1).all()
    assert not out[3].any()


def test_sequences_on_other_grids_are_brought_onto_the_first(tmp_path):
    data, _ = head()
    moved = np.eye(4)
    moved[:3, 3] = [-5, 0, 0]
    shifted = np.zeros((50, 50, 30), np.float32) + data.min()
    shifted[5:45] = data
    sources = [save(tmp_path / "a.nii.gz", data, np.eye(4)), save(tmp_path / "b.nii.gz", shifted, moved)]
    out, _ = Preparation(("T1w", "FLAIR"), "fit", (24, 24, 24))(sources)
    assert np.corrcoef(out[0].ravel(), out[1].ravel())[0, 1] > 0.99


def test_sequences_that_do_not_overlap_are_refused(tmp_path):
    data, _ = head()
    far = np.eye(4)
    far[:3, 3] = 500
    sources = [save(tmp_path / "a.nii.gz", data, np.eye(4)), save(tmp_path / "b.nii.gz", data, far)]
    with pytest.raises(ScanError, match="do not overlap"):
        Preparation(("T1w", "FLAIR"), "fit", (16, 16, 16))(sources)


def test_millimetres_need_geometry(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.random.default_rng(0).integers(0, 255, (2, 8, 8, 8), np.uint8))
    source = f"{tmp_path / 'set.npz'}#train_images/1"
    with pytest.raises(ScanError, match="holds no voxel size"):
        Preparation(("T1w",), (1.0, 1.0, 1.0), (8, 8, 8))([source])
    out, _ = Preparation(("T1w",), "native", (8, 8, 8))([source])
    assert out.shape == (1, 8, 8, 8)


def test_plain_values_and_back():
    preparation = Preparation(("T1w", "FLAIR"), (1.0, 1.0, 2.0), (8, 9, 10), True)
    assert Preparation.from_dict(preparation.to_dict()) == preparation
    assert preparation.n_channels == 4


def test_canonical_axes_run_right_front_top():
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    volume = canonical(Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0])))
    assert "".join(nib.aff2axcodes(volume.affine)) == "RAS"
    assert np.array_equal(volume.data, data[::-1])
