"""Splits by patient, stratified, seeded."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medai_lab.cohort.cohort import SPLITS, Cohort
from medai_lab.errors import UserError

log = logging.getLogger(__name__)


def assign_splits(cohort: Cohort, fractions: Sequence[float], seed: int) -> Cohort:
    """Return the cohort with a `split` for every record.

    An official split (a `split` column that is filled for every record) is kept; where it lacks `val`, that
    part is taken out of its `train`. Otherwise patients, never records, are dealt out: within each stratum
    (a patient's rarest class, or the quartile of its mean quantity) they are shuffled and handed to the split
    that is furthest below its share.

    Args:
        cohort: a labelled cohort.
        fractions: shares of `train`, `val` and `test`, positive, summing to 1.
        seed: the same seed and cohort give the same splits, whatever the order of the rows.

    Raises:
        UserError: there are fewer patients than splits, or than one a class and split.
    """
    if "split" not in cohort.table or cohort.table["split"].isna().all():
        return _deal(cohort, dict(zip(SPLITS, fractions, strict=True)), seed)
    if cohort.table["split"].isna().any():
        lost = cohort.table.loc[cohort.table["split"].isna(), "record_id"]
        raise UserError(
            f"Record '{lost.iloc[0]}' (and {len(lost) - 1} more) has no split while others have one. "
            f"Fill the column 'split' for all records ({', '.join(SPLITS)}) or for none."
        )
    return _complete_official(cohort, fractions, seed)


def _complete_official(cohort: Cohort, fractions: Sequence[float], seed: int) -> Cohort:
    present = set(cohort.table["split"])
    if missing := {"train", "test"} - present:
        raise UserError(f"The official split of '{cohort.name}' has no {sorted(missing)}; it has {sorted(present)}.")
    if "val" in present:
        return cohort
    share = fractions[1] / (fractions[0] + fractions[1])
    log.info("The official split has no validation part: %.0f %% of its training patients become one.", 100 * share)
    dealt = _deal(cohort.of_split("train"), {"train": 1 - share, "val": share}, seed)
    table = pd.concat([dealt.table, cohort.of_split("test").table])
    return cohort.with_table(table)


def _deal(cohort: Cohort, shares: dict[str, float], seed: int) -> Cohort:
    strata = _patient_strata(cohort)
    if len(strata) < len(shares):
        raise UserError(
            f"Cohort '{cohort.name}' has {len(strata)} patient(s), fewer than the {len(shares)} splits "
            f"{list(shares)}. Splits are by patient; more patients are needed."
        )
    generator = np.random.default_rng(seed)
    split_of: dict[str, str] = {}
    for stratum, members in strata.groupby(strata, sort=True):
        patients = generator.permutation(sorted(members.index))
        if len(patients) < len(shares) and cohort.target is not None and cohort.target.is_classes:
            raise UserError(
                f"Class '{stratum}' of '{cohort.name}' has {len(patients)} patient(s), but {len(shares)} splits "
                f"{list(shares)} need one each. Leave the class out, merge it with another or add patients."
            )
        split_of.update(zip(patients, _quota(len(patients), shares, generator), strict=True))
    return cohort.with_table(cohort.table.assign(split=cohort.table["patient_id"].map(split_of)))


def _patient_strata(cohort: Cohort) -> pd.Series:
    """One stratum a patient: its rarest class, its mean quantity's quartile, or its rarest positive finding."""
    patients = cohort.table["patient_id"]
    target = cohort.target
    if target is None:
        return pd.Series("all", index=patients.unique())
    if target.kind == "regression":
        means = cohort.table.groupby(patients)[target.columns[0]].mean()
        bins = min(4, max(1, len(means) // 4))
        return pd.qcut(means.rank(method="first"), bins, labels=False).astype(str)
    if target.kind == "multilabel":
        positives = cohort.table[list(target.columns)].groupby(patients).max() == 1
        rare_first = positives.sum().sort_values(kind="stable").index
        return positives[rare_first].apply(lambda row: next((c for c in rare_first if row[c]), "none"), axis=1)
    labels = cohort.table[target.columns[0]]
    frequency = labels.map(labels.value_counts())
    rarest = cohort.table.assign(_frequency=frequency).sort_values(["_frequency", "record_id"])
    return rarest.groupby("patient_id")[target.columns[0]].first()


def _quota(count: int, shares: dict[str, float], generator: np.random.Generator) -> list[str]:
    """Deal `count` patients: one to every split first (where there are enough), then by largest shortfall."""
    names = list(shares)
    given = dict.fromkeys(names, 0)
    order: list[str] = []
    for i in range(count):
        starved = [n for n in names if given[n] == 0] if count >= len(names) else []
        pool = starved if starved and count - i <= len(starved) else names
        # a random tie-break keeps tiny strata from always feeding the same split
        shortfall = {n: shares[n] * count - given[n] + 1e-9 * generator.random() for n in pool}
        chosen = max(shortfall, key=lambda n: shortfall[n])
        given[chosen] += 1
        order.append(chosen)
    return order
