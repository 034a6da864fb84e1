"""Readers of the layouts in which MRI data come: a folder in, a Cohort out.

`bids` and `dicom` live in modules of their own and are named here so that a config finds all readers in one place.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import SPLITS, Cohort
from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import ScanError, UserError, nearest
from medai_lab.mri import npz
from medai_lab.mri.dicom_headers import read_header, text_of
from medai_lab.mri.formats_bids import bids
from medai_lab.mri.formats_dicom import dicom
from medai_lab.mri.formats_tables import as_text, find_column, read_table, require_column, root_folder, to_cohort
from medai_lab.mri.volumes import split_source

__all__ = ["bids", "csv", "dicom", "folders", "medmnist"]

log = logging.getLogger(__name__)

_RECORD = ("recordid", "record", "scanid", "imageid")
_PATIENT = ("patientid", "patient", "subjectid", "subject", "participantid", "ptid")

MEDMNIST_CLASSES = {
    "organmnist3d": (
        "liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart", "lung-right",
        "lung-left", "spleen", "pancreas",
    ),
    "nodulemnist3d": ("benign", "malignant"),
    "adrenalmnist3d": ("normal", "hyperplasia"),
    "fracturemnist3d": ("buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"),
    "vesselmnist3d": ("vessel", "aneurysm"),
    "synapsemnist3d": ("inhibitory synapse", "excitatory synapse"),
}  # fmt: skip
"""Class names in the order of their numbers, as MedMNIST 3.0 publishes them (medmnist/info.py)."""


def csv(
    root: str,
    table: str,
    channels: Mapping[str, str] | Sequence[str],
    target: str | None,
    positive: str | None = None,
    target_kind: str = "auto",
    record: str | None = None,
    patient: str | None = None,
) -> Cohort:
    """Read a table of scans: one row a record, one column of paths a channel.

    Args:
        root: folder of the table.
        table: the CSV or TSV file, relative to `root`.
        channels: channel name -> column of paths; or the columns, which then name the channels. Paths are
            absolute, or relative to the table's folder or to `root`. All sources of `read_volume` are allowed.
        target: the column to predict; None where nothing is.
        positive: the class whose probability is reported, for two classes.
        target_kind: `auto`, `classes` or `regression`.
        record: the column that names a record. Without it a column such as `record_id`, else the first path.
        patient: the column that names the patient. Without it a column such as `patient_id`, `subject`; else
            every record is a patient of its own, with a warning.

    Returns:
        The records, with `split`, `site`, `sex` and `age` where columns of such names exist. A path that leads
        nowhere is a missing input.

    Raises:
        UserError: no such folder, table or column, or not one file of a channel is there.
    """
    folder = root_folder(root)
    path = folder / Path(table).expanduser()
    rows = read_table(path)
    names = as_text(channels)
    columns = dict(channels) if isinstance(channels, Mapping) else {name: name for name in names}
    for name in names:
        given = rows[require_column(rows, columns[name], str(path))]
        found = given.map(lambda v: _source((path.parent, folder), v), na_action="ignore").astype("str")
        _report_lost(path, columns[name], given, found)
        rows[f"input_{name}"] = found
    rows["record_id"] = _named(rows, record, _RECORD, path)
    if record is None and rows["record_id"].isna().all():
        written = rows[columns[names[0]]].map(_without_suffix, na_action="ignore")
        rows["record_id"] = written.fillna(pd.Series([f"row_{i + 1}" for i in rows.index], index=rows.index))
    known = _named(rows, patient, _PATIENT, path)
    rows["patient_id"] = rows["record_id"] if patient is None and known.isna().all() else known
    _warn_without_patients(rows, path.stem)
    return to_cohort(rows, names, name=path.stem, where=str(path), target=target, positive=positive, kind=target_kind)


def folders(root: str, positive: str | None = None) -> Cohort:
    """Read one folder a class: `root/<class>/...` with NIfTI files, or one folder a DICOM series.

    Args:
        root: the folder that holds the class folders.
        positive: the class whose probability is reported, for two classes.

    Returns:
        Records named by their path below `root` without ending, with one input `image` and the target `class`.
        The patient is the BIDS label in the path (`sub-01`), for DICOM the PatientID, else the record itself.

    Raises:
        UserError: no such folder, no scan in it, fewer than two classes, or slices that lie in a class folder.
    """
    folder = root_folder(root)
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    rows = []
    for place in classes:
        for source, patient in _scans_below(place):
            record = _without_suffix(source.relative_to(folder).as_posix())
            subject = re.search(r"(?<![A-Za-z0-9])sub-[A-Za-z0-9]+", record)
            owner = subject[0] if subject else patient or record
            rows.append({"record_id": record, "patient_id": owner, "input_image": str(source), "class": place.name})
    if not rows:
        raise UserError(
            f"{folder}: no scan was found in {len(classes)} folder(s); expected <class>/*.nii[.gz] or "
            "<class>/<folder of a DICOM series>."
        )
    table = pd.DataFrame(rows).astype("str")
    _warn_without_patients(table, folder.name)
    return to_cohort(
        table, ["image"], name=folder.name, where=str(folder), target="class", positive=positive, kind="classes"
    )


def medmnist(root: str, name: str, positive: str | None = None) -> Cohort:
    """Read a 3D set of MedMNIST with its official split.

    Args:
        root: folder of the file `<name>.npz`.
        name: such as `adrenalmnist3d`, or `adrenalmnist3d_64` for the larger size.
        positive: the class whose probability is reported, for two classes; the one of label 1 unless given.

    Returns:
        Records `<split>_<number>` with one input `image`, the target `label`, and `split`. MedMNIST publishes no
        patients, so each record is one.

    Raises:
        UserError: no such folder or set, a 2D set, a damaged file, or an unknown class.
    """
    path = root_folder(root) / f"{name}.npz"
    if not path.is_file():
        there = sorted(p.stem for p in path.parent.glob("*.npz"))
        raise UserError(f"{path}: no such file; {path.parent} holds {there or 'no .npz file'}.{nearest(name, there)}")
    shapes = npz.array_shapes(path)
    _check_medmnist(path, name, shapes)
    names = MEDMNIST_CLASSES.get(re.sub(r"_\d+$", "", name))
    labels = {split: npz.read_array(path, f"{split}_labels").ravel().astype(int) for split in SPLITS}
    top = max(int(numbers.max(initial=0)) for numbers in labels.values())
    if names is None or top >= len(names):
        names = tuple(str(i) for i in range(top + 1))
    rows = [
        (f"{split}_{i:05d}", f"{split}_{i:05d}", f"{path}#{split}_images/{i}", split, names[number])
        for split, numbers in labels.items()
        for i, number in enumerate(numbers)
    ]
    table = pd.DataFrame(rows, columns=["record_id", "patient_id", "input_image", "split", "label"])
    spec = TargetSpec.of_classes("label", table["label"], positive)
    if positive is None or spec.kind == "multiclass":  # the order of the numbers, not of the alphabet
        spec = replace(spec, classes=tuple(n for n in names if n in spec.classes))
    return Cohort(table, ("image",), spec, name)


def _warn_without_patients(table: pd.DataFrame, name: str) -> None:
    if len(table) > 1 and (table["record_id"] == table["patient_id"]).all():
        log.warning("%s: no patients are known for the %d records; splits will be by record.", name, len(table))


def _check_medmnist(path: Path, name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse an archive that is not a 3D MedMNIST set."""
    needed = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    lost = [key for key in needed if key not in shapes]
    if lost:
        raise UserError(f"{path}: is not a MedMNIST file; the array(s) {lost} are not in it.")
    shape = shapes["train_images"]
    if len(shape) == 3 or (len(shape) == 4 and shape[-1] == 3):
        size = f"{shape[1]}x{shape[2]}"
        raise UserError(f"{name} holds 2D images of {size}; task=cxr_cls reads those (data=medmnist).")
    for split in SPLITS:
        images, labels = shapes[f"{split}_images"], shapes[f"{split}_labels"]
        if len(images) != 4 or labels not in ((images[0], 1), (images[0],)):
            raise UserError(f"{path}: {split} images of shape {images} do not fit labels of shape {labels}.")


def _scans_below(place: Path) -> list[tuple[Path, str | None]]:
    """Return the NIfTI files and DICOM folders below a class folder, each DICOM folder with its PatientID."""
    scans: list[tuple[Path, str | None]] = []
    for where, inner, files in os.walk(place):
        inner[:] = sorted(f for f in inner if not f.startswith("."))
        paths = [Path(where, f) for f in sorted(files) if not f.startswith(".")]
        nifti = [p for p in paths if p.name.endswith((".nii", ".nii.gz"))]
        scans += [(p, None) for p in nifti]
        patient = _patient_of_series([p for p in paths if p not in nifti])
        if patient is None:
            continue
        if Path(where) == place:
            raise UserError(f"{place}: DICOM files lie directly in the class folder; put each series in a folder.")
        scans.append((Path(where), patient))
    return scans


def _patient_of_series(files: Sequence[Path]) -> str | None:
    """Return the PatientID of the first DICOM image among `files`; None where there is no image."""
    for path in files:
        try:
            header = read_header(path)
        except ScanError:  # the series is refused, with the file named, when its turn comes
            return ""
        if header is not None:
            return text_of(header, "PatientID")
    return None


def _source(places: Sequence[Path], written: str) -> str | None:
    """Return the source that a table cell means, looked for in several folders; None where there is none."""
    for place in places:
        candidate = str(place / Path(written).expanduser())
        if split_source(candidate)[0].exists():
            return candidate
    return None


def _report_lost(path: Path, column: str, given: pd.Series, found: pd.Series) -> None:
    """Warn of paths that lead nowhere; refuse a column in which all do."""
    lost = given.notna() & found.isna()
    if found.isna().all():
        example = f"the first, '{given[lost].iloc[0]}', is not there" if lost.any() else "the column is empty"
        raise UserError(
            f"{path}: not one scan of column '{column}' was found; {example}. Paths are absolute, or relative to "
            f"{path.parent}."
        )
    if lost.any():
        log.warning("%s: %d of %d files of column '%s' are not there.", path.name, lost.sum(), len(given), column)


def _named(rows: pd.DataFrame, given: str | None, usual: Sequence[str], path: Path) -> pd.Series:
    """Return the column that was asked for, else the first of a usual name, else missing values."""
    column = find_column(rows, usual) if given is None else require_column(rows, given, str(path))
    return rows[column] if column else pd.Series([None] * len(rows), index=rows.index, dtype="str")


def _without_suffix(path: str) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path)
