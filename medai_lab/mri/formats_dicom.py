"""Trees of DICOM series, with labels in a CSV keyed by one of the identifiers in the headers."""

import logging
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import ScanError, UserError, nearest
from medai_lab.mri.dicom_headers import files_below, read_header, text_of
from medai_lab.mri.formats_tables import find_column, read_table, require_column, root_folder, to_cohort

log = logging.getLogger(__name__)

KEYS = ("SeriesInstanceUID", "StudyInstanceUID", "PatientID")
_FACTS = {"sex": "PatientSex", "age": "PatientAge", "modality": "Modality"}


@dataclass
class _Series:
    """What the headers of one series say, and where its files lie."""

    identifiers: dict[str, str | None]
    facts: dict[str, str | None]
    folders: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """The folder that holds all of its files."""
        return Path(os.path.commonpath(self.folders))


def dicom(
    root: str,
    labels: str | None,
    target: str | None,
    positive: str | None = None,
    target_kind: str = "auto",
    key: str = "auto",
) -> Cohort:
    """Read a tree of DICOM files: one record a series.

    Args:
        root: any tree of folders; series are told apart by their headers, not by their folders.
        labels: a CSV, relative to `root`, with a column named like one of the keys; None without labels.
        target: the column of the CSV to predict; None where nothing is.
        positive: the class whose probability is reported, for two classes.
        target_kind: `auto`, `classes` or `regression`.
        key: what the CSV is keyed by: `SeriesInstanceUID`, `StudyInstanceUID`, `PatientID`, or `auto` for the
            first of these that is a column of it and matches a series.

    Returns:
        Records named by SeriesInstanceUID, of patients named by PatientID, with one input `image`; `sex`, `age`
        and `modality` from the headers unless the CSV has them.

    Raises:
        UserError: no such folder, no DICOM image in it, labels that match no series, or a key that stands twice.
    """
    folder = root_folder(root)
    series = _scan(folder)
    rows = []
    for uid, one in sorted(series.items()):
        shared = any(other is not one and _touches(one.folder, other) for other in series.values())
        source = f"{one.folder}#{uid}" if shared else str(one.folder)
        rows.append({"input_image": source} | one.identifiers | one.facts)
    table = pd.DataFrame(rows).astype("str")
    if labels is not None:
        path = folder / Path(labels).expanduser()
        table = _joined(table, read_table(path), path, key)
    elif target is not None and target not in table:
        raise UserError(f"data.target={target} needs labels: give the CSV that holds it as data.reader.labels.")
    table["record_id"] = table["SeriesInstanceUID"]
    table["patient_id"] = table["PatientID"].fillna(table["StudyInstanceUID"]).fillna(table["SeriesInstanceUID"])
    table = table.drop(columns=list(KEYS))
    _warn_of_blank_patients(folder, series)
    return to_cohort(
        table,
        ["image"],
        name=folder.name,
        where=labels or str(folder),
        target=target,
        positive=positive,
        kind=target_kind,
    )


def _scan(folder: Path) -> dict[str, _Series]:
    """Return every image series below a folder, by SeriesInstanceUID."""
    files = files_below(folder)
    log.info("Reading the headers of %d files.", len(files))
    series: dict[str, _Series] = {}
    damaged = 0
    for path in files:
        try:
            header = read_header(path)
        except ScanError:  # its series is refused, with the file named, when its turn comes
            damaged += 1
            continue
        uid = "" if header is None else text_of(header, "SeriesInstanceUID")
        if header is None or not uid:
            continue
        if uid not in series:
            series[uid] = _Series(
                {key: text_of(header, key) or None for key in KEYS},
                {name: text_of(header, key) or None for name, key in _FACTS.items()},
            )
        series[uid].folders.add(str(path.parent))
    if damaged:
        log.warning("%s: %d DICOM files cannot be read.", folder.name, damaged)
    if not series:
        raise UserError(f"{folder}: no DICOM image among {len(files)} files; expected one folder a series.")
    return series


def _touches(folder: Path, other: _Series) -> bool:
    """Return whether files of another series lie in `folder` or below."""
    return any(Path(place).is_relative_to(folder) for place in other.folders)


def _joined(table: pd.DataFrame, labels: pd.DataFrame, path: Path, key: str) -> pd.DataFrame:
    """Add the label columns to the series they belong to."""
    name, column = _key_column(table, labels, path, key)
    labels = labels[labels[column].notna()]
    repeated = labels[column].duplicated()
    if repeated.any():
        raise UserError(f"{path}: record {int(repeated.argmax()) + 1} repeats the {name} of an earlier one.")
    labels = labels.rename(columns={column: name})
    labels = labels[[c for c in labels.columns if c == name or c not in (*KEYS, "input_image")]]
    table = table.drop(columns=[fact for fact in _FACTS if find_column(labels, (fact,))])
    joined = table.merge(labels, on=name, how="left")
    unmatched = int((~table[name].isin(labels[name])).sum())
    if unmatched:
        log.warning("%s: %d of %d series have no row of labels.", path.name, unmatched, len(table))
    return joined


def _key_column(table: pd.DataFrame, labels: pd.DataFrame, path: Path, key: str) -> tuple[str, str]:
    """Return the header element and the CSV column that link labels and series."""
    if key != "auto" and key not in KEYS:
        raise UserError(f"data.reader.key={key}: allowed are auto and {list(KEYS)}.{nearest(key, KEYS)}")
    tried = []
    for name in KEYS if key == "auto" else (key,):
        column = find_column(labels, (name.lower(),))
        if column is None:
            continue
        if labels[column].isin(table[name].dropna()).any():
            return name, column
        tried.append(column)
    if tried:
        raise UserError(f"{path}: no value of the column(s) {tried} belongs to any of the {len(table)} series.")
    wanted = KEYS[0] if key == "auto" else key
    require_column(labels, wanted, f"{path} (which must have one of {list(KEYS)})")
    return wanted, wanted


def _warn_of_blank_patients(folder: Path, series: dict[str, _Series]) -> None:
    """Warn where a single PatientID stands for many studies: anonymisers write such constants."""
    studies: dict[str | None, set[str | None]] = defaultdict(set)
    for one in series.values():
        studies[one.identifiers["PatientID"]].add(one.identifiers["StudyInstanceUID"])
    if len(studies) == 1 and len(next(iter(studies.values()))) > 2:
        log.warning(
            "%s: all %d series carry the same PatientID (or none). If it was blanked, give patients in a CSV and use "
            "data=csv.",
            folder.name,
            len(series),
        )
