"""The embedded data set: real files, written once, the same for the same seed."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medai_lab.errors import UserError
from medai_lab.mri import synthetic
from medai_lab.mri.phantom import Head, draw, layers_of
from medai_lab.mri.synthetic import mri_phantom
from medai_lab.mri.volumes import read_volume


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small data set in a folder of its own."""
    root = tmp_path_factory.mktemp("phantom")
    return root, mri_phantom(str(root), channels=["T1w", "FLAIR"], n_patients=24)


def contents(root: Path) -> dict[str, str]:
    """Digest of every file below a folder, without locks."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_cohort_has_patients_sessions_and_columns(written):
    _, cohort = written
    table = cohort.table
    assert cohort.name == "mri_phantom" and cohort.inputs == ("T1w", "FLAIR")
    assert cohort.target.classes == ("control", "lesion")
    assert table["patient_id"].nunique() == 24 and len(table) == 27
    assert table.groupby("patient_id")["group"].first().value_counts().to_dict() == {"control": 12, "lesion": 12}
    twice = table[table["patient_id"] == "sub-001"]
    assert twice["record_id"].tolist() == ["sub-001_ses-01", "sub-001_ses-02"]
    assert twice["age"].is_monotonic_increasing and twice["age"].is_unique
    assert table["age"].between(20, 90).all()
    assert set(table["sex"]) == {"F", "M"} and set(table["site"]) == {"east", "north", "west"}


def test_scans_are_small_and_differ_in_grid_orientation_and_scale(written):
    _, cohort = written
    volumes = [read_volume(s) for s in cohort.table["input_T1w"]]
    assert all(30 <= n <= 64 for v in volumes for n in v.data.shape)
    assert all(2 < s < 4.5 for v in volumes for s in v.spacing)
    assert len({nib.aff2axcodes(v.affine) for v in volumes}) >= 3
    assert len({v.spacing for v in volumes}) >= 24
    brightness = [float(np.percentile(v.data, 90)) for v in volumes]
    assert max(brightness) > 2 * min(brightness)
    for source, volume in zip(cohort.table["input_FLAIR"], volumes, strict=True):
        np.testing.assert_array_equal(read_volume(source).affine, volume.affine)


def test_brain_lies_upright_whatever_the_axes(written):
    """Turned to RAS+, every head is longest from back to front, and the ventricles lie side by side."""
    _, cohort = written
    for source in cohort.table["input_T1w"]:
        image = nib.as_closest_canonical(nib.load(source))
        head = image.get_fdata() > 0.25 * np.percentile(image.get_fdata(), 95)
        extent = [
            (np.ptp(np.flatnonzero(head.any(axis=tuple(a for a in range(3) if a != axis)))) + 1)
            * image.header.get_zooms()[axis]
            for axis in range(3)
        ]
        assert extent[1] == max(extent)


def test_every_target_can_be_asked_for(written):
    root, _ = written
    assert mri_phantom(str(root), target="age", n_patients=24).target.kind == "regression"
    assert mri_phantom(str(root), target="sex", n_patients=24).target.classes == ("F", "M")
    assert mri_phantom(str(root), target="site", n_patients=24).target.kind == "multiclass"
    assert mri_phantom(str(root), target=None, n_patients=24).target is None
    with pytest.raises(UserError, match="Did you mean 'group'"):
        mri_phantom(str(root), target="groop", n_patients=24)


def test_a_finished_data_set_is_used_again(written):
    root, cohort = written
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")}
    again = mri_phantom(str(root), channels=["T1w", "FLAIR"], n_patients=24)
    assert again.digest() == cohort.digest()
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        mri_phantom(str(tmp_path / name), n_patients=6, seed=seed)
    first, second, other = (
        {k.split("/", 1)[1]: v for k, v in contents(tmp_path / n).items() if k.endswith(".nii.gz")} for n in "abc"
    )
    assert first and first == second
    assert not set(first.values()) & set(other.values())


def test_two_may_ask_at_once(tmp_path):
    """The lock is one of the file system, which keeps threads apart as it does processes."""
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda root: len(mri_phantom(root, n_patients=6)), [str(tmp_path)] * 2)) == [7, 7]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == [f"n6-seed0-v{synthetic.VERSION}"]


def test_nothing_is_left_of_a_data_set_whose_writing_fails(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(synthetic, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        mri_phantom(str(tmp_path), n_patients=4)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_a_folder_in_the_way_is_not_touched(tmp_path):
    mine = tmp_path / f"n4-seed0-v{synthetic.VERSION}" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UserError, match="in the way"):
        mri_phantom(str(tmp_path), n_patients=4)
    assert mine.read_text() == "mine"


def test_too_few_patients_are_refused(tmp_path):
    with pytest.raises(UserError, match="at least 4"):
        mri_phantom(str(tmp_path), n_patients=3)


def test_ventricles_grow_with_age(written):
    """Dark voxels deep in the brain, as a share of it, follow the age."""
    _, cohort = written
    shares = []
    for source in cohort.table["input_T1w"]:
        image = nib.as_closest_canonical(nib.load(source)).get_fdata()
        x, y, z = (slice(int(0.35 * n), int(0.65 * n)) for n in image.shape)
        shares.append((image[x, y, z] < 0.6 * np.median(image[x, y, z])).mean())
    assert np.corrcoef(shares, cohort.table["age"])[0, 1] > 0.7


def test_a_lesion_is_brighter_than_the_tissue_around_it_most_of_all_in_flair():
    healthy = Head((62.0, 76.0, 66.0), 1.0, 1.2, (0.0, 0.0, 0.0), None)
    ill = Head((62.0, 76.0, 66.0), 1.0, 1.2, (0.0, 0.0, 0.0), synthetic.Lesion((25.0, 20.0, 10.0), 8.0, 0.5))
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -72
    gain = {}
    for contrast in ("T1w", "FLAIR"):
        pair = [
            draw(h, layers_of(h, affine, (49, 49, 49)), contrast, 0.02, np.random.default_rng(0))
            for h in (healthy, ill)
        ]
        difference = pair[1] - pair[0]
        peak = np.unravel_index(difference.argmax(), difference.shape)
        assert np.linalg.norm(affine[:3, :3] @ peak + affine[:3, 3] - [25, 20, 10]) < 9
        gain[contrast] = difference.max()
        far = np.linalg.norm(np.indices((49, 49, 49)).T * 3.0 - 72 - [25, 20, 10], axis=-1).T > 12
        assert np.abs(difference[far]).max() == 0
    assert gain["FLAIR"] > gain["T1w"]
