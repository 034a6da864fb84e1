"""Scans become voxels with their place in space, or are refused with the reason."""

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medai_lab.errors import ScanError
from medai_lab.mri import scan_checks
from medai_lab.mri.volumes import file_identity, read_geometry, read_volume
from tests.mri.files import oblique_affine, some_volume, write_nifti, write_series


def refused(source: Path | str) -> str:
    """The message with which a source is refused; it always names the file."""
    with pytest.raises(ScanError) as caught:
        read_volume(str(source))
    assert str(source).split("#")[0] in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_nifti_voxels_and_geometry_are_those_nibabel_reads(tmp_path, name):
    path = write_nifti(tmp_path / name, affine=oblique_affine())
    volume = read_volume(str(path))
    reference = nib.load(path)
    np.testing.assert_array_equal(volume.data, reference.get_fdata())
    np.testing.assert_allclose(volume.affine, reference.affine)
    assert volume.data.dtype == np.float32
    assert volume.spacing == pytest.approx((0.9, 1.1, 2.5), abs=1e-5)
    shape, affine = read_geometry(str(path))
    assert shape == (6, 5, 4)
    np.testing.assert_array_equal(affine, volume.affine)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_type_and_byte_order_with_slope_and_intercept(tmp_path, kind, order):
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(kind).newbyteorder(order))
    stored = np.arange(24).reshape(2, 3, 4).astype(np.dtype(kind).newbyteorder(order))
    header.set_data_shape(stored.shape)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 0.5, -3
    path = tmp_path / "x.nii"
    path.write_bytes(header.binaryblock + b"\0" * 4 + stored.tobytes(order="F"))
    np.testing.assert_allclose(read_volume(str(path)).data, np.arange(24).reshape(2, 3, 4) * 0.5 - 3)


def test_nifti_2_is_read(tmp_path):
    image = nib.Nifti2Image(some_volume(), np.eye(4))
    nib.save(image, tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read_volume(str(tmp_path / "x.nii.gz")).data, some_volume())


def test_qform_counts_where_there_is_no_sform(tmp_path):
    image = nib.Nifti1Image(some_volume(), oblique_affine())
    image.set_sform(None, code=0)
    image.set_qform(oblique_affine(), code=1)
    nib.save(image, tmp_path / "x.nii")
    np.testing.assert_allclose(read_volume(str(tmp_path / "x.nii")).affine, oblique_affine(), atol=1e-4)


def test_units_other_than_millimetres_are_converted(tmp_path):
    image = nib.Nifti1Image(some_volume(), np.diag([500.0, 500.0, 900.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "x.nii")
    assert read_volume(str(tmp_path / "x.nii")).spacing == pytest.approx((0.5, 0.5, 0.9))


def test_gzip_of_several_members_and_padding_is_read(tmp_path):
    raw = write_nifti(tmp_path / "x.nii").read_bytes()
    path = tmp_path / "y.nii.gz"
    path.write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:]) + b"\0" * 64)
    np.testing.assert_array_equal(read_volume(str(path)).data, some_volume())


def test_trailing_axes_of_length_one_are_dropped(tmp_path):
    path = write_nifti(tmp_path / "x.nii", some_volume((6, 5, 4, 1)))
    assert read_volume(str(path)).data.shape == (6, 5, 4)


def test_missing_empty_and_unknown_files_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "x.nii.gz")
    (tmp_path / "x.nii.gz").touch()
    assert "zero bytes" in refused(tmp_path / "x.nii.gz")
    (tmp_path / "x.jpg").write_bytes(b"jpeg")
    assert ".nii.gz" in refused(tmp_path / "x.jpg")


def test_what_is_not_gzip_or_not_nifti_is_refused(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(b"not compressed at all")
    assert "not a gzip file" in refused(path)
    path.write_bytes(gzip.compress(b"hello" * 500))
    assert "not a NIfTI file" in refused(path)
    write_nifti(tmp_path / "y.nii.gz").rename(tmp_path / "y.nii")
    assert "rename it to .nii.gz" in refused(tmp_path / "y.nii")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated_gzip_is_refused_wherever_it_ends(tmp_path, share):
    path = write_nifti(tmp_path / "x.nii.gz", some_volume((20, 20, 20)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "truncated" in refused(path)


def test_gzip_without_its_checksum_or_with_a_wrong_one_is_refused(tmp_path):
    path = write_nifti(tmp_path / "x.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert "truncated" in refused(path)
    path.write_bytes(whole[:-8] + b"abcd" + whole[-4:])
    assert "damaged" in refused(path)


def test_nifti_with_too_few_voxels_is_refused(tmp_path):
    path = write_nifti(tmp_path / "x.nii")
    path.write_bytes(path.read_bytes()[:-10])
    assert "truncated" in refused(path)
    packed = tmp_path / "y.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert "truncated" in refused(packed)


def test_only_one_3d_volume_is_accepted(tmp_path):
    message = refused(write_nifti(tmp_path / "x.nii", some_volume((6, 5, 4, 3))))
    assert "(6, 5, 4, 3)" in message and "one 3D volume a channel" in message
    assert "not a volume" in refused(write_nifti(tmp_path / "y.nii", some_volume((6, 5))))
    assert "not a volume" in refused(write_nifti(tmp_path / "z.nii", some_volume((6, 5, 1))))


def test_non_finite_voxels_are_counted(tmp_path):
    data = some_volume().astype(np.float32)
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    assert "3 of 120 voxels" in refused(write_nifti(tmp_path / "x.nii", data))


def test_a_value_too_large_for_float32_counts_as_infinite(tmp_path):
    data = some_volume().astype(np.float64)
    data[0, 0, 0] = 1e300
    assert "1 of 120 voxels" in refused(write_nifti(tmp_path / "x.nii", data))


def test_constant_volume_is_refused(tmp_path):
    assert "same value (7)" in refused(write_nifti(tmp_path / "x.nii", np.full((6, 5, 4), 7, np.int16)))


def test_geometry_that_is_absent_is_not_invented(tmp_path):
    assert "no geometry" in refused(write_nifti(tmp_path / "x.nii", coded=False))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ((0, 0, 0), "voxel size"),
        ((400, 0, 0), "voxel size"),
        ((0, 1, 0), "almost the same way"),
        ((np.nan, 0, 0), "finite"),
    ],
)
def test_absurd_affines_are_refused(tmp_path, column, reason):
    path = write_nifti(tmp_path / "x.nii")
    raw = bytearray(path.read_bytes())
    affine = np.eye(4)
    affine[:3, 0] = column
    struct.pack_into("<12f", raw, 280, *affine[:3].ravel())  # srow_x, srow_y, srow_z
    path.write_bytes(raw)
    assert reason in refused(path)


def test_colour_voxels_are_refused(tmp_path):
    data = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "colour" in refused(write_nifti(tmp_path / "x.nii", data))


def test_header_claims_are_checked_before_memory_is_taken(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "x.nii.gz")
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<8h", raw, 40, 3, 20000, 20000, 20, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(raw))
    assert "at most 1,073,741,824" in refused(path)
    struct.pack_into("<8h", raw, 40, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(raw))
    monkeypatch.setattr(np, "empty", lambda *_, **__: pytest.fail("memory was taken for a claim that cannot be true"))
    assert "cannot hold" in refused(path)


def test_the_cap_of_voxels_can_be_set(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "x.nii")
    monkeypatch.setattr(scan_checks, "MAX_VOXELS", 100)
    assert "120 voxels; at most 100" in refused(path)


def test_geometry_of_a_gzip_file_needs_only_its_first_bytes(tmp_path):
    path = write_nifti(tmp_path / "x.nii.gz", some_volume((64, 64, 64)))
    path.write_bytes(path.read_bytes()[:6000])
    assert read_geometry(str(path))[0] == (64, 64, 64)
    assert "truncated" in refused(path)


def test_items_of_an_archive_are_volumes_without_geometry(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 6)).astype(np.uint8)
    np.savez_compressed(tmp_path / "x.npz", train_images=images, names=np.array(["a", "b"]))
    volume = read_volume(f"{tmp_path / 'x.npz'}#train_images/1")
    np.testing.assert_array_equal(volume.data, images[1])
    assert volume.affine is None and volume.spacing is None
    assert read_geometry(f"{tmp_path / 'x.npz'}#train_images/2") == ((4, 5, 6), None)


@pytest.mark.parametrize(
    ("locator", "reason"),
    [
        ("#train_images/3", "no item 3"),
        ("#trian_images/0", "Did you mean 'train_images'"),
        ("", "key/index"),
        ("#names/0", ""),
    ],
)
def test_wrong_places_in_an_archive_are_refused(tmp_path, locator, reason):
    np.savez_compressed(tmp_path / "x.npz", train_images=np.zeros((3, 4, 5, 6)), names=np.array(["a", "b"]))
    assert reason in refused(f"{tmp_path / 'x.npz'}{locator}")


def test_a_damaged_archive_and_pickled_objects_are_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK not a zip")
    assert "not a readable NumPy archive" in refused(f"{tmp_path / 'x.npz'}#a/0")
    np.savez(tmp_path / "y.npz", a=np.full((2, 3, 4, 5), None, dtype=object))
    assert "numbers" in refused(f"{tmp_path / 'y.npz'}#a/0")


def test_a_changed_archive_is_read_again(tmp_path):
    source = f"{tmp_path / 'x.npz'}#a/0"
    for seed in (1, 2):
        images = np.random.default_rng(seed).normal(size=(2, 3, 4, 5))
        np.savez(tmp_path / "x.npz", a=images)
        os.utime(tmp_path / "x.npz", ns=(seed, seed))
        np.testing.assert_allclose(read_volume(source).data, images[0], rtol=1e-6)


def test_a_number_sign_in_a_path_is_part_of_it(tmp_path):
    path = write_nifti(tmp_path / "visit #2" / "x.nii")
    assert read_volume(str(path)).data.shape == (6, 5, 4)


def test_identity_follows_content_time_and_place(tmp_path):
    path = write_nifti(tmp_path / "x.nii")
    first = file_identity(str(path))
    assert file_identity(str(path)) == first
    os.utime(path, ns=(1, 1))
    assert file_identity(str(path)) != first
    other = write_nifti(tmp_path / "y.nii")
    os.utime(other, ns=(1, 1))
    assert file_identity(str(other)) != file_identity(str(path))
    with pytest.raises(ScanError, match="no such file"):
        file_identity(str(tmp_path / "z.nii"))


def test_identity_of_a_series_covers_every_file(tmp_path):
    folder = write_series(tmp_path / "s")
    first = file_identity(str(folder))
    assert first.count("\n") == 4
    next(folder.iterdir()).unlink()
    assert file_identity(str(folder)) != first


@pytest.mark.realdata
def test_real_brain_scan_is_read_as_nibabel_reads_it(shared_data):
    path = shared_data / "brain_mri_bids" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    volume = read_volume(str(path))
    assert nib.aff2axcodes(volume.affine) == ("L", "A", "S")
    np.testing.assert_array_equal(volume.data, nib.load(path).get_fdata(dtype=np.float32))
