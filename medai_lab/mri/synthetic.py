"""The embedded MRI data: synthetic heads, written once as a small BIDS folder of real NIfTI files.

What a hospital's data would show is in it: three sites with their own voxel sizes, axes and noise, an arbitrary
intensity scale a scan, coil shading, tilted heads, some patients scanned twice. Half of the patients have a lesion,
some of them faint; the size of the ventricles tells the age.
"""

import logging
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import UserError
from medai_lab.files import read_json, write_json, write_text
from medai_lab.mri.formats_bids import bids
from medai_lab.mri.phantom import CONTRASTS, Head, Lesion, draw, layers_of, make_head

log = logging.getLogger(__name__)

VERSION = 2
"""Part of the folder's name: a change of what is drawn never meets an older data set."""

_MARK = "phantom.json"
_TWICE = 10  # every so many patients, one is scanned a second time


@dataclass(frozen=True)
class _Site:
    """How a site scans: mm in the slice and between slices, noise relative to white matter, array axes."""

    in_plane: tuple[float, float]
    between: tuple[float, float]
    noise: tuple[float, float]
    axes: tuple[str, ...]


_SITES = {
    "east": _Site((2.9, 3.2), (3.0, 3.4), (0.02, 0.04), ("RAS", "LAS")),
    "north": _Site((3.0, 3.4), (3.4, 4.0), (0.03, 0.05), ("LPS", "LPI")),
    "west": _Site((3.2, 3.6), (2.6, 3.2), (0.02, 0.05), ("PIR", "ASL", "RSA")),
}

_COLUMNS = {
    "age": {"Description": "age at the (first) scan", "Units": "years"},
    "sex": {"Levels": {"F": "female", "M": "male"}},
    "site": {"Description": "where the scan was made", "Levels": dict.fromkeys(_SITES, "a synthetic site")},
    "group": {"Levels": {"control": "no lesion", "lesion": "one bright lesion in the brain"}},
}


def mri_phantom(
    root: str,
    target: str | None = "group",
    channels: Sequence[str] = ("T1w",),
    positive: str | None = "lesion",
    n_patients: int = 120,
    seed: int = 0,
    target_kind: str = "auto",
) -> Cohort:
    """Return synthetic head scans as a Cohort; write them first where they are not there yet.

    The data set lies in a folder of its own inside `root`, named by its parameters. It appears there complete or
    not at all, and two processes may ask for it at once.

    Args:
        root: folder that holds the data sets; it is made if needed.
        target: `group` (control or lesion), `age`, `sex` or `site`; None for no target.
        channels: `T1w`, `FLAIR` (in which lesions are brighter) or both; they lie on the same grid.
        positive: the class whose probability is reported; only used for the target `group`.
        n_patients: patients, half of them with a lesion; every tenth is scanned twice.
        seed: source of chance; the same seed gives the same files.
        target_kind: `auto`, `classes` or `regression`.

    Returns:
        What `bids` makes of the folder, with `age`, `sex`, `site` and `group`.

    Raises:
        UserError: fewer than four patients, a folder in the way, or what `bids` refuses.
    """
    if n_patients < 4:
        raise UserError(f"n_patients={n_patients}: at least 4 are needed.")
    parameters = {"version": VERSION, "n_patients": int(n_patients), "seed": int(seed)}
    folder = Path(root).expanduser().resolve() / f"n{n_patients}-seed{seed}-v{VERSION}"
    _ensure(folder, parameters)
    cohort = bids(
        str(folder), target, channels, positive=positive if target == "group" else None, target_kind=target_kind
    )
    return replace(cohort, name="mri_phantom")


def _ensure(folder: Path, parameters: dict[str, int]) -> None:
    """Write the data set unless it is there, one process at a time."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if (folder / _MARK).is_file() and read_json(folder / _MARK) == parameters:
            return
        if folder.exists():
            raise UserError(f"{folder}: is in the way and is no data set of synthetic heads; move or delete it.")
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        log.info("Writing %d synthetic patients to %s (once, some seconds).", parameters["n_patients"], folder)
        try:
            _write(temporary, parameters)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, parameters: dict[str, int]) -> None:
    """Write all patients and the tables beside them."""
    count, seed = parameters["n_patients"], parameters["seed"]
    groups = np.random.default_rng([seed, count]).permutation(np.arange(count) % 2)
    people = [_write_patient(folder, number, bool(groups[number]), seed) for number in range(count)]
    _write_tsv(folder / "participants.tsv", people)
    write_json(folder / "participants.json", _COLUMNS)
    write_json(
        folder / "dataset_description.json",
        {"Name": "Synthetic heads", "BIDSVersion": "1.10.0", "DatasetType": "raw", "License": "CC0"},
    )
    write_text(folder / "README", "Synthetic heads, drawn by medai_lab. No scan of a person is in this folder.\n")
    write_json(folder / _MARK, parameters)


def _write_patient(folder: Path, number: int, lesion: bool, seed: int) -> dict[str, str]:
    """Write the scans of one patient; return the row of `participants.tsv`."""
    rng = np.random.default_rng([seed, number])
    subject, age = f"sub-{number + 1:03d}", round(float(rng.uniform(20, 85)), 1)
    sex, site = str(rng.choice(["F", "M"])), str(rng.choice(sorted(_SITES)))
    head = make_head(rng, age, sex, lesion)
    row = {
        "participant_id": subject,
        "age": f"{age:.1f}",
        "sex": sex,
        "site": site,
        "group": "lesion" if lesion else "control",
    }
    if number % _TWICE:
        _write_session(folder / subject / "anat" / subject, head, _SITES[site], rng)
        return row
    wait = round(float(rng.uniform(0.5, 2.0)), 1)
    for session, one in (("ses-01", head), ("ses-02", _grown(head, wait))):
        _write_session(folder / subject / session / "anat" / f"{subject}_{session}", one, _SITES[site], rng)
    visits = [{"session_id": "ses-01", "age": f"{age:.1f}"}, {"session_id": "ses-02", "age": f"{age + wait:.1f}"}]
    _write_tsv(folder / subject / f"{subject}_sessions.tsv", visits)
    return row


def _write_session(stem: Path, head: Head, site: _Site, rng: np.random.Generator) -> None:
    """Write every contrast of one visit on one grid, each with an intensity scale of its own."""
    import nibabel as nib

    stem.parent.mkdir(parents=True, exist_ok=True)
    in_plane = rng.uniform(*site.in_plane)
    spacing = np.array([in_plane, in_plane, rng.uniform(*site.between)])
    shape = np.ceil(2.2 * np.array(head.size) / spacing).astype(int)
    grid = (int(shape[0]), int(shape[1]), int(shape[2]))
    scanner, anatomy = _placed(spacing, shape, rng)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(str(rng.choice(site.axes)))
    )
    affine = scanner @ nib.orientations.inv_ornt_aff(turn, grid)
    layers = layers_of(head, anatomy, grid)
    for contrast in CONTRASTS:
        image = draw(head, layers, contrast, rng.uniform(*site.noise), rng) * rng.uniform(150, 900)
        stored = nib.orientations.apply_orientation(np.rint(image).astype(np.int16), turn)
        scan = nib.Nifti1Image(stored, affine)
        scan.set_sform(affine, code=1)
        scan.set_qform(affine, code=1)
        scan.header.set_xyzt_units("mm")
        nib.save(scan, f"{stem}_{contrast}.nii.gz")


def _placed(spacing: np.ndarray, shape: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two affines (4, 4) of one grid: to the scanner's mm, and to mm from the centre of a tilted head."""
    from scipy.spatial.transform import Rotation

    scanner = np.diag([*spacing, 1.0])
    scanner[:3, 3] = -spacing * (shape - 1) / 2 + rng.uniform(-20, 20, 3)
    head = np.diag([*spacing, 1.0])
    head[:3, 3] = -spacing * (shape - 1) / 2 + rng.uniform(-3, 3, 3)
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", rng.normal(0, 4, 3), degrees=True).as_matrix()
    return scanner, tilt @ head


def _grown(head: Head, years: float) -> Head:
    """Return the same head some years later: wider ventricles, a somewhat larger lesion."""
    lesion = head.lesion and Lesion(head.lesion.centre, head.lesion.radius * 1.1, head.lesion.contrast)
    return replace(head, ventricles=head.ventricles + 0.012 * years, lesion=lesion)


def _write_tsv(path: Path, rows: list[dict[str, str]]) -> None:
    write_text(path, pd.DataFrame(rows).to_csv(sep="\t", index=False))
