"""What must hold before a model is trained: no leaks, no contradictions, every class where it is needed."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import SPLITS, Cohort
from medai_lab.errors import UserError

log = logging.getLogger(__name__)

EXCLUDED = ["record_id", "stage", "reason"]


def exclude_unusable(cohort: Cohort, allow_missing_inputs: bool) -> tuple[Cohort, pd.DataFrame]:
    """Leave out records without a label or without a file.

    Args:
        cohort: the cohort as read.
        allow_missing_inputs: keep records that have some of their inputs.

    Returns:
        The usable cohort, and a table of `record_id, stage, reason` for the others.

    Raises:
        UserError: nothing is left.
    """
    table = cohort.table
    inputs = table[cohort.input_columns].notna()
    reasons = pd.Series(pd.NA, index=table.index, dtype="string")
    lacking = ~inputs.any(axis=1) if allow_missing_inputs else ~inputs.all(axis=1)
    absent = inputs[lacking].apply(lambda row: ", ".join(n.removeprefix("input_") for n in row.index[~row]), axis=1)
    if lacking.any():
        reasons[lacking] = "no file for " + absent.astype("string")
    if cohort.target is not None:
        unlabelled = table[list(cohort.target.columns)].isna().all(axis=1)
        reasons[unlabelled & ~lacking] = f"no value of {', '.join(cohort.target.columns)}"
    out = reasons.notna()
    excluded = pd.DataFrame({"record_id": table["record_id"][out], "stage": "read", "reason": reasons[out]})
    if out.all():
        raise UserError(
            f"No record of '{cohort.name}' can be used; the first, '{table['record_id'].iloc[0]}': {reasons.iloc[0]}."
        )
    if out.any():
        log.warning("%d of %d records are left out: %s.", out.sum(), len(out), _counted(excluded["reason"]))
    return cohort.with_table(table[~out]), excluded


def check_contradictions(cohort: Cohort) -> None:
    """Refuse one file under two records with different labels; warn of one file under two records at all.

    Files count as the same when their content is, whatever their names. Locators inside a larger file are
    compared as text.
    """
    if cohort.target is None:
        return
    table = cohort.table.assign(_content=content_keys(cohort))
    repeated = table[table.duplicated("_content", keep=False)]
    for _, group in repeated.groupby("_content"):
        labels = group[list(cohort.target.columns)].drop_duplicates()
        ids = list(group["record_id"])
        if len(labels) > 1:
            raise UserError(
                f"Records {_some(ids)} are the same file under different labels "
                f"({', '.join(cohort.target.columns)}: {labels.iloc[:, 0].tolist()}). Correct the labels or remove one."
            )
        log.warning("Records %s are the same file.", _some(ids))


def check_leaks(cohort: Cohort, content: Sequence[str] | None = None) -> None:
    """Refuse a patient, or identical content, in more than one split.

    Args:
        cohort: a cohort with splits.
        content: one digest a record of what the record really holds; of its files unless given.
    """
    table = cohort.table.assign(_content=list(content) if content is not None else content_keys(cohort))
    for column, what in (("patient_id", "patient"), ("_content", "identical input")):
        splits = table.groupby(column)["split"].nunique()
        leaking = splits[splits > 1].index
        if len(leaking):
            rows = table[table[column] == leaking[0]]
            where = ", ".join(f"'{r}' ({s})" for r, s in zip(rows["record_id"], rows["split"], strict=True))
            raise UserError(
                f"Leak: {len(leaking)} {what}(s) stand in more than one split, for example records {where}. "
                "A model would be tested on what it has seen; put them into one split."
            )


def check_classes(cohort: Cohort) -> None:
    """Refuse a split without records, and a class that training or validation lacks; warn where the test does."""
    counts = cohort.table["split"].value_counts()
    if empty := [s for s in SPLITS if s not in counts]:
        raise UserError(f"The split(s) {empty} of '{cohort.name}' have no records; there are {counts.to_dict()}.")
    target = cohort.target
    if target is None or not target.is_classes:
        return
    table = pd.crosstab(cohort.table[target.columns[0]], cohort.table["split"]).reindex(target.classes, fill_value=0)
    for split in SPLITS:
        absent = list(table.index[table[split] == 0])
        if absent and split == "test":
            log.warning("The test split has no record of %s: some numbers will not be estimable.", absent)
        elif absent:
            raise UserError(
                f"The {split} split has no record of class(es) {absent} (counts: {table[split].to_dict()}). "
                "Every class is needed there, to learn it and to choose a threshold: change data.split or the seed."
            )


def content_keys(cohort: Cohort) -> list[str]:
    """One key a record, equal where the input files hold the same bytes.

    Only files of equal size are read: two files of different size cannot be the same.
    """
    sizes = {source: _size(source) for column in cohort.input_columns for source in cohort.table[column].dropna()}
    shared = Counter(sizes.values())
    crowded = {size for size, count in shared.items() if count > 1 and size >= 0}
    keys = {s: _file_digest(s) if size in crowded else s for s, size in sizes.items()}
    rows = cohort.table[cohort.input_columns].itertuples(index=False, name=None)
    return ["|".join(keys.get(s, "-") for s in row) for row in rows]


def _size(source: str) -> int:
    path = Path(source)
    return path.stat().st_size if path.is_file() else -1


def _file_digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _some(ids: list[str]) -> str:
    shown = ", ".join(f"'{i}'" for i in ids[:3])
    return shown + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")


def _counted(reasons: pd.Series) -> str:
    return "; ".join(f"{reason} ({count})" for reason, count in reasons.value_counts().items())
