"""A DICOM series becomes one volume with the right geometry, or is refused with the files named."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.pixels import get_decoder
from pydicom.uid import MPEG2MPML, DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from medai_lab.errors import ScanError
from medai_lab.mri import scan_checks
from medai_lab.mri.volumes import read_geometry, read_volume
from tests.mri.files import oblique_affine, placed, some_volume, write_enhanced, write_series, write_slice


def refused(source) -> str:
    """The message with which a series is refused, by the headers already unless they cannot show it."""
    with pytest.raises(ScanError) as caught:
        read_volume(str(source))
    assert str(source).split("#")[0] in str(caught.value)
    return str(caught.value)


def edit(path, **elements) -> None:
    """Change or (with None) remove elements of a DICOM file."""
    image = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.save_as(path)


def test_an_oblique_series_gives_back_affine_and_voxels(tmp_path):
    data, affine = some_volume((6, 5, 9)), oblique_affine()
    volume = read_volume(str(write_series(tmp_path / "s", data, affine)))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(volume.data, data)
    assert volume.spacing == pytest.approx((0.9, 1.1, 2.5), abs=1e-4)
    shape, found = read_geometry(str(tmp_path / "s"))
    assert shape == (6, 5, 9)
    np.testing.assert_array_equal(found, volume.affine)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
    flips=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_any_grid_puts_every_voxel_where_it_was(tmp_path_factory, spacing, origin, flips):
    affine = oblique_affine(spacing, origin) @ np.diag([*flips, 1.0])
    data = some_volume((3, 4, 3))
    volume = read_volume(str(write_series(tmp_path_factory.mktemp("s"), data, affine)))
    index = np.array([2, 1, 0, 1.0])
    there = np.rint(np.linalg.inv(volume.affine) @ affine @ index).astype(int)
    np.testing.assert_allclose(volume.affine @ there, affine @ index, atol=1e-3)
    assert volume.data[tuple(there[:3])] == data[2, 1, 0]
    assert volume.affine[:3, :3] @ [0, 0, 1] @ np.cross(*placed_directions(affine)) > 0


def placed_directions(affine):
    """Row and column direction of a grid, in RAS+."""
    return affine[:3, 0] / np.linalg.norm(affine[:3, 0]), affine[:3, 1] / np.linalg.norm(affine[:3, 1])


def test_step_comes_from_positions_and_not_from_the_slice_thickness(tmp_path):
    write_series(tmp_path / "s", SliceThickness=1.0)
    assert read_volume(str(tmp_path / "s")).spacing[2] == pytest.approx(2.5, abs=1e-4)


def test_rescaling_is_applied_slice_by_slice(tmp_path):
    data = some_volume((4, 4, 3))
    for index, slope in enumerate((1, 2, 0.5)):
        elements = placed(oblique_affine(), index)
        write_slice(tmp_path / f"{index}", data[:, :, index].T, RescaleSlope=slope, RescaleIntercept=-index, **elements)
    np.testing.assert_allclose(read_volume(str(tmp_path)).data, data * [1, 2, 0.5] - [0, 1, 2])


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    write_series(tmp_path / "s")
    (tmp_path / "s" / "LICENSE").write_text("text " * 100)
    (tmp_path / "s" / ".IM0000.dcm").write_bytes(b"hidden")
    write_slice(tmp_path / "s" / "report", some_volume((4, 4)), SeriesInstanceUID="9.9")
    report = pydicom.dcmread(tmp_path / "s" / "report")
    del report.Rows, report.Columns, report.PixelData
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedSRStorage
    report.save_as(tmp_path / "s" / "report")
    directory = pydicom.dcmread(tmp_path / "s" / "IM0000")
    directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    directory.save_as(tmp_path / "s" / "DICOMDIR")
    assert read_volume(str(tmp_path / "s")).data.shape == (6, 5, 4)


def test_several_series_need_a_choice(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", some_volume((6, 5, 3)), SeriesInstanceUID="1.2.3.5", SeriesDescription="Jane Doe head")
    message = refused(tmp_path)
    assert "1.2.3.4: 4 file(s), MR" in message and "1.2.3.5: 3 file(s), MR" in message
    assert "Jane" not in message
    assert read_volume(f"{tmp_path}#1.2.3.5").data.shape == (6, 5, 3)
    assert "no series 7" in refused(f"{tmp_path}#7")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    assert "no DICOM image" in refused(tmp_path)


def test_a_missing_slice_is_named_by_its_neighbours(tmp_path):
    write_series(tmp_path / "s", some_volume((6, 5, 8)))
    (tmp_path / "s" / "IM0021").unlink()  # slice 3
    (tmp_path / "s" / "IM0028").unlink()  # slice 4
    message = refused(tmp_path / "s")
    assert "'IM0014' and 'IM0035'" in message and "2 slice(s) seem to be missing" in message
    with pytest.raises(ScanError, match="missing"):
        read_geometry(str(tmp_path / "s"))


@pytest.mark.parametrize(("shift", "accepted"), [(0.05, True), (0.3, False)])
def test_uneven_steps_are_refused_beyond_a_tenth(tmp_path, shift, accepted):
    for index, height in enumerate((0, 2, 4 + 2 * shift, 6, 8, 10)):
        write_slice(tmp_path / str(index), some_volume((4, 4), index), ImagePositionPatient=[0, 0, height])
    if accepted:
        assert read_volume(str(tmp_path)).spacing[2] == pytest.approx(2)
    else:
        assert "uneven" in refused(tmp_path)


@pytest.mark.parametrize("copies", [[0], [3], [0, 1, 2, 3]])
def test_slices_at_the_same_place_are_refused(tmp_path, copies):
    write_series(tmp_path / "s")
    for index in copies:
        write_slice(tmp_path / "s" / f"copy{index}", some_volume((5, 6)), **placed(oblique_affine(), index))
    assert "lie at the same place" in refused(tmp_path / "s")


def test_slices_that_shift_sideways_are_refused_but_a_tilted_stack_is_not(tmp_path):
    for index, aside in enumerate((0, 0, 3, 3)):
        write_slice(tmp_path / "a" / str(index), some_volume((4, 4), index), ImagePositionPatient=[aside, 0, 2 * index])
        tilted = [0, 0.5 * index, 2 * index]
        write_slice(tmp_path / "b" / str(index), some_volume((4, 4), index), ImagePositionPatient=tilted)
    assert "sideways" in refused(tmp_path / "a")
    np.testing.assert_allclose(read_volume(str(tmp_path / "b")).affine[:3, 2], [0, -0.5, 2], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
        ({"PixelSpacing": [1.3, 0.9]}, "pixel spacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angles"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"NumberOfFrames": 2}, "without a position for each"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
    ],
)
def test_slices_that_do_not_fit_are_refused(tmp_path, change, reason):
    write_series(tmp_path / "s")
    edit(tmp_path / "s" / "IM0007", **change)
    message = refused(tmp_path / "s")
    assert reason in message and "IM0007" in message


def test_slices_of_another_size_are_refused(tmp_path):
    write_series(tmp_path / "s")
    write_slice(tmp_path / "s" / "IM0007", some_volume((8, 8)), **placed(oblique_affine(), 1))
    message = refused(tmp_path / "s")
    assert "6x5" in message and "8x8" in message and "IM0007" in message


def test_colour_images_are_refused(tmp_path):
    write_series(tmp_path / "s", SamplesPerPixel=3, PhotometricInterpretation="RGB")
    assert "RGB pixels of 3 sample(s)" in refused(tmp_path / "s")


def test_a_single_slice_is_refused(tmp_path):
    write_series(tmp_path / "s", some_volume((6, 5, 1)))
    assert "single slice" in refused(tmp_path / "s")


@pytest.mark.parametrize("whole", [b"", b"garbage" * 40])
def test_a_slice_that_is_not_dicom_although_named_so_is_not_dropped(tmp_path, whole):
    write_series(tmp_path / "s")
    (tmp_path / "s" / "last.dcm").write_bytes(whole)
    assert "last.dcm" in refused(tmp_path / "s")


def test_truncated_pixels_are_refused(tmp_path):
    write_series(tmp_path / "s")
    path = tmp_path / "s" / "IM0007"
    path.write_bytes(path.read_bytes()[:-20])
    assert "IM0007" in refused(tmp_path / "s")


@pytest.mark.parametrize("length", [135, 160, 300, 450, 600])
def test_a_file_cut_off_in_its_header_is_refused_and_not_passed_over(tmp_path, length):
    write_series(tmp_path / "s")
    path = tmp_path / "s" / "IM0021"  # the last slice: without it the rest would still be a regular stack
    path.write_bytes(path.read_bytes()[:length])
    assert "IM0021" in refused(tmp_path / "s")


def test_deflated_files_are_refused_before_they_inflate(tmp_path):
    for index in range(2):
        bomb = np.zeros((3000, 3000), dtype=np.int16)
        place = placed(oblique_affine(), index)
        write_slice(tmp_path / str(index), bomb, syntax=DeflatedExplicitVRLittleEndian, **place)
    assert (tmp_path / "0").stat().st_size < 100_000
    assert "Deflated Explicit VR Little Endian" in refused(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        (JPEGLSLossless, "no decoder for the transfer syntax JPEG-LS Lossless"),
        (MPEG2MPML, "is not read"),
        (JPEG2000Lossless, "truncated or damaged"),
    ],
)
def test_compressed_pixels_that_cannot_be_decoded_are_refused(tmp_path, syntax, reason):
    if reason.startswith("no decoder") and get_decoder(syntax).is_available:
        pytest.skip("a decoder for it is installed here")
    write_series(tmp_path / "s")
    for path in (tmp_path / "s").iterdir():
        image = pydicom.dcmread(path)
        image.PixelData = pydicom.encaps.encapsulate([b"\0" * 10])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        image.file_meta.TransferSyntaxUID = syntax
        image.save_as(path)
    assert reason in refused(tmp_path / "s")


def test_run_length_encoded_pixels_are_read(tmp_path):
    write_series(tmp_path / "s")
    for path in (tmp_path / "s").iterdir():
        image = pydicom.dcmread(path)
        image.compress(RLELossless)
        image.save_as(path)
    np.testing.assert_array_equal(read_volume(str(tmp_path / "s")).data, some_volume())


def test_the_cap_of_voxels_counts_all_slices(tmp_path, monkeypatch):
    write_series(tmp_path / "s")
    monkeypatch.setattr(scan_checks, "MAX_VOXELS", 100)
    assert "120 voxels; at most 100" in refused(tmp_path / "s")


def test_an_enhanced_file_gives_back_affine_and_voxels(tmp_path):
    data, affine = some_volume((6, 5, 7)), oblique_affine()
    path = write_enhanced(tmp_path / "s" / "x.dcm", data, affine)
    for source in (path, path.parent):
        volume = read_volume(str(source))
        np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
        np.testing.assert_array_equal(volume.data, data * 2 - 1)


def test_an_enhanced_file_without_places_is_refused(tmp_path):
    write_enhanced(tmp_path / "x.dcm", some_volume(), oblique_affine(), per_frame=False)
    assert "without a position for each" in refused(tmp_path)


def test_an_enhanced_file_that_describes_too_few_frames_is_refused(tmp_path):
    path = write_enhanced(tmp_path / "x.dcm", some_volume(), oblique_affine())
    edit(path, PerFrameFunctionalGroupsSequence=pydicom.dcmread(path).PerFrameFunctionalGroupsSequence[:2])
    assert "claims 4 frames but describes 2" in refused(tmp_path)


@pytest.mark.realdata
def test_real_series_has_the_geometry_of_its_headers(shared_data):
    folder = shared_data / "mr_dicom_series"
    shape, affine = read_geometry(str(folder))
    first = pydicom.dcmread(folder / "N2D_0001.dcm", stop_before_pixels=True)
    last = pydicom.dcmread(folder / "N2D_0384.dcm", stop_before_pixels=True)
    assert shape == (first.Columns, first.Rows, 384)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    step = np.linalg.norm(np.subtract(last.ImagePositionPatient, first.ImagePositionPatient)) / 383
    np.testing.assert_allclose(spacing, [first.PixelSpacing[1], first.PixelSpacing[0], step], rtol=1e-5)
    corners = {
        tuple(np.round([-float(x), -float(y), float(z)], 3))
        for x, y, z in (first.ImagePositionPatient, last.ImagePositionPatient)
    }
    assert {tuple(np.round((affine @ [0, 0, k, 1])[:3], 3)) for k in (0, 383)} == corners
    assert nib.aff2axcodes(affine) == ("L", "P", "S")
    data = read_volume(str(folder)).data
    slices = [data[:, :, k].T for k in (0, 383)]
    real = pydicom.dcmread(folder / "N2D_0001.dcm").pixel_array
    assert any(np.array_equal(real, one) for one in slices)
